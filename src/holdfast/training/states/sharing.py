"""Which tensors of a state share memory, and what has to be saved so that they share it again when they are restored.

Tied weights are saved once. Of views into one buffer the buffer is saved, and where each view lies in it. Tensors that
only lie beside each other are saved each for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from holdfast.training.states.arrays import TensorForm, require_memory

__all__ = ["Leaf", "Placed", "View", "share"]

_WASTE_MAX = 2  # a buffer that is more than so many times its views is not worth saving for the sake of sharing


class Leaf(NamedTuple):
    """A tensor of the state. `node`: its place in the JSON tree, filled in when it is known where its bytes go."""

    path: tuple[str, ...]
    value: Any
    form: TensorForm
    node: dict[str, Any]


class View(NamedTuple):
    """Where in a saved tensor's bytes another one lies: in bytes."""

    offset: int
    strides: tuple[int, ...]


class Placed(NamedTuple):
    """Bytes to be saved, as a contiguous tensor of `form`, and the leaves that are made of them; `None`: all of it."""

    value: Any
    form: TensorForm
    members: list[tuple[Leaf, View | None]]


class _Extent(NamedTuple):
    """Memory from `low` up to `high`, as addresses of a device. `number`: of the leaf in the state."""

    device: int
    low: int
    high: int
    number: int
    leaf: Leaf

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes; those of dimensions with one place only are as if it were contiguous."""
        form, value = self.leaf.form, self.leaf.value
        steps = [step * form.dtype.itemsize for step in value.stride()] if form.framework == "torch" else value.strides
        return tuple(
            step if edge > 1 else whole for step, edge, whole in zip(steps, form.shape, _contiguous(form), strict=True)
        )

    @property
    def is_whole(self) -> bool:
        """Contiguous in C order, every byte once."""
        return self.high - self.low == self.leaf.form.nbytes and self.strides == _contiguous(self.leaf.form)


def share(leaves: list[Leaf]) -> list[Placed]:
    """What is to be saved, in the order of the leaves that come first in each."""
    extents: list[_Extent] = []
    apart: dict[int, Placed] = {}  # by the identity of the value: for those whose memory cannot be looked at
    found: list[tuple[int, Placed]] = []
    devices: dict[Any, int] = {}
    for number, leaf in enumerate(leaves):
        extent = _extent(leaf, number, devices)
        if extent is not None:
            extents.append(extent)
        elif id(leaf.value) in apart:
            apart[id(leaf.value)].members.append((leaf, None))
        else:
            apart[id(leaf.value)] = Placed(leaf.value, leaf.form, [(leaf, None)])
            found.append((number, apart[id(leaf.value)]))
    for group in _overlapping(extents):
        first = group[0]
        if len(group) == 1 and first.high - first.low >= first.leaf.form.nbytes:
            found.append((first.number, Placed(first.leaf.value, first.leaf.form, [(first.leaf, None)])))
            continue
        numbers = {id(one.leaf): one.number for one in group}
        for placed in _placed(group):
            found.append((min(numbers[id(leaf)] for leaf, _ in placed.members), placed))
    found.sort(key=lambda one: one[0])
    return [placed for _, placed in found]


def _extent(leaf: Leaf, number: int, devices: dict[Any, int]) -> _Extent | None:
    """None for what has no memory of its own that could be shared. `devices`: a number for each."""
    _, value, form, _ = leaf
    if form.framework == "torch":
        low = value.data_ptr()
        require_memory(value, form, leaf.path)
        if value.is_contiguous():
            if not _is_plain(leaf, low):
                return None
            return _Extent(devices.setdefault(value.device, len(devices)), low, low + form.nbytes, number, leaf)
        steps, device, size = value.stride(), value.device, form.dtype.itemsize
    elif form.framework == "numpy":
        steps, device, size = value.strides, "numpy", 1
        low = int(value.__array_interface__["data"][0])
    else:
        return None
    if not _is_plain(leaf, low) or any(step < 0 for step in steps):
        return None
    last = sum((edge - 1) * step for edge, step in zip(form.shape, steps, strict=True)) * size
    place = devices.setdefault(device, len(devices))
    return _Extent(place, low, low + last + form.dtype.itemsize, number, leaf)


def _is_plain(leaf: Leaf, low: int) -> bool:
    """Whether its bytes in memory are its values."""
    if not low or 0 in leaf.form.shape:
        return False
    if leaf.form.framework == "torch":
        return not (leaf.value.is_conj() or leaf.value.is_neg())
    return bool(leaf.value.dtype.byteorder != ">")


def _contiguous(form: TensorForm) -> tuple[int, ...]:
    step, strides = form.dtype.itemsize, []
    for edge in reversed(form.shape):
        strides.append(step)
        step *= edge
    return tuple(reversed(strides))


def _overlapping(extents: list[_Extent]) -> Iterator[list[_Extent]]:
    group: list[_Extent] = []
    high = 0
    for extent in sorted(extents, key=itemgetter(0, 1)):
        if group and extent.low < high and extent.device == group[0].device:
            group.append(extent)
            high = max(high, extent.high)
            continue
        if group:
            yield group
        group, high = [extent], extent.high
    if group:
        yield group


def _placed(group: list[_Extent]) -> Iterator[Placed]:
    low, high = group[0].low, max(extent.high for extent in group)
    if high - low > _WASTE_MAX * sum(extent.leaf.form.nbytes for extent in group):
        yield from _each_once(group)
        return
    whole = next((one for one in group if one.low == low and one.high == high and one.is_whole), None)
    if whole is not None:
        value, form = whole.leaf.value, whole.leaf.form
    else:
        value, form = _flat(group, low, high)
    yield Placed(value, form, [(one.leaf, _view(one, low, form)) for one in group])


def _each_once(group: list[_Extent]) -> Iterator[Placed]:
    """Equal views once, others each for itself."""
    found: dict[Any, Placed] = {}
    for one in group:
        same = (one.low, one.strides, one.leaf.form)
        if same in found:
            found[same].members.append((one.leaf, None))
        else:
            found[same] = Placed(one.leaf.value, one.leaf.form, [(one.leaf, None)])
    yield from found.values()


def _view(one: _Extent, low: int, form: TensorForm) -> View | None:
    if one.leaf.form == form and one.is_whole and one.low == low:
        return None
    return View(one.low - low, one.strides)


def _flat(group: list[_Extent], low: int, high: int) -> tuple[Any, TensorForm]:
    """All bytes from `low` to `high` as a tensor of one dimension, of the elements' dtype if they agree on one."""
    first = group[0].leaf.form
    same = all(one.leaf.form.dtype == first.dtype and (one.low - low) % first.dtype.itemsize == 0 for one in group)
    same = same and (high - low) % first.dtype.itemsize == 0 and first.dtype != np.dtype("<c16")
    dtype, stored = (first.dtype, first.stored) if same else (np.dtype(np.uint8), "U8")
    form = TensorForm(first.framework, dtype, stored, ((high - low) // dtype.itemsize,))
    value = group[0].leaf.value
    if first.framework == "torch":
        import torch  # type: ignore[import-not-found,unused-ignore]  # it is there: the value is one of its tensors

        storage = value.detach().untyped_storage()
        start = low - storage.data_ptr()
        octets = torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage, start, (high - low,), (1,))
        return (octets.view(value.dtype) if same else octets), form
    as_strided = np.lib.stride_tricks.as_strided
    octet = as_strided(value, (1,), (value.dtype.itemsize,)).view(np.uint8)
    return as_strided(octet, (high - low,), (1,)).view(dtype), form
