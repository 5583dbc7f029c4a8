"""What was probed, and when: all that a planner and a reviewer may know. Nothing here is fetched; unknown is unknown.

Times are ns since the epoch, UTC.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.errors import UsageError
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import UNKNOWN, Estimate, Rate

__all__ = ["Answer", "Proof", "Replica", "Snapshot", "Asset", "Compute", "Site", "Facts"]


class Answer(StrEnum):
    """Whether a site answered when it was asked."""

    YES = "answers"
    NO = "does not answer"
    UNKNOWN = "was not asked"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot was read back whole at a site: when, and how far (`stored-bytes`, `decoded`, `semantic`)."""

    at: int
    level: str


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot at a store. `whole`: its root and all it needs are there. `fetch`: bytes to be read to restore it;
    `wait`: seconds until the first of them comes (an archive). `rates`: site of the machines → how fast it is read
    from there.
    """

    site: str
    store: str
    whole: bool
    fetch: int
    wait: float = 0.0
    proof: Proof | None = None
    rates: dict[str, Rate] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`content`: the time of what it holds; `verdict`: of its validation (`good`, `warned`, `quarantined`)."""

    id: SnapshotId
    asset: str
    content: int
    step: int | None = None
    size: int = 0
    verdict: str = "good"
    replicas: tuple[Replica, ...] = ()


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """`home`: the site where it is written now, its epoch there `epoch`; empty: nowhere. `interval`: seconds between
    snapshots. `jurisdictions`: where it may lie, () for anywhere. `needs`: machines at full capacity, 0 for data alone;
    `least`: with how many it may run at all. `shapes`: kinds of machines that will do, the best first.
    `verifying`: how fast what was restored is checked. `starting`: from machines to a service that is good. `saving`:
    once more at the home, after it was stopped, until the copy is complete elsewhere.
    """

    name: str
    home: str = ""
    epoch: int = 0
    rpo: float | None = None
    rto: float | None = None
    interval: float
    jurisdictions: tuple[str, ...] = ()
    needs: int = 0
    least: int = 0
    shapes: tuple[str, ...] = ()
    verifying: Rate | None = None
    starting: Estimate = UNKNOWN
    saving: Estimate = UNKNOWN
    traffic: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be."""
        if not self.interval > 0:
            raise UsageError(f"the interval of {self.name} is more than no time")
        if not 0 <= self.least <= self.needs or (self.needs and not self.shapes):
            raise UsageError(f"{self.name} needs {self.needs} machines, {self.least} at least, of {self.shapes or '?'}")


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of a shape at a site: `ready` stand there running, `free` more were there to be had when `probed`;
    `getting`: until they run.
    """

    shape: str
    ready: int = 0
    free: int = 0
    probed: int
    getting: Estimate = UNKNOWN


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: as people declared it (`ok`, `failed`, `draining`, `rebuilding`). `fencing`: how long it takes until
    nothing there can write any more, as all others see it.
    """

    name: str
    jurisdiction: str
    answer: Answer = Answer.UNKNOWN
    state: str = "ok"
    compute: tuple[Compute, ...] = ()
    fencing: Estimate = UNKNOWN
    restored: dict[str, SnapshotId] = {}  # asset → the snapshot that stands there ready to run (a hot standby)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found out by `at`."""

    at: int
    assets: tuple[Asset, ...]
    sites: tuple[Site, ...]
    snapshots: tuple[Snapshot, ...] = ()
    deciding: Estimate = UNKNOWN  # from a plan to the approval of it, as it was in drills
    detecting: Estimate = UNKNOWN  # from a fault to knowing of it
    acting: Estimate = UNKNOWN  # one small act on a site: promote, start, stop, send traffic

    def __post_init__(self) -> None:
        """Raises UsageError where two of a kind have one name."""
        for names in ([one.name for one in self.assets], [one.name for one in self.sites]):
            if len(set(names)) < len(names):
                raise UsageError("two assets or two sites of these facts have one name")

    def asset(self, name: str) -> Asset | None:
        """None: nobody knows it."""
        return next((one for one in self.assets if one.name == name), None)

    def site(self, name: str) -> Site | None:
        """None: nobody knows it."""
        return next((one for one in self.sites if one.name == name), None)

    def snapshots_of(self, asset: str) -> list[Snapshot]:
        """The newest content first; of equal content, the younger id."""
        chosen = [one for one in self.snapshots if one.asset == asset]
        return sorted(chosen, key=lambda one: (one.content, one.id), reverse=True)
