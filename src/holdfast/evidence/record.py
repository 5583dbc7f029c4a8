"""The record of a run: what a signed evidence file says, section by section.

Every figure that nobody took says NOT_MEASURED. Times are told twice: UTC for people, and the offset in seconds on
the monotonic clock of the machine that ran the drill, counted from its start, for arithmetic. Moments from a run's
journal have only the wall clocks of whoever wrote them, and say so.

Version 2 holds everything that version 1 held, under the same names; what is new has defaults. Files of both are read.
"""

from __future__ import annotations

import msgspec

from holdfast.evidence.record_costs import Costs
from holdfast.evidence.record_outcome import (
    Bytes,
    Deviation,
    Integrity,
    Moment,
    MomentKind,
    Results,
    SnapshotRow,
    StepRow,
)
from holdfast.evidence.record_setting import (
    CleanUp,
    ClosedFinding,
    Finding,
    Identity,
    Person,
    Scenario,
    Scope,
    Targets,
)
from holdfast.evidence.record_trust import Trust
from holdfast.objectives import NotMeasured

__all__ = ["READ_VERSIONS", "SCHEMA_VERSION", "Evidence"]

SCHEMA_VERSION = 2
READ_VERSIONS = (1, 2)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The record. Field order is the order of `evidence.json`."""

    schema_version: int
    identity: Identity
    scope: Scope
    scenario: Scenario
    people: tuple[Person, ...]
    targets: Targets
    timeline: tuple[Moment, ...]
    snapshots: tuple[SnapshotRow, ...]
    bytes_moved: Bytes | NotMeasured
    results: Results
    integrity: Integrity
    deviations: tuple[Deviation | str, ...]  # version 1 had sentences alone
    findings: tuple[Finding, ...]
    clean_up: CleanUp
    trust: Trust
    steps: tuple[StepRow, ...] = ()
    closed: tuple[ClosedFinding, ...] = ()
    costs: Costs | None = None  # None: nothing was gathered, as in records before November 2026

    def moment(self, kind: MomentKind) -> Moment | None:
        """The first moment of that kind, if there is one."""
        return next((moment for moment in self.timeline if moment.kind is kind), None)

    def recovery_snapshot(self) -> SnapshotRow | None:
        """The row of the snapshot that was used, if one was."""
        wanted = self.results.recovery_point
        return next((row for row in self.snapshots if row.snapshot_id == wanted), None)
