"""From a rank's plan to its files: which tensors and values it writes, and what its layout says of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem, WriteItemType

from holdfast.errors import UsageError
from holdfast.training.dcp.contents import BytesContent, Piece, TensorsContent
from holdfast.training.dcp.layout import (
    FORMAT,
    RankLayout,
    TensorItem,
    ValueItem,
    encode_layout,
    layout_name,
    tensors_name,
)
from holdfast.training.dcp.regions import Box, box_name
from holdfast.training.states.arrays import TensorForm, form_of, framework_of
from holdfast.training.states.tree import take_apart

__all__ = ["RankFiles", "plan_files"]

_Path = list[str | int]


class RankFiles(NamedTuple):
    """The files of a rank, and how many bytes each item of the plan has in them."""

    tensors: list[TensorsContent]
    layout: BytesContent
    sizes: list[int]


def plan_files(plan: SavePlan, planner: SavePlanner, rank: int, world: int, now_ns: int) -> RankFiles:
    """No tensor's bytes are read yet. Raises UsageError naming what has no safe form: before anything is written."""
    planning = _Planning(planner, plan.planner_data, rank, world)
    sizes = [planning.add(item) for item in plan.items]
    layout = RankLayout(FORMAT, rank, world, planning.tensors, planning.values)
    contents = [TensorsContent(name, pieces, now_ns) for name, pieces in sorted(planning.pieces.items())]
    return RankFiles(contents, BytesContent(layout_name(rank, world), encode_layout(layout), now_ns), sizes)


class _Planning:
    def __init__(self, planner: SavePlanner, mappings: Any, rank: int, world: int) -> None:
        self.tensors: list[TensorItem] = []
        self.values: list[ValueItem] = []
        self.pieces: dict[str, list[Piece]] = {}
        self._planner = planner
        self._mappings: Mapping[str, Sequence[Any]] = mappings if isinstance(mappings, Mapping) else {}
        self._rank, self._world = rank, world

    def add(self, item: WriteItem) -> int:
        if item.type is WriteItemType.BYTE_IO:
            return self._add_value(item)
        return self._add_tensor(item)

    def _add_tensor(self, item: WriteItem) -> int:
        data = item.tensor_data
        if data is None:
            raise UsageError(f"the plan says nothing of the tensor {item.index.fqn!r}")
        fqn, path = item.index.fqn, self._path(item.index.fqn)
        form = self._form(item, tuple(data.chunk.sizes))
        dtype = str(data.properties.dtype).removeprefix("torch.")
        shape, offsets, sizes = tuple(data.size), tuple(data.chunk.offsets), tuple(data.chunk.sizes)
        box = Box(fqn, dtype, form.dtype.itemsize, shape, offsets, sizes)
        file = self._file(path)
        piece = Piece(box_name(box), form, box, lambda: self._resolved(item))
        self.pieces.setdefault(file, []).append(piece)
        self.tensors.append(TensorItem(fqn, path, dtype, [*shape], [*offsets], [*sizes], file, piece.name))
        return form.nbytes

    def _add_value(self, item: WriteItem) -> int:
        fqn, path = item.index.fqn, self._path(item.index.fqn)
        value = self._value(item)
        try:
            taken = take_apart(value)
        except UsageError as error:
            raise UsageError(f"{fqn} cannot be saved: {error.message}", hint=error.hint) from error
        file = self._file(path)
        total = 0
        for number, leaf in enumerate(taken.leaves):
            name = f"{fqn}~{number}"
            leaf.node.update({"$tensor": [file, name], "of": leaf.form.framework})
            if leaf.form.dtype.name == "complex128":
                leaf.node["dtype"] = "complex128"
            self.pieces.setdefault(file, []).append(Piece(name, leaf.form, None, lambda kept=leaf.value: kept))  # type: ignore[misc]
            total += leaf.form.nbytes
        self.values.append(ValueItem(fqn, path, taken.tree))
        return total

    def _form(self, item: WriteItem, sizes: tuple[int, ...]) -> TensorForm:
        """By the plan, without resolving it: that may allocate memory."""
        data = item.tensor_data
        assert data is not None
        shown = torch.empty(0, dtype=data.properties.dtype)
        if data.properties.layout is not torch.strided:
            raise UsageError(
                f"{item.index.fqn} is sparse ({data.properties.layout})",
                hint="save its indices and values, or `to_dense()` of it",
            )
        return form_of(shown, item.index.fqn)._replace(shape=sizes)

    def _resolved(self, item: WriteItem) -> Any:
        value = self._planner.resolve_data(item)
        local: Any = value.to_local() if hasattr(value, "to_local") else value
        if framework_of(local) != "torch":
            raise UsageError(f"the planner gives a {type(value).__name__} for the tensor {item.index.fqn!r}")
        return local.detach()

    def _value(self, item: WriteItem) -> Any:
        """The object itself where the planner gives it, else what its own bytes say of it, without running any code."""
        if _is_default(self._planner):
            return self._planner.lookup_object(item.index)  # type: ignore[attr-defined]
        data = self._planner.resolve_data(item)
        if not isinstance(data, io.BytesIO):
            raise UsageError(f"the planner gives a {type(data).__name__} for the value {item.index.fqn!r}")
        data.seek(0)
        try:
            return torch.load(data, weights_only=True)
        except Exception as error:  # foreign code; it refuses what has no safe form
            raise UsageError(
                f"{item.index.fqn} cannot be saved: it has no safe form", hint="save its plain values and tensors"
            ) from error

    def _path(self, fqn: str) -> _Path:
        return [key if isinstance(key, (str, int)) else str(key) for key in self._mappings.get(fqn, (fqn,))]

    def _file(self, path: _Path) -> str:
        top = str(path[0]) if len(path) > 1 else "state"
        return tensors_name(top, self._rank, self._world)


def _is_default(planner: SavePlanner) -> bool:
    """Whether it hands values out as they are in the state."""
    kind, default = type(planner), DefaultSavePlanner
    return issubclass(kind, default) and (kind.resolve_data, kind.transform_object) == (
        default.resolve_data,
        default.transform_object,
    )
