"""Lines of `snapshot show`: everything about one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment, short_id
from holdfast.cli.schemas.snapshots import FileFacts, SnapshotShown, TensorFacts
from holdfast.cli.views.bars import BLOCKS, Strokes
from holdfast.cli.views.circumstances import circumstance_lines
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.cli.views.snapshots import content_text, finding_lines, read_back_text, step_text, stored_text
from holdfast.cli.views.storage import storage_lines
from holdfast.units import format_duration, format_ratio, format_size

__all__ = ["shown_lines"]


def shown_lines(record: SnapshotShown, page: Page, *, strokes: Strokes = BLOCKS) -> Iterator[str]:
    yield from _head(record, page)
    yield from finding_lines(record.findings, page)
    yield ""
    yield from _components(record, page)
    yield ""
    yield from _mechanisms(record, page)
    yield ""
    yield from _pointers(record, page)
    if record.tensors is not None:
        yield from _tensors(record.tensors, page)
    if record.files is not None:
        yield ""
        yield from _files(record.files, page)
    if record.codecs is not None:
        yield ""
        yield from storage_lines(record.codecs, page, strokes)
    if record.circumstances is not None:
        yield ""
        yield from circumstance_lines(record.circumstances, page)


def _head(record: SnapshotShown, page: Page) -> Iterator[str]:
    snapshot = record.snapshot
    never = "never, as far as `validated` remembers"
    interval = _interval(record)
    found = count(len(record.findings), "finding") if record.findings else "nothing found"
    facts = [
        ("snapshot", snapshot.id),
        ("asset", snapshot.asset),
        ("step", step_text(snapshot.step)),
        ("content", content_text(snapshot, page)),
        ("saved", f"{moment(snapshot.saved_time, page.now_ns)} by {snapshot.writer}"),
        ("parent", ", ".join(snapshot.parents) or "none"),
        ("source", f"{snapshot.source} {snapshot.name}"),
        ("size", f"{format_size(snapshot.bytes)} in {count(snapshot.files, 'file')}"),
        ("thinned", f"without {', '.join(snapshot.thinned)}: given up, not restored" if snapshot.thinned else ""),
        ("stored", stored_text(snapshot)),
        ("tensors", f"{record.tensor_count:,} ({format_size(record.tensor_bytes)})"),
        ("checked", f"{found} ({', '.join(record.checks)}); policy {record.policy}: {snapshot.verdict}"),
        ("read back", read_back_text(record.read_back, page) if record.read_back else never),
        ("set aside", snapshot.set_aside or ""),
        ("interval", interval),
        *((f"meta {key}", value) for key, value in sorted(record.meta.items()) if not (interval and key == "interval")),
        *((f"with {key}", value) for key, value in sorted(record.versions.items())),
    ]
    yield from fact_lines(facts, page.width)


def _interval(record: SnapshotShown) -> str:
    """What the run said of the interval at which it saved; empty where it said nothing that can be read."""
    from holdfast.training.intervals.told import note_in

    note = note_in(record.meta)
    if note is None:
        return ""
    cost = "" if note.cost is None else f"; a save costs {format_duration(note.cost.lost_seconds)} of training"
    return f"saved every {format_duration(note.seconds)} ({note.decided_by}){cost}"


def _components(record: SnapshotShown, page: Page) -> list[str]:
    columns = [Column("COMPONENT"), Column("FILES", right=True), Column("SIZE", right=True)]
    rows = [[part.component, f"{part.files:,}", format_size(part.bytes)] for part in record.components]
    return table(columns, rows, page.width)


def _mechanisms(record: SnapshotShown, page: Page) -> list[str]:
    columns = [Column("SAVED BY"), *(Column(title, right=True) for title in ("SIZE", "STORED", "RATIO"))]
    rows = [
        [
            one.mechanism,
            format_size(one.bytes),
            format_size(one.stored_bytes),
            format_ratio(one.stored_bytes, one.bytes),
        ]
        for one in record.mechanisms
    ]
    return table(columns, rows, page.width)


def _pointers(record: SnapshotShown, page: Page) -> list[str]:
    columns = [Column("POINTER", elastic=True), Column("SNAPSHOT"), Column("MOVED", right=True), Column("WHY")]
    rows = [
        [
            pointer.name,
            f"{short_id(pointer.snapshot)}{' (this one)' if pointer.snapshot == record.snapshot.id else ''}",
            age(pointer.moved, page.now_ns),
            pointer.reason,
        ]
        for pointer in record.pointers
    ]
    return table(columns, rows, page.width)


def _tensors(tensors: list[TensorFacts], page: Page) -> Iterator[str]:
    """A table for each file that holds any."""
    for file, members in groupby(tensors, key=lambda tensor: tensor.file):
        columns = [
            Column("DTYPE"),
            Column("SHAPE"),
            Column("SIZE", right=True),
            Column("NORM", right=True),
            Column("NAN/INF", right=True),
            Column(f"TENSOR IN {file}"),
        ]
        yield ""
        yield from table(columns, [_tensor(tensor) for tensor in members], page.width)


def _tensor(tensor: TensorFacts) -> list[str]:
    return [
        tensor.dtype,
        " × ".join(map(str, tensor.shape)) or "scalar",
        format_size(tensor.bytes),
        "–" if tensor.norm is None else f"{tensor.norm:.4g}",
        f"{tensor.nonfinite:,}" if tensor.nonfinite else "–",
        tensor.name,
    ]


def _files(files: list[FileFacts], page: Page) -> list[str]:
    columns = [
        Column("TYPE"),
        Column("SIZE", right=True),
        Column("MODIFIED"),
        Column("FORMAT"),
        Column("TENSORS", right=True),
        Column("PATH"),
    ]
    rows = [
        [
            file.type,
            format_size(file.bytes) if file.type == "file" else "",
            f"{file.modified[:10]} {file.modified[11:16]}",
            file.format or "",
            f"{file.tensors:,}" if file.tensors else "",
            file.path if file.target is None else f"{file.path} -> {file.target}",
        ]
        for file in files
    ]
    return table(columns, rows, page.width)
