"""Lines about locks, and about going back to before an attack."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment, short_id
from holdfast.cli.schemas.locks import LockSet, LocksExtended, LocksShown, RecoveryPlanned, SnapshotLockFacts
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration, format_size

__all__ = ["lock_set_lines", "locks_extended_lines", "locks_lines", "recovery_lines"]

_STEPS_SHOWN = 20


def lock_set_lines(record: LockSet, page: Page) -> Iterator[str]:
    yield from fact_lines([("lock", _setting(record.mode, record.seconds))], page.width)
    if record.locked is not None:
        yield from locks_extended_lines(record.locked, page)


def locks_extended_lines(record: LocksExtended, page: Page) -> Iterator[str]:
    until = moment(record.until, page.now_ns) if record.until is not None else ""
    facts = [
        ("snapshots", f"{record.snapshots:,}"),
        ("locked until", until or ("NOT ALL OF IT IS LOCKED" if record.failures or record.unreadable else "")),
        ("objects", f"{count(record.asked, 'lock')} set or looked up"),
        ("versions", f"{count(record.versions, 'older version')} locked, too" if record.versions else ""),
        *(("not locked", f"{one.object}: {one.message}") for one in record.failures),
        *(("unreadable", key) for key in record.unreadable),
    ]
    yield from fact_lines(facts, page.width)


def locks_lines(record: LocksShown, page: Page) -> Iterator[str]:
    columns = [
        Column("SNAPSHOT"),
        Column("ASSET", elastic=True),
        Column("LOCKED UNTIL"),
        Column("LEFT", right=True),
        Column("OBJECTS", right=True),
        Column("NOT LOCKED", right=True),
    ]
    if record.snapshots:
        yield from table(columns, [_row(one, page) for one in record.snapshots], page.width)
        yield ""
    unprotected = f"{record.unprotected:,} of {count(len(record.snapshots), 'snapshot')}"
    facts = [
        ("setting", _setting(record.mode, record.seconds)),
        ("bucket", record.bucket or "locks objects"),
        ("unprotected", unprotected if record.unprotected else "none"),
        *(
            ("why", f"{short_id(one.snapshot or one.key)}: {_why(one)}")
            for one in record.snapshots
            if not one.protected
        ),
        ("overwritten", ", ".join(record.overwritten[:5]) + (" …" if len(record.overwritten) > 5 else "")),
        ("deleted", f"{count(record.deleted, 'object')} with versions still" if record.deleted else ""),
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


def _row(one: SnapshotLockFacts, page: Page) -> list[str]:
    until = f"{one.until[:10]} {one.until[11:16]}" if one.until is not None else "–"
    left = age(one.until, page.now_ns).removeprefix("in ") if one.until is not None else "–"
    name = short_id(one.snapshot) if one.snapshot is not None else "unreadable"
    return [name, one.asset or one.key, until, left, f"{one.objects:,}", f"{one.unlocked:,}" if one.unlocked else "–"]


def _why(one: SnapshotLockFacts) -> str:
    if one.error is not None:
        return one.error
    return f"{', '.join(one.weakest[:2])} …" if len(one.weakest) > 2 else ", ".join(one.weakest)


def _setting(mode: str | None, seconds: int) -> str:
    if mode is None or mode == "off":
        return "none: what is saved now is not locked"
    return f"{format_duration(seconds)}, {mode}"
