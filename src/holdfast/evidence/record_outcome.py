"""The record of a run, second half: what happened, what came out, and what was checked.

What has a default after the fields without one came with version 2 of the record, and is not in files of version 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast.objectives import NOT_MEASURED, Measured, NotMeasured, Split, Verdict, split_between

__all__ = ["MomentKind", "Moment", "split_of", "ArrivalState", "Arrival", "SnapshotRow", "ByteRow", "Shipped", "Bytes"]
__all__ += ["Outcome", "WorkLost", "Results", "CheckLevel", "CheckResult", "Check", "Integrity", "ClockKind", "StepRow"]
__all__ += ["Phase", "Capacity", "Predicted", "Origin", "RecoveryPoint", "Passed", "Deviation", "DeviationKind"]


class MomentKind(StrEnum):
    """What happened. `fault` to `verified` bound the parts of the RTO."""

    STARTED = "started"
    CHECKPOINT = "checkpoint"  # the trainer completed one
    SNAPSHOT = "snapshot"  # its root exists on a store
    REPLICATED = "replicated"  # and on another site
    FAULT = "fault"
    DETECTED = "detected"
    DECIDED = "decided"
    EXECUTED = "executed"  # restored, and the service runs again
    VERIFIED = "verified"  # and it is proven that it is the right one
    CHECK = "check"
    STEP = "step"
    FINISHED = "finished"
    CLEANED = "cleaned"
    PLANNED = "planned"  # the facts that the plan relies on were probed
    APPROVED = "approved"
    SAID = "said"  # by a person: pause, resume, skip, stop
    HEALED = "healed"


class ClockKind(StrEnum):
    """By which clock an offset was taken."""

    MONOTONIC = "monotonic"  # of the machine that ran the drill
    WALL = "wall"  # differences of UTC, by the clock of whoever wrote the entry of the journal


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline; `result_sha256` is the hash of what a step produced, where there is one."""

    kind: MomentKind
    utc: str
    offset_seconds: float
    text: str
    site: str = ""
    result_sha256: str = ""
    step: str = ""
    attempt: int = 0
    by: str = ""
    clock: ClockKind = ClockKind.MONOTONIC


def split_of(timeline: Iterable[Moment]) -> Split:
    """The parts of the RTO: distances between the first moments of each kind. All NOT_MEASURED without a fault."""
    first: dict[MomentKind, float] = {}
    for moment in timeline:
        first.setdefault(moment.kind, moment.offset_seconds)
    if MomentKind.FAULT not in first:
        return Split()
    return split_between(
        fault=first[MomentKind.FAULT],
        detected=first.get(MomentKind.DETECTED),
        decided=first.get(MomentKind.DECIDED),
        executed=first.get(MomentKind.EXECUTED),
        verified=first.get(MomentKind.VERIFIED),
    )


class ArrivalState(StrEnum):
    """What a site holds of a snapshot."""

    VERIFIED = "verified"  # read back there and checked
    COMPLETE = "complete"  # its root exists, hence all it refers to
    PARTIAL = "partial"  # some of its data, no root
    ABSENT = "absent"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot on one site, at the time of the fault."""

    site: str
    state: ArrivalState
    offset_seconds: float | NotMeasured = NOT_MEASURED  # when it was complete there


class SnapshotRow(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot, and how far it had come when the fault struck."""

    snapshot_id: str
    step: int | NotMeasured
    content_ns: int  # UTC: the moment whose state it holds
    content_offset_seconds: float
    source_bytes: int
    arrivals: tuple[Arrival, ...]
    rejected: str = ""  # why it was not chosen as the recovery point, where it was considered


class ByteRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one mechanism (dedup, delta, planes, zstd, raw) did to the chunks that it was used for."""

    mechanism: str
    chunks: int
    bytes_before: int
    bytes_after: int


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that crossed to a site."""

    site: str
    bytes_sent: int


