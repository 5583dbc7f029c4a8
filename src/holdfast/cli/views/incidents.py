"""Lines of `holdfast incident`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment
from holdfast.cli.schemas.incidents import (
    DeadlineFacts,
    IncidentApproved,
    IncidentEntryFacts,
    IncidentList,
    IncidentRound,
    IncidentShown,
    IncidentSilenced,
    IncidentTested,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.units import format_duration

__all__ = ["approved_lines", "list_lines", "round_lines", "shown_lines", "silenced_lines", "tested_lines"]

_COLUMNS = [Column("INCIDENT"), Column("STATE"), Column("SEVERITY"), Column("NOTICED"), Column("WHAT", elastic=True)]


def list_lines(record: IncidentList, page: Page) -> Iterator[str]:
    if record.incidents:
        rows = [
            (one.incident, one.state, one.severity, age(one.noticed_at, page.now_ns), one.title)
            for one in record.incidents
        ]
        yield from table(_COLUMNS, rows, page.width)
    yield from folded([f"silenced: {one}" for one in record.silences], page.width)


def shown_lines(record: IncidentShown, page: Page) -> Iterator[str]:
    one = record.incident
    by = f" by {one.acknowledged_by}" if one.acknowledged_by else ""
    facts = [
        ("incident", one.incident),
        ("state", one.state),
        ("severity", one.severity),
        ("what", one.title),
        ("asset", one.asset),
        ("site", one.site),
        ("last seen good", moment(one.fault_at, page.now_ns) if one.fault_at else "nobody knows"),
        ("noticed", moment(one.noticed_at, page.now_ns)),
        ("acknowledged", moment(one.acknowledged_at, page.now_ns) + by if one.acknowledged_at else ""),
        ("resolved", moment(one.resolved_at, page.now_ns) + f" by {one.resolved_by}" if one.resolved_at else ""),
        ("runs", ", ".join(one.runs)),
        ("next message", moment(record.next_message, page.now_ns) if record.next_message else ""),
    ]
    yield from fact_lines(facts, page.width)
    yield from folded([f"silenced: {silence}" for silence in record.silences], page.width)
    yield from folded([_deadline(timer) for timer in record.deadlines], page.width)
    for entry in record.entries:
        yield from folded(_entry(entry), page.width)


def _deadline(timer: DeadlineFacts) -> str:
    if timer.told_at is not None:
        state = f"told at {timer.told_at}"
    elif timer.left_seconds >= 0:
        state = f"{format_duration(timer.left_seconds)} left"
    else:
        state = f"{format_duration(-timer.left_seconds)} LATE"
    basis = f" ({timer.basis})" if timer.basis else ""
    return f"deadline {timer.name}: {timer.authority} by {timer.ends}, {state}{basis}"


def _entry(entry: IncidentEntryFacts) -> Iterator[str]:
    about = " ".join(filter(None, (entry.step, entry.channel, entry.run)))
    yield f"{entry.at} {entry.deed} {about}".rstrip() + f" ({entry.by})"
    yield from (f"  {line}" for line in entry.text.splitlines())


def round_lines(record: IncidentRound, page: Page) -> Iterator[str]:
    columns = [Column("PROBE"), Column("STATE"), Column("WHY", elastic=True)]
    if record.verdicts:
        yield from table(columns, [(one.probe, one.state.upper(), one.why) for one in record.verdicts], page.width)
    for verdict in record.verdicts:
        if verdict.state != "good":
            lines = [f"{verdict.probe}: {voice}: {said}" for voice, said in verdict.voices.items()]
            yield from folded(lines, page.width)
    for decision in record.decisions:
        word = "BEGINS" if decision.begins else "does not begin"
        yield from folded([f"{decision.recovery} {word}: {decision.why}"], page.width)
        yield from folded([f"  {line}" for line in decision.because], page.width)
    yield from folded([f"opened {one}" for one in record.opened], page.width)
    yield from folded([f"resolved {one}" for one in record.resolved], page.width)
    yield from folded([f"{name}: {why}" for name, why in record.problems.items()], page.width)
    if record.messages:
        yield f"{count(record.messages, 'message')} sent"


def tested_lines(record: IncidentTested, page: Page) -> Iterator[str]:
    rows = [(name, why or "it was taken") for name, why in record.channels.items()]
    rows += [(f"webhook {name}", why or "it was taken") for name, why in record.webhooks.items()]
    yield from table([Column("CHANNEL"), Column("OUTCOME", elastic=True)], rows, page.width)


def silenced_lines(record: IncidentSilenced, page: Page) -> Iterator[str]:
    facts = [
        ("nobody is woken of", "anything" if record.matches == "*" else record.matches),
        ("until", moment(record.until, page.now_ns)),
        ("because", record.reason),
        ("as said by", record.owner),
    ]
    yield from fact_lines(facts, page.width)


def approved_lines(record: IncidentApproved, page: Page) -> Iterator[str]:
    ended = not record.seconds
    facts = [
        ("recovery", record.recovery),
        ("as declared", record.declaration),
        ("begun by", record.starter),
        ("withdrawn by" if ended else "approved by", record.by),
        ("" if ended else "until", "" if ended else moment(record.until, page.now_ns)),
    ]
    yield from fact_lines(facts, page.width)
