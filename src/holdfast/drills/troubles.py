"""What ends a drill before its recovery has: told apart, because each means something else.

They stay inside: whoever runs a drill gets its state.
"""

from __future__ import annotations

from holdfast.errors import FailedError

__all__ = ["DrillBroken", "DrillFailed", "DrillStopped"]


class DrillBroken(FailedError):
    """The drill could not inject, observe or clean up: it says nothing of the recovery (ERROR)."""


class DrillFailed(FailedError):
    """The recovery did not do what it has to (FAILED)."""


class DrillStopped(FailedError):
    """Somebody pulled the lever (STOPPED)."""