class Bytes(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes went, over all snapshots. `overhead_bytes`: keys, indexes, manifests, roots."""

    rows: tuple[ByteRow, ...]
    overhead_bytes: int
    shipped: tuple[Shipped, ...] = ()

    @property
    def source(self) -> int:
        """Bytes of the snapshots as the trainer wrote them."""
        return sum(row.bytes_before for row in self.rows)

    @property
    def stored(self) -> int:
        """Bytes on one store."""
        return sum(row.bytes_after for row in self.rows) + self.overhead_bytes


class Outcome(StrEnum):
    """How the run ended. ERROR: the drill itself broke, which says nothing about the system."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    ERROR = "ERROR"


class WorkLost(msgspec.Struct, frozen=True, kw_only=True):
    """The RPO in other coin."""

    steps: int | NotMeasured = NOT_MEASURED
    tokens: int | NotMeasured = NOT_MEASURED
    gpu_hours: float | NotMeasured = NOT_MEASURED
    usd: float | NotMeasured = NOT_MEASURED


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the plan, as the journal has it. Times are UTC, empty where there is none.

    `seconds`: from its last beginning to its end. `result_sha256`: of what its end told, canonical JSON. `estimate_*`:
    what the plan had said; `estimate_source` says whether that was measured, declared or assumed.
    """

    step: str
    kind: str
    title: str
    site: str
    asset: str
    state: str
    attempts: int
    begun_utc: str
    ended_utc: str
    seconds: float | NotMeasured
    result_sha256: str
    estimate_seconds: float | NotMeasured
    estimate_error_seconds: float
    estimate_source: str


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a drill's round trip (fault, failover, reprotect, reverse, …) with a verdict of its own.

    `run`: the run of a recovery that did it, where one did.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    seconds: float | NotMeasured = NOT_MEASURED
    run: str = ""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of an asset: how many were owed at full capacity, asked for, and obtained, and how long that took."""

    asset: str
    shape: str
    wanted: int
    asked: int
    obtained: int | NotMeasured = NOT_MEASURED
    seconds: float | NotMeasured = NOT_MEASURED


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan had said its steps would take (without detecting and deciding), give or take `error_seconds`."""

    seconds: float
    error_seconds: float
    source: str
    compared_seconds: float | NotMeasured = NOT_MEASURED  # the same part, as it was


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a figure is from, or why there is none."""

    figure: str
    source: str


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery point or a site that was considered and passed over, and why."""

    what: str
    why: str


class RecoveryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What came back of an asset. `age_seconds`: between its content and the facts of the plan."""

    asset: str
    snapshot_id: str
    step: int | NotMeasured
    content_ns: int
    age_seconds: float
    site: str
    store: str
    rejected: tuple[Passed, ...] = ()


class DeviationKind(StrEnum):
    """How the run differed from its plan."""

    SKIPPED = "skipped"
    RETRIED = "retried"
    FAILED = "failed"
    STOPPED = "stopped"
    PAUSED = "paused"
    ADOPTED = "adopted"
    UNDONE = "undone"
    IGNORED = "ignored"
    OVERRIDDEN = "overridden"
    MANUAL = "manual"
    CLOCK = "clock"
    OTHER = "other"


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """One such difference; `by`: who said so, where a person did."""

    kind: DeviationKind
    text: str
    step: str = ""
    by: str = ""
    utc: str = ""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """What came out. `verdict` is `judge(objective, measured)` and nothing else: anyone can compute it again.

    `outcome` is the run's own state; whether the objective was met, the verdict says. `why`: the reason of an outcome
    other than PASSED, as far as anybody gave one.
    """

    outcome: Outcome
    measured: Measured
    verdict: Verdict
    recovery_site: str = ""  # empty: not recovered
    recovery_point: str = ""  # snapshot id
    resumed_step: int | NotMeasured = NOT_MEASURED
    work_lost: WorkLost = WorkLost()
    capacity_percent: float | NotMeasured = NOT_MEASURED
    capacity: tuple[Capacity, ...] = ()
    points: tuple[RecoveryPoint, ...] = ()
    phases: tuple[Phase, ...] = ()
    predicted: Predicted | None = None
    origins: tuple[Origin, ...] = ()
    why: str = ""


class CheckLevel(StrEnum):
    """How deep a check looked."""

    PRESENT = "present"
    HASHES = "hashes"
    DECODED = "decoded"
    SEMANTIC = "semantic"
    SERVED = "served"


class CheckResult(StrEnum):
    """How a check came out."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    NOT_MEASURED = "NOT_MEASURED"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check; `expected` and `actual` are the two digests or values that were compared, where there are two."""

    name: str
    level: CheckLevel
    result: CheckResult
    detail: str
    expected: str = ""
    actual: str = ""


class Integrity(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked about the recovered content, and how much of it."""

    checks: tuple[Check, ...]
    sample_percent: float | NotMeasured = NOT_MEASURED
    source_count: int | NotMeasured = NOT_MEASURED
    compared_count: int | NotMeasured = NOT_MEASURED
