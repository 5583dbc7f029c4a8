"""What is wanted: which assets come back, where, as of when. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import UsageError
from holdfast.ids import SnapshotId

__all__ = ["Strategy", "Point", "Newest", "AsOf", "Pinned", "Intent"]


class Strategy(StrEnum):
    """What stands ready before anything fails, from little to much."""

    BACKUP_AND_RESTORE = "BACKUP_AND_RESTORE"  # copies somewhere; machines are found when needed
    PILOT_LIGHT = "PILOT_LIGHT"  # a copy lies at the recovery site; machines are found when needed
    WARM_STANDBY = "WARM_STANDBY"  # a copy and a few machines stand there; more are found when needed
    HOT_STANDBY = "HOT_STANDBY"  # data are restored there all the time, and all machines stand ready
    CLOUD_BURST = "CLOUD_BURST"  # whichever site has machines now, in the order of preference


class Newest(msgspec.Struct, frozen=True, tag="newest"):
    """The newest snapshot that is good."""


class AsOf(msgspec.Struct, frozen=True, tag="as of"):
    """The newest good snapshot with content of that time (ns since the epoch) or before: to get behind a corruption."""

    ns: int


class Pinned(msgspec.Struct, frozen=True, tag="pinned"):
    """This snapshot and no other."""

    snapshot: SnapshotId


Point = Newest | AsOf | Pinned


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Recover `assets` (several: to one point in time) at the first of the sites `to` where that is possible.

    `graceful`: where they run now answers, so that they are stopped in good order and saved once more; otherwise that
    site is taken for lost, and is fenced. `isolated`: a rehearsal: in a place of its own, nothing is fenced, promoted
    or sent traffic. `approvers`: how many people other than `by` have to agree. `fault_at`, `noticed_at`: when what
    this answers happened, and when somebody or something knew of it (ns since the epoch); None: nobody can tell.
    """

    name: str
    assets: tuple[str, ...]
    to: tuple[str, ...]
    strategy: Strategy
    point: Point = Newest()
    graceful: bool = False
    isolated: bool = False
    reason: str = ""
    by: str = ""
    approvers: int = 1
    fault_at: int | None = None
    noticed_at: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for an intent that says nothing."""
        if not self.assets or not self.to:
            raise UsageError("a recovery is of at least one asset, to at least one site")
        if len(set(self.assets)) < len(self.assets) or len(set(self.to)) < len(self.to):
            raise UsageError("an asset or a site is named twice in this recovery")
        if isinstance(self.point, Pinned) and len(self.assets) > 1:
            raise UsageError("one snapshot cannot be pinned for several assets", hint="use a point in time")
        if self.graceful and self.isolated:
            raise UsageError("a rehearsal in isolation stops nothing, so it is not graceful either")
        if self.approvers < 0:
            raise UsageError("the number of approvers is 0 or more")
        if self.fault_at is not None and self.noticed_at is not None and self.noticed_at < self.fault_at:
            raise UsageError(
                f"the fault was noticed at {to_rfc3339(self.noticed_at)}, before it was: {to_rfc3339(self.fault_at)}",
                hint="compare the clocks of what failed and of what noticed it",
            )
        if any(moment is not None and moment < 0 for moment in (self.fault_at, self.noticed_at)):
            raise UsageError("no fault was, or was noticed, before 1970")

    @property
    def detecting(self) -> float | None:
        """Seconds from the fault until it was noticed; None where one of the two is not known."""
        if self.fault_at is None or self.noticed_at is None:
            return None
        return (self.noticed_at - self.fault_at) / NANOSECONDS

    def require_past(self, now_ns: int) -> None:
        """Raises UsageError where the fault, or its being noticed, is of the future."""
        for what, moment in (("happened", self.fault_at), ("was noticed", self.noticed_at)):
            if moment is not None and moment > now_ns:
                raise UsageError(
                    f"the fault {what} at {to_rfc3339(moment)}, and now it is {to_rfc3339(now_ns)}",
                    hint="compare the clocks of what failed and of this machine",
                )
