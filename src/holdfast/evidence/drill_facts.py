"""What a drill knows and a run's journal does not: its fault, what it detected, its isolation, its verdicts, its rest.

A drill fills this and hands it to `holdfast.control.evidencing.writing.write_evidence_of`. Two clocks: `at_ns` is UTC
in nanoseconds, `offset_seconds` counts on the monotonic clock of the drill's process from its start. What nobody took
is NOT_MEASURED; empty tuples mean that there was nothing.
"""

from __future__ import annotations

import msgspec

from holdfast.evidence.record_outcome import ArrivalState, Check, Moment, Outcome, Phase, WorkLost
from holdfast.evidence.record_setting import (
    CleanUp,
    Disruption,
    Environment,
    Exclusion,
    Exercise,
    Finding,
    Person,
)
from holdfast.objectives import NOT_MEASURED, NotMeasured

__all__ = ["Instant", "InjectedFault", "Detection", "HeldCopy", "DrillFacts"]


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """One moment by both clocks."""

    at_ns: int
    offset_seconds: float


class InjectedFault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was broken. `real`: the thing itself, and not a stand-in for it.

    `bit`: whether a probe saw that it took effect; `evidence`: what that probe saw, in words. A fault that did not bite
    makes the drill an ERROR. `healed`: when it was taken back, where it was.
    """

    what: str
    at: Instant
    real: bool
    site: str = ""
    bit: bool | NotMeasured = NOT_MEASURED
    evidence: str = ""
    healed: Instant | None = None


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """A probe of the drill noticed the fault."""

    at: Instant
    by: str
    saw: str


class HeldCopy(msgspec.Struct, frozen=True, kw_only=True):
    """What a site held of a snapshot when the fault struck."""

    site: str
    snapshot_id: str
    state: ArrivalState


class DrillFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it.

    `drill_id`: 20 hex digits, one for each time that it is run; `name`: as declared in holdfast.yaml, empty for one
    that was asked for by hand; `recovery`: what it rehearses, by name; `scenario`: the scenario's name (`site-lost`,
    `keys-lost`, …); `outcome`: of the drill,
    ERROR when it could not inject, observe or clean up; `why`: the reason when it is not PASSED.
    `fault_site`: empty where no site failed. `moments`: of the drill's own timeline on its monotonic clock; where
    FAULT, DETECTED, DECIDED, EXECUTED and VERIFIED are among them, the parts of the RTO are their distances, and the
    journal's clock is not used for them. `phases`: the round trip, a verdict each. `checks`: comparisons with the
    undamaged source. `absent`: people whose absence was exercised. `real`, `simulated`: sentences for a reader.
    `planted`: what was made to go wrong on purpose, to try the drill itself.
    `source_count`, `compared_count`: things (files, tensors, chunks) at the source, and of these compared.
    """

    drill_id: str
    name: str = ""
    recovery: str = ""
    scenario: str
    disruption: Disruption
    summary: str
    environment: Environment
    exercise: Exercise
    outcome: Outcome
    why: str = ""
    started: Instant
    ended: Instant
    fault_site: str = ""
    fault_step: int | NotMeasured = NOT_MEASURED
    faults: tuple[InjectedFault, ...] = ()
    detections: tuple[Detection, ...] = ()
    moments: tuple[Moment, ...] = ()
    real: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    checks: tuple[Check, ...] = ()
    source_count: int | NotMeasured = NOT_MEASURED
    compared_count: int | NotMeasured = NOT_MEASURED
    held: tuple[HeldCopy, ...] = ()
    copies_verified: int | NotMeasured = NOT_MEASURED
    last_change_ns: int | NotMeasured = NOT_MEASURED
    work_lost: WorkLost = WorkLost()
    people: tuple[Person, ...] = ()
    absent: tuple[Person, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    deviations: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    clean_up: CleanUp = CleanUp(created=(), removed=(), left=())
    planted: str = ""
