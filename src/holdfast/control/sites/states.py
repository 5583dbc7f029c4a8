"""What became of sites since `holdfast.yaml` was written: failed, draining, being rebuilt.

A file of this machine beside its other state. The file of declarations says how it should be; this one, how it is for
now. Every change is recorded in the audit log, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import msgspec

from holdfast.control.sites.kept import KeptFile
from holdfast.errors import DamageError

__all__ = ["Change", "Condition", "SiteState", "SiteStates"]


class Change(Enum):
    """`FAIL`: it is lost. `DRAIN`: it is given up in good order. `ADD`: it is new. `REBUILD`: it comes back."""

    FAIL = "fail"
    DRAIN = "drain"
    ADD = "add"
    REBUILD = "rebuild"


class Condition(Enum):
    """`FAILED`: it gives and gets nothing, and is nobody's home. `DRAINING`: it gives, gets nothing, and is nobody's
    home. `REBUILDING`: it gives and gets, and is nobody's home yet.
    """

    FAILED = "failed"
    DRAINING = "draining"
    REBUILDING = "rebuilding"


class SiteState(msgspec.Struct, frozen=True):
    """Since `at` (ns since the epoch), because of `reason`."""

    condition: Condition
    at: int
    reason: str


class SiteStates:
    """The states of the sites of one organisation, on this machine. A site that is not in it is as declared."""

    def __init__(self, organisation: str, environment: Mapping[str, str]) -> None:
        self._file = KeptFile("sites", organisation, dict[str, SiteState], dict, environment, _unknown)

    def read(self) -> dict[str, SiteState]:
        """Raises DamageError: to take a failed site for a sound one could cost data."""
        return self._file.read()

    def set(self, site: str, state: SiteState) -> None:
        """Durable when it returns. Raises FailedError, DamageError."""
        self._file.change(lambda states: states | {site: state})

    def clear(self, site: str) -> None:
        """The site is as declared again."""
        self._file.change(lambda states: {name: state for name, state in states.items() if name != site})


def _unknown(path: Path, error: Exception) -> dict[str, SiteState]:
    raise DamageError(
        f"{path} cannot be read: which sites have failed is not known",
        hint="mend it, or remove it and say again which sites have failed",
        object_name=str(path),
    ) from error
