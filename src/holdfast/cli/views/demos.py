"""Lines of `demo`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.schemas.demos import DemoPlayed
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration, format_ratio, format_size

__all__ = ["played_lines"]


def played_lines(record: DemoPlayed, page: Page) -> Iterator[str]:
    recovery = record.recovery
    parts = [("detect", recovery.detect), ("decide", recovery.decide)]
    parts += [("execute", recovery.execute), ("verify", recovery.verify)]
    split = " + ".join(f"{name} {_duration(seconds)}" for name, seconds in parts)
    steps = "" if recovery.steps_lost is None else f", {recovery.steps_lost} training steps"
    same = "bit-identical to the undisturbed run: all weights and AdamW moments"
    facts = [
        ("objective", f"{_objective(record)}: {record.state}"),
        ("RPO", f"{_duration(recovery.rpo)}{steps}"),
        ("RTO", f"{_duration(recovery.rto)} = {split}"),
        ("copies", "NOT_MEASURED" if record.copies is None else f"{record.copies}, read back and verified"),
        ("proof", same if record.bit_identical else "the recovered run DIFFERS from the undisturbed one"),
    ]
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [Column("BYTES BY MECHANISM"), Column("BEFORE", right=True), Column("AFTER", right=True)]
    columns.append(Column("RATIO", right=True))
    yield from table(columns, list(_mechanism_rows(record)), page.width)
    yield ""
    yield from fact_lines([("evidence", record.page), ("sha256", record.sha256), ("signer", record.signer)], page.width)


def _mechanism_rows(record: DemoPlayed) -> Iterator[list[str]]:
    for one in record.mechanisms:
        yield [
            one.name,
            format_size(one.bytes),
            format_size(one.stored_bytes),
            format_ratio(one.stored_bytes, one.bytes),
        ]
    before = sum(one.bytes for one in record.mechanisms)
    after = sum(one.stored_bytes for one in record.mechanisms) + record.overhead_bytes
    yield ["keys, manifests, roots", "", format_size(record.overhead_bytes), ""]
    yield ["all snapshots", format_size(before), format_size(after), format_ratio(after, before)]


def _objective(record: DemoPlayed) -> str:
    targets = [f"RPO {format_duration(record.rpo_target)}"] if record.rpo_target is not None else []
    targets += [f"RTO {format_duration(record.rto_target)}"] if record.rto_target is not None else []
    targets += [f"{record.copies_target} copies"] if record.copies_target is not None else []
    return ", ".join(targets)


def _duration(seconds: float | None) -> str:
    return "NOT_MEASURED" if seconds is None else format_duration(seconds)
