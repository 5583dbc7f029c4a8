"""What a rank wrote, as the JSON file beside its tensors: `dcp-00000-of-00004.json`.

Together the files of all ranks say what `.metadata` says in PyTorch's own checkpoints, which is a pickle there. Every
field is checked when it is read: `check_layouts` says that they make one state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from holdfast.errors import DamageError, UnsupportedFormatError

__all__ = [
    "FORMAT",
    "RankLayout",
    "TensorItem",
    "ValueItem",
    "check_layouts",
    "encode_layout",
    "is_layout",
    "layout_name",
    "parse_layout",
    "tensors_name",
]

FORMAT: Final = "holdfast-dcp-1"
DIMENSIONS_MAX: Final = 64
_EDGE_MAX = 1 << 62
_LAYOUT = re.compile(r"dcp-([0-9]{5,7})-of-([0-9]{5,7})\.json")
_LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class TensorItem(msgspec.Struct, frozen=True):
    """A box of a tensor: `sizes` from `offsets` on, of one of `shape`. `fqn` is its full name in the state, `path` the
    keys that lead to it there. `dtype` is torch's name. It is the tensor `name` of the safetensors file `file`.
    """

    fqn: str
    path: list[str | int]
    dtype: str
    shape: list[int]
    offsets: list[int]
    sizes: list[int]
    file: str
    name: str


class ValueItem(msgspec.Struct, frozen=True):
    """A value that is no tensor, as the tree of `holdfast.training.states.tree`."""

    fqn: str
    path: list[str | int]
    tree: Any


class RankLayout(msgspec.Struct, frozen=True):
    """What rank `rank` of `world` wrote."""

    format: str
    rank: int
    world: int
    tensors: list[TensorItem]
    values: list[ValueItem]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(RankLayout)


def layout_name(rank: int, world: int) -> str:
    """The file of a rank's layout."""
    return f"dcp-{rank:05d}-of-{world:05d}.json"


def is_layout(path: str) -> bool:
    return _LAYOUT.fullmatch(path) is not None


def tensors_name(top: str, rank: int, world: int) -> str:
    """The file of a rank's tensors below a key at the top of the state; of all odd keys it is the same."""
    return f"{top if _LEGAL.fullmatch(top) else 'state'}-{rank:05d}-of-{world:05d}.safetensors"


def encode_layout(layout: RankLayout) -> bytes:
    return _ENCODER.encode(layout)


def parse_layout(data: bytes, name: str) -> RankLayout:
    """Raises DamageError, UnsupportedFormatError."""
    try:
        layout = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(f"{name} is not the layout of a rank ({error})", object_name=name) from error
    if layout.format != FORMAT:
        raise UnsupportedFormatError(f"{name} has the format {layout.format[:40]!r}, not {FORMAT!r}", object_name=name)
    if layout_name(layout.rank, layout.world) != name or not 0 <= layout.rank < layout.world:
        raise DamageError(f"{name} holds the layout of another rank", object_name=name)
    for item in layout.tensors:
        if not _is_sound(item):
            raise DamageError(f"{name} describes an impossible part of {item.fqn[:80]!r}", object_name=name)
    return layout


def check_layouts(layouts: Sequence[RankLayout], snapshot: str) -> None:
    """Raises DamageError unless these are all ranks of one save, and their boxes fill the tensors."""
    worlds = {layout.world for layout in layouts}
    if len(worlds) != 1 or sorted(layout.rank for layout in layouts) != list(range(worlds.pop())):
        raise DamageError(f"snapshot {snapshot} lacks the layouts of some ranks", object_name=snapshot)
    values = {item.fqn for layout in layouts for item in layout.values}
    boxes: dict[str, dict[tuple[tuple[int, ...], tuple[int, ...]], TensorItem]] = {}
    for layout in layouts:
        for item in layout.tensors:
            known = boxes.setdefault(item.fqn, {})
            if any(_form(other) != _form(item) for other in list(known.values())[:1]) or item.fqn in values:
                raise DamageError(
                    f"the ranks of snapshot {snapshot} disagree on {item.fqn[:80]!r}", object_name=snapshot
                )
            known.setdefault((tuple(item.offsets), tuple(item.sizes)), item)
    for fqn, found in boxes.items():
        _require_filled(fqn, list(found.values()), snapshot)


def _require_filled(fqn: str, items: Sequence[TensorItem], snapshot: str) -> None:
    """The boxes have the tensor's volume, and none overlaps another: so they fill it."""
    total = sum(math.prod(item.sizes) for item in items)
    if total != math.prod(items[0].shape) or _overlap([item for item in items if 0 not in item.sizes]):
        raise DamageError(f"snapshot {snapshot} does not hold all of {fqn[:80]!r}", object_name=snapshot)


def _overlap(items: Iterable[TensorItem]) -> bool:
    """Whether two boxes have an element in common: swept along the first dimension."""
    active: list[TensorItem] = []
    for item in sorted((one for one in items if one.sizes), key=lambda one: one.offsets):
        active = [one for one in active if one.offsets[0] + one.sizes[0] > item.offsets[0]]
        if any(_meet(one, item) for one in active):
            return True
        active.append(item)
    return False


def _meet(one: TensorItem, other: TensorItem) -> bool:
    return all(
        a < b + length_b and b < a + length_a
        for a, length_a, b, length_b in zip(one.offsets, one.sizes, other.offsets, other.sizes, strict=True)
    )


def _form(item: TensorItem) -> tuple[str, tuple[int, ...], tuple[str | int, ...]]:
    return item.dtype, tuple(item.shape), tuple(item.path)


def _is_sound(item: TensorItem) -> bool:
    dimensions = len(item.shape)
    if not dimensions == len(item.offsets) == len(item.sizes) or dimensions > DIMENSIONS_MAX:
        return False
    if any(not 0 <= edge < _EDGE_MAX for edge in (*item.shape, *item.offsets, *item.sizes)):
        return False
    inside = all(offset + size <= edge for offset, size, edge in zip(item.offsets, item.sizes, item.shape, strict=True))
    return inside and math.prod(item.shape) < _EDGE_MAX
