"""Lines about retention: the table of decisions, what they do, and holds."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment, short_id
from holdfast.cli.schemas.retention import (
    EffectFacts,
    RetainedFacts,
    RetentionApplied,
    RetentionPlanned,
    SnapshotHeld,
    SnapshotUnheld,
)
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration, format_size

__all__ = ["retention_plan_lines", "retention_applied_lines", "held_lines", "unheld_lines"]


def retention_plan_lines(record: RetentionPlanned, page: Page) -> Iterator[str]:
    columns = [
        Column("SNAPSHOT"),
        Column("ASSET", elastic=True),
        Column("CONTENT", right=True),
        Column("ACTION"),
        Column("WHY", elastic=True),
    ]
    if record.decisions:
        yield from table(columns, [_decision(one, page) for one in record.decisions], page.width)
        yield ""
    freed = f"{format_size(record.freed_bytes)} in {count(record.freed_packs, 'pack')}, once it is collected"
    shared = (
        f"; {count(record.shared_packs, 'pack')} more hold what goes beside what stays" if record.shared_packs else ""
    )
    facts = [
        ("keep", count(record.kept, "snapshot")),
        ("thin", count(record.thinned, "snapshot") if record.thinned else ""),
        ("drop", count(record.dropped, "snapshot") if record.dropped else ""),
        ("frees", f"about {freed}{shared}" if record.thinned or record.dropped else ""),
        ("locked", _locked(record, page)),
        *((effect.asset, _effect(effect)) for effect in record.effects if effect.before != effect.after),
        ("plan", record.plan or ""),
        *(("note", note) for note in record.notes),
    ]
    yield from fact_lines(facts, page.width)


def _locked(record: RetentionPlanned, page: Page) -> str:
    """What cannot go yet, and until when."""
    said = []
    last = [one.locked_until for one in record.decisions if one.locked_until is not None]
    if last:
        said.append(f"{count(record.waiting, 'snapshot')} of those to drop, until {moment(max(last), page.now_ns)}")
    if record.locked_until is not None:
        until = moment(record.locked_until, page.now_ns)
        said.append(f"{format_size(record.locked_bytes)} of what comes free, until {until}")
    return f"{'; '.join(said)}: a later run takes them" if said else ""


def _decision(one: RetainedFacts, page: Page) -> list[str]:
    action = f"thin {', '.join(one.components)}" if one.action == "thin" else one.action
    reasons = _reasons(one)
    if one.locked_until is not None:
        reasons = [f"locked until {one.locked_until[:10]}", *reasons]
    return [short_id(one.snapshot), one.asset, age(one.content_time, page.now_ns), action, ", ".join(reasons)]


def _reasons(one: RetainedFacts) -> list[str]:
    """Why components go is what a person wants to know first; why the rest stays comes after it."""
    going = {f"{name} goes: " for name in one.components} if one.action == "thin" else set()
    told = [next((reason[len(start) :] for start in going if reason.startswith(start)), None) for reason in one.reasons]
    first = [text for text in told if text is not None]
    return first + [reason for reason, text in zip(one.reasons, told, strict=True) if text is None]


def _effect(effect: EffectFacts) -> str:
    before, after = effect.before, effect.after
    said = [f"{before.snapshots:,} to {after.snapshots:,} snapshots"]
    if after.oldest is not None and after.oldest != before.oldest:
        said.append(f"the oldest is of {after.oldest[:10]} then, not of {(before.oldest or '')[:10]}")
    if after.longest_gap != before.longest_gap:
        gaps = f"{format_duration(before.longest_gap)} to {format_duration(after.longest_gap)}"
        said.append(f"the longest gap between two goes from {gaps}")
    if effect.reading is not None and effect.packs is not None:
        said.append(f"restoring the latest still reads {format_size(effect.reading)} in {count(effect.packs, 'pack')}")
    return "; ".join(said)


def retention_applied_lines(record: RetentionApplied, page: Page) -> Iterator[str]:
    facts = [
        ("dropped", count(len(record.dropped), "snapshot")),
        ("thinned", count(len(record.thinned), "snapshot")),
        ("before", f"{count(record.before, 'change')} of an earlier run" if record.before else ""),
        (
            "waiting",
            f"{count(len(record.waiting), 'snapshot')}, locked until {_last(record, page)}: plan again then"
            if record.waiting
            else "",
        ),
        (
            "to free",
            f"about {format_size(record.freed_bytes)} in {count(record.freed_packs, 'pack')}: `holdfast vault collect`"
            if record.freed_packs
            else "",
        ),
        (
            "locked",
            f"{format_size(record.locked_bytes)} of it until {moment(record.locked_until, page.now_ns)}"
            if record.locked_until is not None
            else "",
        ),
    ]
    yield from fact_lines(facts, page.width)


def _last(record: RetentionApplied, page: Page) -> str:
    return moment(max(record.waiting.values()), page.now_ns)


def held_lines(record: SnapshotHeld, page: Page) -> Iterator[str]:
    facts = [
        ("held", record.snapshot),
        ("asset", record.asset),
        ("reason", record.reason),
        ("until", moment(record.until, page.now_ns) if record.until is not None else "somebody ends it"),
    ]
    yield from fact_lines(facts, page.width)


def unheld_lines(record: SnapshotUnheld, page: Page) -> Iterator[str]:
    facts = [("released", record.snapshot), ("asset", record.asset), ("was held", record.reason or "without a reason")]
    yield from fact_lines(facts, page.width)
