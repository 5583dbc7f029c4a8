"""Lines of `restore` and `replicate`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, short_id
from holdfast.cli.schemas.moves import Replicated, Restored, TensorsExported
from holdfast.cli.schemas.snapshots import SnapshotFacts
from holdfast.cli.views.circumstances import circumstance_change_lines
from holdfast.cli.views.layout import fact_lines
from holdfast.cli.views.snapshots import content_text, step_text
from holdfast.cli.views.workers import worker_lines
from holdfast.units import format_size

__all__ = ["restored_lines", "exported_lines", "replicated_lines"]

_NAMES_SHOWN = 10


def restored_lines(record: Restored, page: Page) -> Iterator[str]:
    resumed = f", {format_size(record.resumed_bytes)} of it there from before" if record.resumed_bytes else ""
    verb = "would write" if record.dry_run or record.refused else "wrote"
    facts = [
        *_origin(record.snapshot, page),
        (verb, f"{format_size(record.bytes)} in {count(record.files, 'file')}{resumed}"),
        ("to", record.target),
        ("not there", f"{', '.join(record.given_up)}: given up by retention" if record.given_up else ""),
        ("checked", "" if record.dry_run or record.refused else "every chunk against its id"),
        *(
            ("instead", f"{count(taken.chunks, 'chunk')}, {format_size(taken.bytes)} in all, from {taken.url}")
            for taken in record.from_replicas
        ),
        *worker_lines(record.workers),
    ]
    yield from fact_lines(facts, page.width)
    if record.circumstances is not None:
        yield ""
        yield from circumstance_change_lines(record.circumstances, page)


def exported_lines(record: TensorsExported, page: Page) -> Iterator[str]:
    more = len(record.tensors) - _NAMES_SHOWN
    names = ", ".join(record.tensors[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
    facts = [
        *_origin(record.snapshot, page),
        (
            "would write" if record.dry_run else "wrote",
            f"{count(len(record.tensors), 'tensor')}, {format_size(record.bytes)}",
        ),
        ("to", record.target),
        ("tensors", names),
    ]
    yield from fact_lines(facts, page.width)


def replicated_lines(record: Replicated, page: Page) -> Iterator[str]:
    how = {
        "snapshots": "snapshot by snapshot, the newest first",
        "objects": "object by object, without a key that reads",
    }
    whole = count(len(record.arrived), "snapshot")
    facts = [
        ("from", record.source),
        ("to", record.target),
        ("how", how.get(record.mode, record.mode)),
        (
            "would copy" if record.dry_run else "copied",
            f"{format_size(record.bytes)} in {count(record.objects, 'object')}",
        ),
        (
            "whole there" if not record.dry_run else "then whole",
            whole + (f", the newest {short_id(record.arrived[0])}" if record.arrived else ""),
        )
        if record.mode == "snapshots"
        else ("", ""),
        ("left out", " ".join(short_id(snapshot) for snapshot in record.left_out)),
        *worker_lines(record.workers),
    ]
    yield from fact_lines(facts, page.width)
    for note in record.notes:
        yield from fact_lines([("note", note)], page.width)
    for damaged in record.damaged:
        yield ""
        yield from fact_lines([("object", damaged.object), ("damage", damaged.message)], page.width)


def _origin(snapshot: SnapshotFacts, page: Page) -> list[tuple[str, str]]:
    return [
        ("snapshot", snapshot.id),
        ("asset", f"{snapshot.asset}, step {step_text(snapshot.step)}"),
        ("content", content_text(snapshot, page)),
    ]
