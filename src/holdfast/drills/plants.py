"""What can be made to go wrong on purpose, so that a drill is tried itself: does it notice?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from holdfast.errors import NotFoundError

__all__ = ["PLANTS", "require_plant"]

PLANTS: Final[Mapping[str, str]] = {
    "stale-replica": "the copies are older than three intervals (in a sandbox): the review refuses, FAILED",
    "missing-capacity": "the asset needs more machines than there are (in a sandbox): no plan, FAILED",
    "expired-approval": "the approval has ended when the plan is run: refused, FAILED",
    "approver-is-initiator": "whoever asked approves: refused, FAILED",
    "wrong-checksum": "a byte of what came back is changed before it is compared: FAILED",
    "fault-that-does-not-bite": "the fault is not planted, and the drill has to notice that: ERROR",
    "clean-up-that-fails": "the trial cannot be removed: ERROR, and what is left over is said",
}


def require_plant(name: str) -> None:
    """Raises NotFoundError. Empty: nothing."""
    if name and name not in PLANTS:
        raise NotFoundError(f"nothing called {name!r} can be planted", hint=f"there are {', '.join(PLANTS)}")
