"""Sections of the evidence page about what was set up: identity, scope, scenario, and what nobody measured."""

from __future__ import annotations

import msgspec

from holdfast.evidence.controls import gaps_in
from holdfast.evidence.markup import Child, Markup, tag
from holdfast.evidence.page_parts import bullets, code, duration, facts, number
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_setting import UNKNOWN, Scenario, Scope

__all__ = ["identity_facts", "scope_facts", "scenario_lists", "gaps_list"]


def identity_facts(record: Evidence) -> Markup:
    """Which run this is, on what machine, against which targets."""
    identity, targets = record.identity, record.targets
    objective = targets.objective
    plan: Child = "none: the steps are fixed in the program"
    if identity.plan is not None:
        plan = tag("span", f"{identity.plan.plan_id}, version {identity.plan.version}, ", code(identity.plan.sha256))
    rows: list[tuple[str, Child]] = [
        ("Record", code(identity.record_id)),
        ("Software", identity.software),
        ("Machine", f"{identity.machine.system}, {identity.machine.processors} processors, {identity.machine.python}"),
        ("Plan", plan),
        ("Class of the asset", objective.asset_class),
        ("RPO allowed", _target(objective.rpo_seconds)),
        ("RTO allowed", _target(objective.rto_seconds)),
        ("Placement", f"{objective.placement}, {objective.copies or 'any number of'} copies"),
        ("Steps that may be lost", _optional(targets.steps_lost_max, "")),
        ("Capacity owed", _optional(targets.capacity_min_percent, "%")),
        ("Budget", _optional(targets.budget_usd, "USD")),
        ("Controls that it supports", ", ".join(identity.controls) or "none claimed"),
        ("People", "; ".join(f"{person.role}: {person.name}" for person in record.people) or _NOBODY),
    ]
    return facts(rows)


_NOBODY = f"{UNKNOWN}: roles, approval and absence were not exercised"


def _target(seconds: float | None) -> str:
    return "none set" if seconds is None else duration(seconds)


def _optional(value: float | None, unit: str) -> str:
    return "none set" if value is None else number(value, unit)


def scope_facts(scope: Scope) -> Markup:
    """What the drill was about, and what it left out."""
    rows: list[tuple[str, Child]] = [("Asset", f"{scope.asset}: {scope.description}")]
    rows += [(f"Site {site.name}", tag("span", f"{site.role}; ", code(site.place))) for site in scope.sites]
    rows.append(("Third parties", ", ".join(scope.third_parties) or "none"))
    rows += [
        (
            f"Left out: {item.what}",
            f"{item.reason} (owner: {item.owner or 'not named'}; until: {item.expires or 'no date'})",
        )
        for item in scope.exclusions
    ]
    return facts(rows)


def scenario_lists(scenario: Scenario) -> Markup:
    """The fault, and what about it was real."""
    lists = [
        ("Injected", bullets(scenario.injected, "nothing")),
        ("Real", bullets(scenario.real, "nothing")),
        ("Simulated", bullets(scenario.simulated, "nothing")),
    ]
    columns = [tag("div", tag("h3", name), items) for name, items in lists]
    summary = tag("p", scenario.summary, f" Kind of disruption: {scenario.disruption}.")
    return tag("div", summary, tag("div", *columns, class_="columns"))


def gaps_list(record: Evidence) -> Markup:
    """Every figure of the record that says NOT_MEASURED, so that silence cannot be taken for success."""
    gaps = sorted(set(gaps_in(msgspec.to_builtins(record), "")))
    lead = tag("p", "Nobody took a figure of the following. Nothing on this page may be read as if somebody had.")
    listed = bullets([code(gap) for gap in gaps], "Every figure that the record has a place for was measured.")
    return tag("div", lead if gaps else "", tag("div", listed, class_="gaps"))
