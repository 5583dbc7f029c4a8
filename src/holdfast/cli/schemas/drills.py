"""Output of `holdfast drill`. A figure that nobody measured is null; its `…_state` says so."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, SnapshotRef, Time

__all__ = [
    "DrillCleared",
    "DrillCompared",
    "DrillExperiment",
    "DrillList",
    "DrillPlanned",
    "DrillRan",
    "DrillScenarios",
]
__all__ += [
    "DrillStatus",
    "DrillStopped",
    "DeclaredDrill",
    "DrillFault",
    "DrillPhase",
    "DrillSide",
    "LeftOver",
    "Refused",
]
__all__ += ["ScenarioFacts", "ShortDrill", "ActivityFacts"]

DrillId = Annotated[str, msgspec.Meta(description="20 hex digits")]


class ScenarioFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What can be broken on purpose. `expects`: what has to come of it. `sites`: so many it needs."""

    name: str
    disruption: str
    summary: str
    expects: str
    real: str
    simulated: str
    sites: Count


class DrillScenarios(Record, frozen=True, kw_only=True, tag="holdfast/drill-scenarios/1"):
    """`drill scenarios`. `plants`: what can be made to go wrong on purpose, to try the drill itself."""

    scenarios: list[ScenarioFacts]
    plants: dict[str, str]


class ShortDrill(msgspec.Struct, frozen=True, kw_only=True):
    """A drill that has ended."""

    id: DrillId
    name: str
    recovery: str
    scenario: str
    level: str
    state: str
    missed: bool
    started: Time
    rpo: Seconds | None
    rto: Seconds | None


class DeclaredDrill(msgspec.Struct, frozen=True, kw_only=True):
    """A drill of holdfast.yaml. `overdue_seconds`: how long it should have been run since; null: it is in time."""

    name: str
    recovery: str
    scenario: str
    level: str
    every_seconds: Seconds
    surprise_within_seconds: Seconds | None
    last: ShortDrill | None
    overdue_seconds: Seconds | None


class DrillList(Record, frozen=True, kw_only=True, tag="holdfast/drill-list/1"):
    """`drill list`. `others`: reports of drills that were asked for by hand, the newest first."""

    config: str
    drills: list[DeclaredDrill]
    others: list[ShortDrill]
    stopped: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Something that speaks against a drill now. `change`: what would help."""

    code: str
    reason: str
    change: str


class DrillPlanned(Record, frozen=True, kw_only=True, tag="holdfast/drill-plan/1"):
    """`drill plan`: what a drill would do. `bytes`: of the snapshots that are copied. It is run without `refusals`.

    `isolated`: why it is played where the data lie, with a site cut off from the drill; empty: on copies.
    """

    name: str
    recovery: str
    asset: str
    scenario: ScenarioFacts
    level: str
    store: str
    snapshots: list[SnapshotRef]
    bytes: Bytes
    where: str
    sites: list[str]
    isolated: str
    refusals: list[Refused]


class DrillFault(msgspec.Struct, frozen=True, kw_only=True):
    """`bit`: a probe saw that it took effect; `evidence`: what it saw."""

    what: str
    site: str
    at: Time
    real: bool
    bit: bool | None
    evidence: str
    healed: Time | None


class DrillPhase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the round trip. `run`: of a recovery, where one did it."""

    name: str
    verdict: str
    detail: str
    seconds: Seconds | None
    run: str


class LeftOver(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill made, what of it was removed, and what is left."""

    created: list[str]
    removed: list[str]
    left: list[str]


class DrillRan(Record, frozen=True, kw_only=True, tag="holdfast/drill-run/1"):
    """`drill run`, `drill report`. `state`: PASSED or FAILED (the recovery), STOPPED, or ERROR (the drill itself).

    `rpo_state`, `rto_state`, `copies_state`: MET, MISSED, NOT_MEASURED or INVALID. `rto` is `detect` + `decide` +
    `execute` + `verify`. `compared`: each comparison with the undamaged source, and how it came out.
    """

    drill: DrillId
    name: str
    recovery: str
    asset: str
    scenario: str
    level: str
    state: str
    why: str
    started: Time
    ended: Time
    rpo: Seconds | None
    rpo_target: Seconds | None
    rpo_state: str
    steps_lost: Count | None
    rto: Seconds | None
    rto_target: Seconds | None
    rto_state: str
    detect: Seconds | None
    decide: Seconds | None
    execute: Seconds | None
    verify: Seconds | None
    copies: Count | None
    copies_state: str
    recovery_site: str
    snapshot: str
    runs: list[str]
    faults: list[DrillFault]
    phases: list[DrillPhase]
    compared: dict[str, str]
    absent: list[str]
    deviations: list[str]
    findings: list[str]
    real: list[str]
    simulated: list[str]
    exclusions: dict[str, str]
    clean_up: LeftOver
    steady: list[str]
    evidence: list[str]
    evidence_problem: str


class DrillSide(msgspec.Struct, frozen=True, kw_only=True):
    """One of two drills. Seconds; null: not measured."""

    drill: DrillId
    scenario: str
    state: str
    rpo: Seconds | None
    rto: Seconds | None
    detect: Seconds | None
    decide: Seconds | None
    execute: Seconds | None
    verify: Seconds | None


class DrillCompared(Record, frozen=True, kw_only=True, tag="holdfast/drill-compare/1"):
    """`drill report --against`: two drills side by side. `rto_more`: how much longer the second took; null: unknown."""

    first: DrillSide
    second: DrillSide
    rto_more: Annotated[float, msgspec.Meta(description="seconds")] | None


class DrillStatus(Record, frozen=True, kw_only=True, tag="holdfast/drill-status/1"):
    """`drill status`. `under_way`: the drill of this machine, empty: none. `abandoned`: drills that died."""

    under_way: str
    stopped: str
    abandoned: list[str]
    ended: list[ShortDrill]


class DrillStopped(Record, frozen=True, kw_only=True, tag="holdfast/drill-stop/1"):
    """`drill stop`. `all`: nobody begins one until the lever is released. `was_stopped`: with --release.

    `places`: stores that know of it by now; none for one drill, and with --here. `silent`: others, and why not.
    """

    drill: str
    all: bool
    released: bool
    was_stopped: bool
    places: list[str]
    silent: dict[str, str]


class DrillCleared(Record, frozen=True, kw_only=True, tag="holdfast/drill-clear/1"):
    """`drill clear`: what drills that died had left."""

    removed: list[str]
    left: list[str]


class ActivityFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One activity of an experiment, as the journal has it."""

    section: str
    name: str
    kind: str
    status: str
    seconds: Seconds
    tolerance_met: bool | None


class PlannedActivity(msgspec.Struct, frozen=True, kw_only=True):
    """What would be run. `does`: the process, the request (without what its headers say), or the call.

    `missing`: why it would be refused; empty: it would not.
    """

    section: str
    name: str
    kind: str
    provider: str
    does: str
    timeout_seconds: Seconds
    background: bool
    missing: str


class DrillExperiment(Record, frozen=True, kw_only=True, tag="holdfast/drill-experiment/1"):
    """`drill experiment`. `status`: as the journal has it: `completed`, `failed`, `aborted`, `interrupted`; `read` with
    --dry-run, where `planned` is all that would be run.
    """

    title: str
    status: str
    state: str
    deviated: bool
    steady_before: bool | None
    steady_after: bool | None
    activities: list[ActivityFacts]
    planned: list[PlannedActivity]
    journal: str
