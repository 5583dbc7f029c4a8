"""Facts about objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.objectives import (
    BoundFacts,
    ChangeFacts,
    ObjectiveFacts,
    RateFacts,
    SaveCostFacts,
    StandingFacts,
    TargetFacts,
)
from holdfast.economics.book import load_list_prices
from holdfast.objectives.judge import State
from holdfast.objectives.measured import NotMeasured
from holdfast.training.intervals.status import IntervalStatus

if TYPE_CHECKING:
    from holdfast.control.recovering.standings import Stood
    from holdfast.control.sites.declared import DeclaredAsset
    from holdfast.objectives.failure_rates import FailureRate
    from holdfast.objectives.standing import Change, Target

__all__ = ["objective_facts"]

_NOTHING = IntervalStatus(None, None, None, None, None, None)


def objective_facts(
    asset: DeclaredAsset, found: IntervalStatus | None, trouble: str | None = None, stood: Stood | None = None
) -> ObjectiveFacts:
    """One asset; `found` is None where its home could not be asked, and `trouble` says why."""
    status = found or _NOTHING
    rpo = asset.owed.rpo.value
    choice, note = status.choice, status.note
    return ObjectiveFacts(
        asset=asset.name,
        class_name=asset.owed.asset.class_name,
        rpo_seconds=rpo,
        state=_state(status.age_seconds, rpo).value,
        newest=None if status.newest is None else status.newest.id,
        step=None if status.newest is None else status.newest.step,
        age_seconds=status.age_seconds,
        interval_seconds=None if choice is None else choice.seconds,
        decided_by=None if choice is None else choice.decided_by,
        attainable=choice is None or choice.attainable,
        overhead=None if choice is None else choice.overhead,
        bounds=[]
        if choice is None
        else [BoundFacts(decider=one.decider, seconds=one.seconds, reason=one.reason) for one in choice.bounds],
        cost=None
        if note is None or note.cost is None
        else SaveCostFacts(
            stopped_seconds=note.cost.stopped_seconds,
            slowed_seconds=note.cost.slowed_seconds,
            durable_seconds=note.cost.durable_seconds,
            saves=note.measured_saves,
        ),
        planned_with=_rate(note.rate) if note is not None and note.rate is not None else _rate(status.observed),
        observed=_rate(status.observed),
        usual_seconds=status.usual_seconds,
        trouble=None if trouble is None else clean(trouble),
        standing=None if stood is None else _standing(stood),
    )


def _standing(stood: Stood) -> StandingFacts:
    one = stood.observed
    values = {
        "exposure": _seconds(one.exposure),
        "interval": _seconds(one.interval),
        "copying": _seconds(one.copying),
        "verifying": _seconds(one.verifying),
        "drilled": None if one.drilled is None else one.drilled.seconds,
        "planned": _seconds(one.planned),
    }
    return StandingFacts(
        state=stood.standing.state.value,
        rpo=_target(stood.standing.rpo, "RPO"),
        rto=_target(stood.standing.rto, "RTO"),
        values=values,
        sources={name: clean(text) for name, text in stood.sources.items()},
    )


def _target(one: Target, name: str) -> TargetFacts:
    return TargetFacts(
        state=one.state.value,
        target_seconds=one.target,
        current_seconds=_seconds(one.current),
        achievable_seconds=_seconds(one.achievable),
        reason=clean(one.reason),
        cheapest=None if one.cheapest is None else _change(one.cheapest, name),
    )


def _change(one: Change, name: str) -> ChangeFacts:
    reached = one.rpo if name == "RPO" else one.rto
    assert reached is not None  # else it would not meet the target
    return ChangeFacts(
        what=clean(one.what), reaches_seconds=reached, monthly=one.monthly, currency=load_list_prices().currency
    )


def _seconds(value: float | NotMeasured) -> float | None:
    return None if isinstance(value, NotMeasured) else value


def _state(age: float | None, rpo: float | None) -> State:
    if age is None or rpo is None:
        return State.NOT_MEASURED
    return State.MET if age <= rpo else State.MISSED


def _rate(rate: FailureRate | None) -> RateFacts | None:
    if rate is None:
        return None
    return RateFacts(
        source=rate.source,
        mtbf_seconds=rate.mtbf_seconds,
        mtbf_low_seconds=1 / rate.high if rate.high else None,
        mtbf_high_seconds=1 / rate.low if rate.low else None,
        confidence=rate.confidence,
        failures=rate.failures,
        observed_seconds=rate.observed_seconds,
    )
