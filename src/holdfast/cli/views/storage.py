"""Lines of `snapshot show --codecs`: where the bytes went, and what restoring reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, share
from holdfast.cli.schemas.storage import CostFacts, StorageFacts
from holdfast.cli.views.bars import BLOCKS, Strokes, bar
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_ratio, format_size

__all__ = ["storage_lines"]

_SHOWN = 8  # files and tensors; --json lists all
_BAR = 16  # characters, so that a table with names of 16 fits 80 columns


def storage_lines(storage: StorageFacts, page: Page, strokes: Strokes = BLOCKS) -> Iterator[str]:
    sections: list[tuple[str, Sequence[CostFacts]]] = [
        ("CODED AS", storage.mechanisms),
        ("COMPONENT", storage.components),
        ("DTYPE", storage.dtypes),
        ("FILE", storage.files),
        ("TENSOR", storage.tensors),
    ]
    for title, costs in sections:
        if costs:
            yield from _section(title, costs, storage.total, page, strokes)
            yield ""
    first, second = strokes
    yield f"Bars are shares of what is stored: {first} added by this snapshot, {second} there before."
    yield ""
    yield from fact_lines(_facts(storage), page.width)


def _section(title: str, costs: Sequence[CostFacts], total: CostFacts, page: Page, strokes: Strokes) -> Iterator[str]:
    titles = ("SIZE", "STORED", "RATIO", "NEW")
    columns = [*(Column(one, right=True) for one in titles), Column(" " * _BAR), Column(title, elastic=True)]
    yield from table(columns, [_row(cost, total, strokes) for cost in costs[:_SHOWN]], page.width)
    if len(costs) > _SHOWN:
        left = costs[_SHOWN:]
        yield f"and {count(len(left), 'other')}, {format_size(sum(cost.stored_bytes for cost in left))} stored"


def _row(cost: CostFacts, total: CostFacts, strokes: Strokes) -> list[str]:
    older = cost.stored_bytes - cost.new_stored_bytes
    return [
        format_size(cost.bytes),
        format_size(cost.stored_bytes),
        format_ratio(cost.stored_bytes, cost.bytes),
        format_size(cost.new_stored_bytes) if cost.new_stored_bytes else "–",
        bar(cost.new_stored_bytes, older, total.stored_bytes, _BAR, strokes),
        cost.name,
    ]


def _facts(storage: StorageFacts) -> list[tuple[str, str]]:
    total, restoring = storage.total, storage.restoring
    older = total.stored_bytes - total.new_stored_bytes
    read = restoring.stored_bytes + restoring.base_stored_bytes
    bases = f" + {format_size(restoring.base_stored_bytes)} in {count(restoring.bases, 'base')} of deltas"
    deltas = share(restoring.delta_stored_bytes, restoring.stored_bytes)
    return [
        ("added", f"{format_size(total.new_stored_bytes)} for {format_size(total.new_bytes)}{_besides(storage)}"),
        ("shared", f"{format_size(older)} for {format_size(_shared_bytes(storage))}{_again(storage)}"),
        (
            "a restore reads",
            f"{format_size(restoring.stored_bytes)} in {count(restoring.chunks, 'chunk')}"
            f"{bases if restoring.bases else ''}",
        ),
        (
            "in packs",
            f"{count(restoring.packs, 'pack')} of {format_size(restoring.pack_bytes)}, "
            f"of which that is {share(read, restoring.pack_bytes)}",
        ),
        ("deltas", f"{restoring.deltas:,} of {count(restoring.chunks, 'chunk')}, {deltas} of what is stored"),
        ("anchors", _anchors(storage)),
        ("beware", _disagreements(storage)),
    ]


def _besides(storage: StorageFacts) -> str:
    return f", and {format_size(storage.overhead_bytes)} of tables and manifests" if storage.overhead_bytes else ""


def _shared_bytes(storage: StorageFacts) -> int:
    """Of the source, what lay on the store before."""
    coded = sum(cost.bytes for cost in storage.mechanisms if cost.name not in ("hole", "missing", "repeated"))
    return coded - storage.total.new_bytes


def _again(storage: StorageFacts) -> str:
    repeated = sum(cost.bytes for cost in storage.mechanisms if cost.name == "repeated")
    return f"; {format_size(repeated)} repeat other parts of the snapshot" if repeated else ""


def _anchors(storage: StorageFacts) -> str:
    if not storage.restoring.deltas:
        return ""
    if storage.anchors is None:
        return "age not known on this machine"
    mean = f"{storage.anchors.mean_deltas:.1f}"
    return f"{count(storage.anchors.anchors, 'anchor')}, to which {mean} deltas each were stored so far"


def _disagreements(storage: StorageFacts) -> str:
    if not storage.disagreements:
        return ""
    figures = ", ".join(f"{one.figure} {one.at_save:,} then and {one.now:,} now" for one in storage.disagreements)
    return (
        f"the save itself took down other figures ({figures}): it found chunks of a save that was cut off or of "
        "another asset, its parent is gone, or packs were lost since"
    )
