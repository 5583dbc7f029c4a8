"""Lines of `vault repair` and `snapshot verify --rota`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, short_id
from holdfast.cli.schemas.repairs import ByteRange, LossFacts, SnapshotRota, VaultRepaired
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.cli.views.snapshots import step_text
from holdfast.units import format_size

__all__ = ["repaired_lines", "rota_lines"]

_RANGES_SHOWN = 4


def repaired_lines(record: VaultRepaired, page: Page) -> Iterator[str]:
    outcome = "sound" if record.sound else "still damaged"
    if record.losses:
        outcome = f"DATA LOST in {count(len(record.losses), 'snapshot')}"
    elif record.dry_run and record.fixes and not record.unmended:
        outcome = "can be mended"
    facts = [
        ("vault", record.vault),
        ("looked at", count(record.objects, "object")),
        ("replicas", ", ".join(record.replicas) or "none (--from URL names one)"),
        ("would mend" if record.dry_run else "mended", _total(record)),
        ("result", outcome),
    ]
    yield from fact_lines(facts, page.width)
    for note in record.notes:
        yield from fact_lines([("note", note)], page.width)
    for fix in record.fixes:
        yield ""
        yield from fact_lines(
            [("object", fix.object), (fix.how, f"from {fix.source}" if fix.source else "here"), ("because", fix.why)],
            page.width,
        )
    for move in record.moves:
        yield ""
        yield from fact_lines(
            [
                ("pointer", f"{move.asset}@{move.name}"),
                ("from", f"{move.before}, which lost data"),
                ("to", move.after or "stays: there is no good one"),
            ],
            page.width,
        )
    for name, damaged in (("damaged", record.unmended), ("failed", record.failed)):
        for one in damaged:
            yield ""
            yield from fact_lines([("object", one.object), (name, one.message)], page.width)
    for loss in record.losses:
        yield ""
        yield from _loss_lines(loss, page)


def rota_lines(record: SnapshotRota, page: Page) -> Iterator[str]:
    columns = [
        Column("SNAPSHOT"),
        Column("ASSET", elastic=True),
        Column("STEP", right=True),
        Column("SIZE", right=True),
        Column("WHY FIRST"),
        Column("RESULT"),
    ]
    rows = [
        [
            short_id(turn.snapshot),
            turn.asset,
            step_text(turn.step),
            format_size(turn.bytes),
            turn.reason,
            "" if turn.proven is None else "good" if turn.proven else "DAMAGED",
        ]
        for turn in record.turns
    ]
    yield from table(columns, rows, page.width)
    for turn in record.turns:
        if turn.problem:
            yield from fact_lines([("damage", f"{short_id(turn.snapshot)}: {turn.problem}")], page.width)
    if record.left:
        yield from fact_lines([("left", f"{count(record.left, 'snapshot')} for another time")], page.width)


def _total(record: VaultRepaired) -> str:
    if not record.fixes:
        return "nothing"
    return f"{count(len(record.fixes), 'object')}, {format_size(sum(fix.bytes for fix in record.fixes))}"


def _loss_lines(loss: LossFacts, page: Page) -> Iterator[str]:
    step = f", step {loss.step}" if loss.step is not None else ""
    whole = f"{count(loss.whole_files, 'file')}, {format_size(loss.whole_bytes)}"
    facts = [
        ("LOST IN", loss.snapshot),
        ("asset", f"{loss.asset}{step}" if loss.asset else "unknown: its root is gone"),
    ]
    facts += [("all of it", loss.why)] if loss.asset is None else [("still whole", whole)]
    for part in loss.parts:
        facts.append(
            ("component", f"{part.component}: {count(part.files, 'file')}, {format_size(part.bytes)}, all lost")
        )
    for file in loss.files:
        facts.append(("file", f"{file.path}: {_ranges_text(file.ranges)} of {format_size(file.bytes)}"))
        facts += [("tensor", f"{tensor.name}: {_ranges_text(tensor.ranges)}") for tensor in file.tensors]
        if file.whole_tensors:
            facts.append(("loads", f"{count(file.whole_tensors, 'other tensor')} of the file"))
    yield from fact_lines(facts, page.width)


def _ranges_text(ranges: list[ByteRange]) -> str:
    shown = ", ".join(f"{one.start}+{one.length}" for one in ranges[:_RANGES_SHOWN])
    more = f" and {len(ranges) - _RANGES_SHOWN} ranges more" if len(ranges) > _RANGES_SHOWN else ""
    return f"bytes {shown}{more}"
