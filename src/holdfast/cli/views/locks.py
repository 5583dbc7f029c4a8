"""Lines about locks, and about going back to before an attack."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment, short_id
from holdfast.cli.schemas.locks import (
    LockMoments,
    LockSet,
    LocksExtended,
    LocksShown,
    MomentFacts,
    RecoveryPlanned,
    SnapshotLockFacts,
)
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration, format_size

__all__ = ["lock_set_lines", "locks_extended_lines", "locks_lines", "moments_lines", "recovery_lines"]

_STEPS_SHOWN = 20
_NAME_MAX = 40


def lock_set_lines(record: LockSet, page: Page) -> Iterator[str]:
    facts = [("lock", _setting(record.mode, record.seconds)), ("policy", _promise(record))]
    yield from fact_lines(facts, page.width)
    if record.planned is not None:
        yield ""
        yield from locks_lines(record.planned, page)
    if record.locked is not None:
        yield from locks_extended_lines(record.locked, page)


def _promise(record: LockSet) -> str:
    if not record.policy:
        return ""
    longest = f", {format_duration(record.longest)} at the most" if record.longest else ""
    return f"locked for as long as it keeps a snapshot{longest}; everything for {format_duration(record.seconds)}"


def locks_extended_lines(record: LocksExtended, page: Page) -> Iterator[str]:
    if record.planned is not None:
        yield from locks_lines(record.planned, page)
        return
    until = moment(record.until, page.now_ns) if record.until is not None else ""
    facts = [
        ("snapshots", f"{record.snapshots:,}"),
        ("locked until", until or ("NOT ALL OF IT IS LOCKED" if record.failures or record.unreadable else "")),
        ("objects", f"{count(record.asked, 'lock')} set or looked up"),
        ("versions", f"{count(record.versions, 'older version')} locked, too" if record.versions else ""),
        ("let go", f"{count(record.let_go, 'snapshot')} by the policy: not renewed" if record.let_go else ""),
        *(("HIDDEN", key) for key in record.hidden),
        *(("not locked", f"{one.object}: {one.message}") for one in record.failures),
        *(("unreadable", key) for key in record.unreadable),
    ]
    yield from fact_lines(facts, page.width)


def locks_lines(record: LocksShown, page: Page) -> Iterator[str]:
    columns = [Column("SNAPSHOT"), Column("ASSET", elastic=True), Column("LOCKED UNTIL")]
    if record.policy:
        columns += [Column("WANTED UNTIL"), Column("BECAUSE", elastic=True)]
        rows = [_row_because(one) for one in record.snapshots]
    else:
        columns += [Column("LEFT", right=True), Column("OBJECTS", right=True), Column("NOT LOCKED", right=True)]
        rows = [_row(one, page) for one in record.snapshots]
    if record.snapshots:
        yield from table(columns, rows, page.width)
        yield ""
    unprotected = f"{record.unprotected:,} of {count(len(record.snapshots), 'snapshot')}"
    facts = [
        ("setting", _setting(record.mode, record.seconds)),
        ("bucket", record.bucket or "locks objects"),
        ("unprotected", unprotected if record.unprotected else "none"),
        (
            "short",
            f"{count(record.short, 'snapshot')} locked for less than wanted: `holdfast lock extend`"
            if record.short
            else "",
        ),
        *(
            ("why", f"{short_id(one.snapshot or one.key)}: {_why(one)}")
            for one in record.snapshots
            if not one.protected
        ),
        ("overwritten", ", ".join(record.overwritten[:5]) + (" …" if len(record.overwritten) > 5 else "")),
        ("deleted", f"{count(record.deleted, 'object')} with versions still" if record.deleted else ""),
        ("HIDDEN", ", ".join(record.hidden[:5]) + (" …" if len(record.hidden) > 5 else "")),
        *(("note", note) for note in record.notes),
    ]
    yield from fact_lines(facts, page.width)


def recovery_lines(record: RecoveryPlanned, page: Page) -> Iterator[str]:
    steps = record.steps[:_STEPS_SHOWN]
    if steps:
        columns = [Column("STEP"), Column("OBJECT", elastic=True), Column("SIZE", right=True), Column("WHY")]
        rows = [[one.action, one.object, format_size(one.bytes), one.why] for one in steps]
        yield from table(columns, rows, page.width)
        if len(record.steps) > len(steps):
            yield f"… and {len(record.steps) - len(steps):,} more (--json has all)"
        yield ""
    restored = [one for one in record.steps if one.action == "restore"]
    aside = len(record.steps) - len(restored)
    size = format_size(sum(one.bytes for one in restored))
    facts = [
        ("before", moment(record.before, page.now_ns)),
        ("snapshots", f"{len(record.snapshots):,} are whole as of then"),
        ("restore", f"{count(len(restored), 'object')}, {size}" if restored else ""),
        ("set aside", count(aside, "object") if aside else ""),
        *(("damaged", one.message) for one in record.damages),
        ("first change", moment(record.first_change, page.now_ns) if record.first_change is not None else ""),
        ("digest", record.digest),
    ]
    if record.done is not None:
        until = record.done.locked_until
        facts += [
            ("restored", count(record.done.restored, "object")),
            ("hidden", count(record.done.set_aside, "object")),
            ("locked until", moment(until, page.now_ns) if until is not None else "not locked again"),
            *(("failed", f"{one.object}: {one.message}") for one in record.done.failures),
        ]
    yield from fact_lines(facts, page.width)


def moments_lines(record: LockMoments, page: Page) -> Iterator[str]:
    columns = [
        Column("MOMENT"),
        Column("VAULT"),
        Column("SNAPSHOTS", right=True),
        Column("MISSING", right=True),
        Column("DAMAGED", right=True),
        Column("THEN", elastic=True),
    ]
    yield from table(columns, [_moment_row(one) for one in record.moments], page.width)
    yield ""
    facts = [
        ("whole", moment(record.newest_whole, page.now_ns) if record.newest_whole is not None else "at none of these"),
        *(("did not open", f"{one.time[:19]}: {one.error}") for one in record.moments if one.error is not None),
    ]
    yield from fact_lines(facts, page.width)


def _moment_row(one: MomentFacts) -> list[str]:
    state = "whole" if one.whole else ("did not open" if one.error is not None else "not whole")
    numbers = [f"{len(some):,}" if some else "–" for some in (one.hidden, one.damaged)]
    return [f"{one.time[:10]} {one.time[11:23]}", state, f"{len(one.snapshots):,}", *numbers, one.then or "now"]


def _row(one: SnapshotLockFacts, page: Page) -> list[str]:
    until = f"{one.until[:10]} {one.until[11:16]}" if one.until is not None else "–"
    left = age(one.until, page.now_ns).removeprefix("in ") if one.until is not None else "–"
    name = short_id(one.snapshot) if one.snapshot is not None else "unreadable"
    return [name, one.asset or one.key, until, left, f"{one.objects:,}", f"{one.unlocked:,}" if one.unlocked else "–"]


def _row_because(one: SnapshotLockFacts) -> list[str]:
    until = one.until[:10] if one.until is not None else "–"
    wanted = one.promised[:10] if one.promised is not None else "–"
    name = short_id(one.snapshot) if one.snapshot is not None else "unreadable"
    return [name, one.asset or one.key, until, wanted, "; ".join(one.because)]


def _why(one: SnapshotLockFacts) -> str:
    if one.error is not None:
        return one.error
    names = [name if len(name) <= _NAME_MAX else f"{name[: _NAME_MAX - 1]}…" for name in one.weakest]
    return f"{', '.join(names[:2])} …" if len(names) > 2 else ", ".join(names)


def _setting(mode: str | None, seconds: int) -> str:
    if mode is None or mode == "off":
        return "none: what is saved now is not locked"
    return f"{format_duration(seconds)}, {mode}"
