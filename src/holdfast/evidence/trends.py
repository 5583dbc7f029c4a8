"""What many records say together: RTO and RPO against their targets, predictions, drills that are due, findings. Pure.

*Calibration*: of every run whose steps were predicted, the ratio of what they took to what the plan had said. The
median of its logarithm says by which factor predictions are off in one direction (1: not at all; 2: runs take twice as
long). *Coverage* is the share of runs that took no longer and no shorter than the error allowed. An error that is one
standard deviation of a normal distribution would cover 68 %.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from holdfast.clock import NANOSECONDS, from_rfc3339, to_rfc3339
from holdfast.evidence.findings import OpenFinding, goes_as_far, open_findings
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import Exercise
from holdfast.objectives import NOT_MEASURED, NotMeasured, State

__all__ = ["AssetTrend", "Calibration", "Declared", "Due", "Point", "Trends", "calibrate", "trends_of"]

Figure = float | NotMeasured


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A drill of holdfast.yaml. `exercise`: how far it has to go, so that it counts as held."""

    name: str
    recovery: str
    every_seconds: float
    exercise: Exercise = Exercise.TABLETOP


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `at`: ns since the epoch, when it ended. Seconds; targets are None where none was set."""

    run: str
    at: int
    kind: str
    scenario: str
    outcome: str
    rto: Figure
    rto_target: float | None
    rto_state: State
    rpo: Figure
    rpo_target: float | None
    rpo_state: State
    predicted: Figure
    predicted_error: float
    took: Figure  # what was predicted, as it was


class AssetTrend(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of an asset (or of assets that come back together), the oldest first."""

    asset: str
    points: tuple[Point, ...]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of `runs` predicted runs. `factor`: e to the median of ln(took / predicted). `coverage`: 0 to 1."""

    runs: int
    median_log_ratio: Figure = NOT_MEASURED
    factor: Figure = NOT_MEASURED
    coverage: Figure = NOT_MEASURED


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A declared drill: when it was last held, last PASSED, and by how many seconds it is overdue (0: it is not).

    One that broke, was stopped or went less far than declared was not held: it says nothing of what it was to show. A
    drill that was never held is overdue by NOT_MEASURED: nobody says since when it is declared.
    """

    name: str
    recovery: str
    every_seconds: float
    last_utc: str
    passed_utc: str
    overdue_seconds: Figure


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. `closed`: how many findings were closed by a later run."""

    at: int
    records: int
    assets: tuple[AssetTrend, ...]
    calibration: Calibration
    due: tuple[Due, ...]
    open: tuple[OpenFinding, ...]
    closed: int


def trends_of(records: Iterable[Evidence], declared: Sequence[Declared], now: int) -> Trends:
    """`now`: ns since the epoch."""
    dated = sorted(((_ended(record), record) for record in records), key=lambda one: (one[0], one[1].identity.run))
    assets: dict[str, list[Point]] = {}
    for at, record in dated:
        assets.setdefault(record.scope.asset, []).append(_point(record, at))
    points = [point for those in assets.values() for point in those]
    return Trends(
        at=now,
        records=len(dated),
        assets=tuple(AssetTrend(asset=name, points=tuple(assets[name])) for name in sorted(assets)),
        calibration=calibrate(points),
        due=tuple(_due(one, dated, now) for one in declared),
        open=tuple(open_findings(record for _, record in dated)),
        closed=len({finding.finding_id for _, record in dated for finding in record.closed}),
    )


def _ended(record: Evidence) -> int:
    try:
        return from_rfc3339(record.identity.ended_utc or record.identity.started_utc)
    except (ValueError, OverflowError):
        return 0


def _point(record: Evidence, at: int) -> Point:
    results, verdict = record.results, record.results.verdict
    told = results.predicted
    return Point(
        run=record.identity.run or record.identity.record_id,
        at=at,
        kind=record.identity.kind,
        scenario=record.scenario.name or record.scenario.disruption,
        outcome=results.outcome,
        rto=verdict.rto.measured,
        rto_target=verdict.rto.target,
        rto_state=verdict.rto.state,
        rpo=verdict.rpo.measured,
        rpo_target=verdict.rpo.target,
        rpo_state=verdict.rpo.state,
        predicted=told.seconds if told is not None else NOT_MEASURED,
        predicted_error=told.error_seconds if told is not None else 0.0,
        took=told.compared_seconds if told is not None else NOT_MEASURED,
    )


def calibrate(points: Iterable[Point]) -> Calibration:
    """Of those that were predicted, took time, and PASSED: a run that broke off took no time that says anything."""
    ratios: list[float] = []
    within = 0
    for one in points:
        if isinstance(one.predicted, NotMeasured) or isinstance(one.took, NotMeasured) or one.outcome != Outcome.PASSED:
            continue
        if not (one.predicted > 0 and one.took > 0):
            continue
        ratios.append(math.log(one.took / one.predicted))
        within += abs(one.took - one.predicted) <= one.predicted_error
    if not ratios:
        return Calibration(runs=0)
    middle = statistics.median(ratios)
    return Calibration(
        runs=len(ratios), median_log_ratio=middle, factor=math.exp(middle), coverage=within / len(ratios)
    )


def _due(drill: Declared, dated: Sequence[tuple[int, Evidence]], now: int) -> Due:
    said = [one for one in dated if one[1].identity.drill_name == drill.name]
    held = [
        (at, record)
        for at, record in said
        if record.results.outcome in (Outcome.PASSED, Outcome.FAILED)
        and goes_as_far(record.identity.exercise, drill.exercise)
    ]
    last = max((at for at, _ in held), default=0)
    passed = max((at for at, record in held if record.results.outcome is Outcome.PASSED), default=0)
    late: Figure = NOT_MEASURED
    if last:
        late = max(0.0, (now - last) / NANOSECONDS - drill.every_seconds)
    return Due(
        name=drill.name,
        recovery=drill.recovery,
        every_seconds=drill.every_seconds,
        last_utc=to_rfc3339(last) if last else "",
        passed_utc=to_rfc3339(passed) if passed else "",
        overdue_seconds=late,
    )
