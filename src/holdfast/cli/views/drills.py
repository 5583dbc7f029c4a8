"""Lines of `holdfast drill`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age
from holdfast.cli.schemas.drills import (
    DrillCleared,
    DrillCompared,
    DrillExperiment,
    DrillList,
    DrillPlanned,
    DrillRan,
    DrillScenarios,
    DrillStatus,
    DrillStopped,
    ShortDrill,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.units import format_duration, format_size

__all__ = ["cleared_lines", "compared_lines", "experiment_lines", "list_lines", "planned_lines", "ran_lines"]
__all__ += ["scenarios_lines", "status_lines", "stopped_lines"]


def scenarios_lines(record: DrillScenarios, page: Page) -> Iterator[str]:
    for one in record.scenarios:
        facts = [("what", one.summary), ("expects", one.expects), ("real", one.real), ("simulated", one.simulated)]
        yield one.name
        yield from (f"  {line}" for line in fact_lines(facts, page.width - 2))
    yield ""
    yield "to try the drill itself: --plant"
    yield from (f"  {line}" for line in fact_lines(list(record.plants.items()), page.width - 2))


def planned_lines(record: DrillPlanned, page: Page) -> Iterator[str]:
    facts = [
        ("recovery", f"{record.recovery}: {record.asset} at {', '.join(record.sites)}"),
        ("scenario", f"{record.scenario.name}: {record.scenario.summary}"),
        ("expects", record.scenario.expects),
        ("level", record.level),
        (
            "isolated" if record.isolated else "copies",
            f"{len(record.snapshots)} snapshots, {format_size(record.bytes)}, from {record.store}",
        ),
        ("because", record.isolated),
        ("in", record.where),
    ]
    yield from fact_lines(facts, page.width)
    lines = []
    for one in record.refusals:
        lines.append(f"REFUSED {one.code}: {one.reason}")
        lines += [f"  what would help: {one.change}"] if one.change else []
    yield from folded(lines, page.width)


def ran_lines(record: DrillRan, page: Page) -> Iterator[str]:
    parts = (
        ("detect", record.detect),
        ("decide", record.decide),
        ("execute", record.execute),
        ("verify", record.verify),
    )
    split = " + ".join(f"{name} {_seconds(value)}" for name, value in parts)
    steps = "" if record.steps_lost is None else f", {record.steps_lost} steps"
    facts = [
        ("drill", record.drill),
        ("scenario", f"{record.scenario}, {record.level}, of {record.asset}"),
        ("state", record.state + (f": {record.why}" if record.why else "")),
        ("RPO", f"{record.rpo_state}: {_seconds(record.rpo)}{steps} (target {_seconds(record.rpo_target)})"),
        ("RTO", f"{record.rto_state}: {_seconds(record.rto)} (target {_seconds(record.rto_target)})"),
        ("", ""),
        ("RTO is", split),
        ("back at", record.recovery_site),
        ("snapshot", record.snapshot),
    ]
    yield from fact_lines(facts, page.width)
    if record.phases:
        rows = [[one.name, one.verdict, _seconds(one.seconds), one.detail] for one in record.phases]
        columns = [Column("PHASE"), Column("VERDICT"), Column("TOOK", right=True), Column("WHAT", elastic=True)]
        yield ""
        yield from table(columns, rows, page.width)
    lines = [f"broken: {one.what} ({'real' if one.real else 'simulated'})" for one in record.faults]
    lines += [f"compared: {name}: {result}" for name, result in record.compared.items()]
    lines += [f"absent: {one}" for one in record.absent]
    lines += [f"deviation: {one}" for one in record.deviations]
    lines += [f"left out: {what}: {why}" for what, why in record.exclusions.items()]
    lines += [f"finding: {one}" for one in record.findings]
    lines += [f"LEFT OVER: {one}" for one in record.clean_up.left]
    lines += [f"NOT AS BEFORE: {one}" for one in record.steady]
    lines += [f"no evidence: {record.evidence_problem}"] if record.evidence_problem else []
    yield ""
    yield from folded(lines, page.width)
    yield from fact_lines([("evidence", one) for one in record.evidence[:1]], page.width)


def list_lines(record: DrillList, page: Page) -> Iterator[str]:
    if record.stopped:
        yield from folded([f"STOPPED: {record.stopped}"], page.width)
    if record.drills:
        columns = [Column("DRILL", elastic=True), Column("SCENARIO"), Column("LEVEL"), Column("EVERY", right=True)]
        columns += [Column("LAST"), Column("STATE")]
        rows = []
        for one in record.drills:
            state = "" if one.last is None else _state(one.last)
            state += " OVERDUE" if one.overdue_seconds is not None else ""
            last = "never" if one.last is None else age(one.last.started, page.now_ns)
            rows.append([one.name, one.scenario, one.level, format_duration(one.every_seconds), last, state.strip()])
        yield from table(columns, rows, page.width)
    else:
        yield "no drills are declared: `drills` in holdfast.yaml"
    if record.others:
        yield ""
        yield from _ended(record.others, page)


def status_lines(record: DrillStatus, page: Page) -> Iterator[str]:
    facts = [
        ("under way", record.under_way or "none"),
        ("stopped", record.stopped),
        ("died", ", ".join(record.abandoned)),
    ]
    yield from fact_lines(facts, page.width)
    if record.ended:
        yield ""
        yield from _ended(record.ended, page)


def stopped_lines(record: DrillStopped, page: Page) -> Iterator[str]:
    if record.released:
        yield "drills may be run again" if record.was_stopped else "drills were not stopped"
    else:
        yield "all drills stop, and none begins" if record.all else f"{record.drill} stops"
    if record.places:
        yield from folded([f"told: {', '.join(record.places)}"], page.width)
    yield from folded([f"NOT told: {name}: {why}" for name, why in record.silent.items()], page.width)


def cleared_lines(record: DrillCleared, page: Page) -> Iterator[str]:
    lines = [f"removed: {one}" for one in record.removed] + [f"LEFT OVER: {one}" for one in record.left]
    yield from folded(lines or ["nothing was left over"], page.width)


def compared_lines(record: DrillCompared, page: Page) -> Iterator[str]:
    one, other = record.first, record.second
    rows = [[name, _seconds(getattr(one, name)), _seconds(getattr(other, name))] for name in _PARTS]
    rows.append(["RTO", _seconds(one.rto), _seconds(other.rto)])
    rows.append(["RPO", _seconds(one.rpo), _seconds(other.rpo)])
    rows.append(["state", one.state, other.state])
    columns = [Column(""), Column(one.scenario, right=True), Column(other.scenario, right=True)]
    yield from table(columns, rows, page.width)


def experiment_lines(record: DrillExperiment, page: Page) -> Iterator[str]:
    columns = [Column("SECTION"), Column("ACTIVITY", elastic=True), Column("STATUS"), Column("TOOK", right=True)]
    columns.append(Column("TOLERANCE"))
    met = {True: "met", False: "NOT met", None: ""}
    rows = [
        [one.section, one.name, one.status, format_duration(one.seconds), met[one.tolerance_met]]
        for one in record.activities
    ]
    yield from table(columns, rows, page.width)
    yield ""
    facts = [("experiment", record.title), ("status", record.status), ("state", record.state)]
    facts += [("deviated", "yes: the steady state was not kept" if record.deviated else "no")]
    facts += [("journal", record.journal)]
    yield from fact_lines(facts, page.width)


def experiment_planned_lines(record: DrillExperiment, page: Page) -> Iterator[str]:
    for number, one in enumerate(record.planned, 1):
        behind = ", not waited for" if one.background else ""
        yield from folded([f"{number}. {one.section}: {one.kind} {one.name} ({one.provider}{behind})"], page.width)
        yield from folded([f"   {one.does}"], page.width)
        if one.missing:
            yield f"   REFUSED: {one.missing}"
    yield from fact_lines([("experiment", record.title)], page.width)


_PARTS = ("detect", "decide", "execute", "verify")


def _ended(drills: list[ShortDrill], page: Page) -> Iterator[str]:
    columns = [Column("DRILL"), Column("SCENARIO"), Column("STATE", elastic=True), Column("RPO", right=True)]
    columns += [Column("RTO", right=True), Column("WHEN")]
    rows = [
        [
            one.id[:12],
            one.scenario,
            _state(one),
            _seconds(one.rpo, "?"),
            _seconds(one.rto, "?"),
            age(one.started, page.now_ns),
        ]
        for one in drills
    ]
    yield from table(columns, rows, page.width)


def _state(one: ShortDrill) -> str:
    return one.state + (", missed" if one.missed and one.state == "PASSED" else "")


def _seconds(value: float | None, otherwise: str = "NOT_MEASURED") -> str:
    return otherwise if value is None else format_duration(value)
