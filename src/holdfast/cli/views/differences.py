"""Lines of `snapshot diff`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.differences import FileChanged, SnapshotDiff, TensorChanged
from holdfast.cli.schemas.snapshots import SnapshotFacts
from holdfast.cli.views.circumstances import circumstance_change_lines
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.cli.views.snapshots import step_text
from holdfast.units import format_size

__all__ = ["diff_lines", "TENSORS_SHOWN"]

TENSORS_SHOWN = 20  # of each file; `--json` has all


def diff_lines(record: SnapshotDiff, page: Page) -> Iterator[str]:
    changed = sum(file.changed_bytes for file in record.files)
    facts = [
        ("before", _snapshot(record.before)),
        ("after", _snapshot(record.after)),
        ("files", f"{count(len(record.files), 'difference')}, {record.same_files:,} the same"),
        ("bytes", f"{format_size(changed)} of {format_size(record.after.bytes)} changed"),
        *((one.fact, f"{one.before or '–'} -> {one.after or '–'}") for one in record.facts),
    ]
    yield from fact_lines(facts, page.width)
    if record.files:
        yield ""
        columns = [
            Column("CHANGE"),
            Column("BEFORE", right=True),
            Column("AFTER", right=True),
            Column("CHANGED", right=True),
            Column("PATH"),
        ]
        yield from table(columns, [_file(file) for file in record.files], page.width)
    if record.circumstances is not None:
        yield ""
        yield from circumstance_change_lines(record.circumstances, page)
    for file in record.files:
        if file.tensors:
            yield ""
            yield from _tensors(file, page)


def _snapshot(snapshot: SnapshotFacts) -> str:
    content = f"{snapshot.content_time[:10]} {snapshot.content_time[11:19]} UTC"
    return f"{snapshot.id} {snapshot.asset}, step {step_text(snapshot.step)}, {content}"


def _file(file: FileChanged) -> list[str]:
    return [
        file.what,
        "" if file.what == "added" else format_size(file.bytes_before),
        "" if file.what == "removed" else format_size(file.bytes_after),
        format_size(file.changed_bytes),
        file.path,
    ]


def _tensors(file: FileChanged, page: Page) -> Iterator[str]:
    """The largest changes of norm first: those are what one looks for."""
    ordered = sorted(file.tensors, key=lambda tensor: (tensor.what == "values", -_jump(tensor)))
    columns = [
        Column("TENSOR IS"),
        Column("DTYPE AND SHAPE", elastic=True),
        Column("NORM BEFORE", right=True),
        Column("AFTER", right=True),
        Column(f"NAME IN {file.path}"),
    ]
    yield from table(columns, [_tensor(tensor) for tensor in ordered[:TENSORS_SHOWN]], page.width)
    hidden = len(ordered) - TENSORS_SHOWN
    if hidden > 0:
        yield f"and {count(hidden, 'tensor')} more, which --json lists"


def _jump(tensor: TensorChanged) -> float:
    """By which factor the norm moved, in either direction."""
    if not tensor.norm_before or not tensor.norm_after:
        return 0.0
    factor = tensor.norm_after / tensor.norm_before
    return max(factor, 1 / factor)


def _tensor(tensor: TensorChanged) -> list[str]:
    what = {"values": "changed", "shape": "reshaped", "dtype": "of another dtype"}.get(tensor.what, tensor.what)
    same = tensor.before == tensor.after or not tensor.before or not tensor.after
    shape = (tensor.after or tensor.before) if same else f"{tensor.before} -> {tensor.after}"
    return [what, shape, _norm(tensor.norm_before), _norm(tensor.norm_after), tensor.name]


def _norm(norm: float | None) -> str:
    return "–" if norm is None else f"{norm:.6g}"
