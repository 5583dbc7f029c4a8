"""The record of a drill: what a signed evidence file says, section by section.

Every figure that nobody took says NOT_MEASURED. Times are told twice: UTC for people, and the offset in seconds on
the monotonic clock of the machine that ran the drill, counted from its start, for arithmetic.
"""

from __future__ import annotations

import msgspec

from holdfast.drills.record_outcome import Bytes, Integrity, Moment, MomentKind, Results, SnapshotRow
from holdfast.drills.record_setting import CleanUp, Finding, Identity, Person, Scenario, Scope, Targets, Trust
from holdfast.objectives import NotMeasured

__all__ = ["SCHEMA_VERSION", "Evidence"]

SCHEMA_VERSION = 1


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
    deviations: tuple[str, ...]
    findings: tuple[Finding, ...]
    clean_up: CleanUp
    trust: Trust

    def moment(self, kind: MomentKind) -> Moment | None:
        """The first moment of that kind, if there is one."""
        return next((moment for moment in self.timeline if moment.kind is kind), None)

    def recovery_snapshot(self) -> SnapshotRow | None:
        """The row of the snapshot that was used, if one was."""
        wanted = self.results.recovery_point
        return next((row for row in self.snapshots if row.snapshot_id == wanted), None)
