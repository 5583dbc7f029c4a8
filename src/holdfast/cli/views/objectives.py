"""Lines of `holdfast objective`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, short_id
from holdfast.cli.schemas.objectives import ObjectiveFacts, ObjectiveStatus, RateFacts, StandingFacts
from holdfast.cli.views.layout import fact_lines
from holdfast.units import format_duration

__all__ = ["objective_lines"]

_DECIDED = {
    "cost": "what saves and failures cost",
    "rpo": "the RPO",
    "saving": "how long a save takes",
    "at_least": "the shortest that was asked for",
    "at_most": "the longest that was asked for",
    "first": "that no save was measured yet",
}


def objective_lines(record: ObjectiveStatus, page: Page) -> Iterator[str]:
    for number, asset in enumerate(record.assets):
        if number:
            yield ""
        yield from _asset(asset, page)


def _asset(one: ObjectiveFacts, page: Page) -> Iterator[str]:
    facts = [
        ("asset", f"{one.asset}, class {one.class_name}"),
        ("state", _state(one)),
        ("trouble", one.trouble or ""),
        *_standing(one.standing),
        ("interval", _interval(one)),
        *((f"by {bound.decider}", f"{format_duration(bound.seconds)}: {bound.reason}") for bound in one.bounds),
        ("a save costs", _cost(one)),
        ("failures", _rate(one.planned_with)),
        ("seen here", _rate(one.observed) if one.observed != one.planned_with else ""),
        (
            "costs in all",
            "" if one.overhead is None else f"{100 * one.overhead:.2g} % of the time, saves and lost work",
        ),
        ("lately", "" if one.usual_seconds is None else f"saved every {format_duration(one.usual_seconds)} (median)"),
    ]
    yield from fact_lines(facts, page.width)


def _standing(one: StandingFacts | None) -> Iterator[tuple[str, str]]:
    if one is None:
        return
    for name, target in (("RPO", one.rpo), ("RTO", one.rto)):
        yield name, f"{target.state}: {target.reason}"
        if target.cheapest is not None:
            change = target.cheapest
            price = "not priced" if change.monthly is None else f"{change.currency} {change.monthly:,.2f} a month"
            yield "  would help", f"{change.what}: {format_duration(change.reaches_seconds)}; {price}"
    for name, value in one.values.items():
        shown = "NOT_MEASURED" if value is None else format_duration(value)
        yield f"  {name}", f"{shown}: {one.sources.get(name, '')}"


def _state(one: ObjectiveFacts) -> str:
    rpo = "no RPO is set" if one.rpo_seconds is None else f"RPO {format_duration(one.rpo_seconds)}"
    if one.age_seconds is None:
        return f"{one.state}: {rpo}, {'not asked' if one.trouble else 'no snapshot'}"
    step = "" if one.step is None else f" (step {one.step})"
    return f"{one.state}: {rpo}, newest {short_id(one.newest or '')}{step} of {format_duration(one.age_seconds)} ago"


def _interval(one: ObjectiveFacts) -> str:
    if one.interval_seconds is None:
        return "" if one.trouble else "nothing says how often to save"
    decided = _DECIDED.get(one.decided_by or "", one.decided_by or "")
    missed = "" if one.attainable else "; THE RPO CANNOT BE KEPT: a save takes too long"
    return f"{format_duration(one.interval_seconds)}, decided by {decided}{missed}"


def _cost(one: ObjectiveFacts) -> str:
    if one.cost is None:
        return "" if one.trouble else "NOT_MEASURED: no run has told"
    total = one.cost.stopped_seconds + one.cost.slowed_seconds
    parts = f"{format_duration(one.cost.stopped_seconds)} stopped, {format_duration(one.cost.slowed_seconds)} slowed"
    durable = format_duration(one.cost.durable_seconds)
    return f"{format_duration(total)} of training ({parts}), durable after {durable}; {count(one.cost.saves, 'save')}"


def _rate(rate: RateFacts | None) -> str:
    if rate is None:
        return ""
    mean = f"one in {format_duration(rate.mtbf_seconds)}"
    if rate.source == "given" or rate.observed_seconds is None or rate.confidence is None:
        return f"{mean}, as the run was told"
    sure = f"{100 * rate.confidence:.0f} %"
    if rate.source == "bound":
        return f"none in {format_duration(rate.observed_seconds)}: at most {mean} ({sure} sure)"
    high = "no end" if rate.mtbf_high_seconds is None else format_duration(rate.mtbf_high_seconds)
    low = format_duration(rate.mtbf_low_seconds or 0.0)
    seen = f"{count(rate.failures or 0, 'restore')} in {format_duration(rate.observed_seconds)}"
    return f"{mean}: {seen}; {sure} sure that it is {low} to {high}"
