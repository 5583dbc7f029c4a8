"""Lines about snapshots: lists, and what the verbs did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from holdfast.cli.output import Page
from holdfast.cli.phrases import SHORT_ID, age, count, moment, short_id
from holdfast.cli.schemas.snapshots import (
    FindingFacts,
    MechanismFacts,
    ReadBack,
    SavePlanned,
    SnapshotDropped,
    SnapshotFacts,
    SnapshotList,
    SnapshotSaved,
    SnapshotTagged,
    SnapshotVerified,
)
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.cli.views.workers import worker_lines
from holdfast.units import format_ratio, format_size

__all__ = [
    "FINDINGS_SHOWN",
    "list_lines",
    "saved_lines",
    "planned_lines",
    "verified_lines",
    "tagged_lines",
    "dropped_lines",
    "finding_lines",
    "content_text",
    "stored_text",
    "read_back_text",
    "step_text",
]

FINDINGS_SHOWN = 20


def list_lines(record: SnapshotList, page: Page) -> Iterator[str]:
    columns = [
        Column("SNAPSHOT"),
        *([Column("ASSET", elastic=True)] if record.asset is None else []),
        Column("STEP", right=True),
        Column("CONTENT", right=True),
        Column("SIZE", right=True),
        Column("STORED", right=True),
        Column("STATE", elastic=True),
    ]
    digits = _digits([snapshot.id for snapshot in record.snapshots])
    rows = [
        [
            short_id(snapshot.id, digits),
            *([snapshot.asset] if record.asset is None else []),
            step_text(snapshot.step),
            age(snapshot.content_time, page.now_ns),
            format_size(snapshot.bytes),
            format_size(snapshot.stored_bytes),
            ", ".join([*_verdicts(snapshot), *snapshot.pointers, *_thinned(snapshot)]),
        ]
        for snapshot in record.snapshots
    ]
    if rows:
        yield from table(columns, rows, page.width)
    if record.older:
        yield f"and {count(record.older, 'older snapshot')}, which --limit left out"
    for damaged in record.damaged:
        yield ""
        yield from fact_lines([("object", damaged.object), ("damage", damaged.message)], page.width)


def _verdicts(snapshot: SnapshotFacts) -> list[str]:
    """That of the save unless it is good, and `quarantined` or `demoted` where it was set aside later."""
    verdict = [snapshot.verdict] if snapshot.verdict != "good" else []
    aside = [snapshot.set_aside.partition(":")[0]] if snapshot.set_aside else []
    return list(dict.fromkeys([*verdict, *aside]))


def _thinned(snapshot: SnapshotFacts) -> list[str]:
    return [f"thinned: {', '.join(snapshot.thinned)}"] if snapshot.thinned else []


def saved_lines(record: SnapshotSaved, page: Page) -> Iterator[str]:
    snapshot = record.snapshot
    not_read = "not read back (--no-verify): verify it before you rely on it"
    facts = [
        ("snapshot", snapshot.id),
        ("size", f"{format_size(snapshot.bytes)} in {count(snapshot.files, 'file')}"),
        ("stored", stored_text(snapshot)),
        ("by", "; ".join(_mechanism(one) for one in record.mechanisms)),
        ("found", _verdict(snapshot)),
        ("read back", read_back_text(record.read_back, page) if record.read_back else not_read),
        ("pointers", ", ".join(snapshot.pointers) or _unmoved(snapshot)),
    ]
    yield from fact_lines(facts, page.width)
    yield from finding_lines(record.findings, page)


def _unmoved(snapshot: SnapshotFacts) -> str:
    """Why no pointer moved to a snapshot that was just saved."""
    if snapshot.verdict == "quarantined":
        return "none: it is quarantined, only its id refers to it"
    return "none moved: `latest` has newer content"


def planned_lines(record: SavePlanned, page: Page) -> Iterator[str]:
    others = [count(record.folders, "folder"), count(record.links, "link")]
    parent = f"{record.parent}, step {step_text(record.parent_step)}" if record.parent else "none: all of it is new"
    like = f"{format_size(record.like_parent_bytes)} in {count(record.like_parent_files, 'file')}"
    facts = [
        ("would read", f"{format_size(record.bytes)} in {count(record.files, 'file')} ({', '.join(others)})"),
        ("from", record.path),
        ("content", moment(record.content_time, page.now_ns)),
        ("parent", parent),
        ("untouched", f"{like}, by size and time since the parent" if record.parent else ""),
    ]
    yield from fact_lines(facts, page.width)
    for skipped in record.skipped:
        yield from fact_lines([("left out", skipped)], page.width)


def verified_lines(record: SnapshotVerified, page: Page) -> Iterator[str]:
    pointers = ", ".join(record.snapshot.pointers) or "none"
    facts = [
        ("snapshot", record.snapshot.id),
        ("asset", f"{record.snapshot.asset}, step {step_text(record.snapshot.step)}"),
        ("read back", read_back_text(record.read_back, page)),
        ("found", _verdict(record.snapshot)),
        ("deep", "" if record.deep is None else _deep_text(record.deep)),
        ("pointers", pointers),
        *worker_lines(record.workers),
    ]
    yield from fact_lines(facts, page.width)
    yield from finding_lines([*record.findings, *(record.deep or ())], page)


def _deep_text(found: Sequence[FindingFacts]) -> str:
    if not found:
        return "statistics and headers are those of the manifest"
    return f"{count(len(found), 'finding')}: the manifest does not tell the truth about the bytes"


def tagged_lines(record: SnapshotTagged, page: Page) -> Iterator[str]:
    facts = [
        ("tag", f"{record.asset}@{record.tag}"),
        ("snapshot", f"{record.snapshot} (removed)" if record.removed else record.snapshot),
        ("before", record.moved_from or "" if not record.removed else ""),
    ]
    yield from fact_lines(facts, page.width)


def dropped_lines(record: SnapshotDropped, page: Page) -> Iterator[str]:
    snapshot = record.snapshot
    moves = [f"{name} to {target or 'nowhere'}" for name, target in record.moves.items()]
    facts = [
        ("would drop" if record.dry_run else "dropped", snapshot.id),
        ("asset", f"{snapshot.asset}, step {step_text(snapshot.step)}"),
        ("content", moment(snapshot.content_time, page.now_ns)),
        ("moves", ", ".join(moves)),
        ("stays", "its packs, until they are collected"),
    ]
    yield from fact_lines(facts, page.width)


def finding_lines(findings: Sequence[FindingFacts], page: Page) -> Iterator[str]:
    """What validation found, below an empty line; nothing when it found nothing."""
    if findings:
        yield ""
        yield from fact_lines(
            ((one.check, f"{one.where}: {one.message}") for one in findings[:FINDINGS_SHOWN]), page.width
        )
        hidden = len(findings) - FINDINGS_SHOWN
        if hidden > 0:
            yield f"and {count(hidden, 'finding')} more, which --json lists"


def content_text(snapshot: SnapshotFacts, page: Page) -> str:
    """When the state inside was complete."""
    return moment(snapshot.content_time, page.now_ns)


def stored_text(snapshot: SnapshotFacts) -> str:
    """`16.9 MiB (0.527 of the original)`. Of a few bytes, the manifest is more than they are: no ratio then."""
    if snapshot.stored_bytes > snapshot.bytes:
        return format_size(snapshot.stored_bytes)
    return (
        f"{format_size(snapshot.stored_bytes)} ({format_ratio(snapshot.stored_bytes, snapshot.bytes)} of the original)"
    )


def read_back_text(read_back: ReadBack, page: Page) -> str:
    """What was read back, how, and when."""
    how = {
        "decoded": "decoded and compared with the saved content",
        "stored-bytes": "stored bytes compared with their names (a writer's key cannot decode)",
    }
    done = how.get(read_back.level, read_back.level)
    return f"{format_size(read_back.bytes)} {done}, {age(read_back.time, page.now_ns)}"


def step_text(step: int | None) -> str:
    return "–" if step is None else str(step)


def _digits(ids: Sequence[str]) -> int:
    """How many characters tell all these ids apart, and never fewer than usual."""
    ordered = sorted(ids)
    shared = 0
    for before, after in pairwise(ordered):
        same = next((i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), len(before))
        shared = max(shared, same)
    return max(SHORT_ID, shared + 1)


def _mechanism(one: MechanismFacts) -> str:
    if one.mechanism in ("deduplicated", "hole"):
        return f"{one.mechanism} {format_size(one.bytes)}"
    return f"{one.mechanism} {format_size(one.bytes)} to {format_size(one.stored_bytes)}"


def _verdict(snapshot: SnapshotFacts) -> str:
    if not snapshot.findings:
        return "nothing wrong"
    return f"{count(snapshot.findings, 'finding')} ({snapshot.verdict})"
