"""A tensor of a snapshot that is read when it is touched, and only what is touched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from holdfast.errors import DamageError, FailedError
from holdfast.vault.files.reading import Demand, PartialFile, PartReader
from holdfast.vault.files.windows import Bytes
from holdfast.vault.format.records import TensorRecord
from holdfast.vault.tensors.dtypes import numpy_dtype
from holdfast.vault.tensors.selecting import Selection, select
from holdfast.vault.tensors.sharding import shard_key
from holdfast.vault.tensors.targets import as_torch, target_array

__all__ = ["LazyTensor", "Reading"]

Array = np.ndarray[Any, np.dtype[Any]]


class Reading(NamedTuple):
    """A read that is planned: `demands` fill `block`; `selection` then says what of it is the result."""

    selection: Selection
    block: Bytes
    demands: list[Demand]


class LazyTensor:
    """An array of a snapshot. `numpy.asarray(t)` or `t[...]` reads it; `t[a:b]` and `t[:, a:b]` read only that."""

    def __init__(self, parts: PartReader, file: PartialFile, record: TensorRecord) -> None:
        self._parts = parts
        self._file = file
        self._record = record
        self.name = record.name
        self.dtype = numpy_dtype(record.dtype)
        self.shape: tuple[int, ...] = tuple(record.shape)
        self._fortran = record.fortran
        if not _fits(record, self.dtype):  # types and shapes that NumPy cannot hold come as their bytes
            self.dtype, self.shape, self._fortran = np.dtype("u1"), (record.bytes,), False

    @property
    def path(self) -> str:
        """The file of the snapshot that it lies in."""
        return self._file.path

    @property
    def nbytes(self) -> int:
        return self._record.bytes

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def norm(self) -> float | None:
        """L2 norm over the finite values, as measured when it was saved; None for integers."""
        return self._record.norm

    @property
    def nonfinite(self) -> int:
        """How many values are NaN or infinite."""
        return self._record.nonfinite

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        """Row by row."""
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self[...]
        converted: Array = array if dtype is None else array.astype(dtype, copy=False)
        return converted

    def __getitem__(self, key: Any) -> Array:
        """What NumPy would pick: a fresh, writable array (or scalar).

        Of integers, slices and `...` only the chunks that hold what they pick are read; any other index reads the
        whole tensor first. Raises DamageError, IndexError.
        """
        reading = self.plan(key)
        self._parts.fill(reading.demands)
        picked: Array = reading.selection.of(reading.block, self.dtype)
        return picked

    def read_into(self, buffer: Any, key: Any = ...) -> Array:
        """Read `self[key]` into the caller's memory, chunk by chunk; returns the array over it.

        `buffer`: see `vault.tensors.targets`; contiguous in C order, of the dtype and shape of what is picked. A whole
        copy is made on the way only where the order differs: reversed steps, an index that NumPy has to apply, a tensor
        stored in Fortran order. Raises UsageError, DamageError, IndexError. After an error the buffer holds anything.
        """
        selection = self._selection(key)
        if selection.shape is None or not selection.direct:
            array = np.asarray(self[key])
            target = target_array(buffer, self.dtype, array.shape, self.name)
            np.copyto(target, array)
            return target
        target = target_array(buffer, self.dtype, selection.shape, self.name)
        self._parts.fill(self.plan(key, target).demands)
        return target

    def shard(self, rank: int, world: int, dim: int = 0) -> Array:
        """The part of rank `rank` of `world` along `dim`, cut as `torch.chunk` does: see `shard_key`.

        Raises UsageError (no such rank or dimension), DamageError.
        """
        return self[self.shard_key(rank, world, dim)]

    def shard_key(self, rank: int, world: int, dim: int = 0) -> tuple[slice, ...]:
        """The index of that part: ⌈size / world⌉ places each, the last ones smaller or empty. Raises UsageError."""
        return shard_key(self.shape, rank, world, dim)

    def to_torch(self, key: Any = ...) -> Any:
        """`self[key]` as a PyTorch tensor on the CPU. Raises MissingExtraError, UsageError, DamageError, IndexError."""
        return as_torch(np.asarray(self[key]))

    def plan(self, key: Any, target: Array | None = None) -> Reading:
        """What has to be read for `self[key]`; into `target` if there is one, and the selection is direct."""
        selection = self._selection(key)
        if self._record.offset < 0 or self._record.offset + self._record.bytes > self._file.size:
            raise DamageError(f"the tensor {self.name!r} lies outside its file {self.path!r}", object_name=self.path)
        block = _room(selection.size, self.name) if target is None else target.reshape(-1).view(np.uint8)
        demands, place = [], 0
        for window in selection.windows:
            moved = window._replace(start=self._record.offset + window.start)
            demands.append(Demand(self._file, moved, block[place : place + window.size], zeroed=target is None))
            place += window.size
        return Reading(selection, block, demands)

    def is_direct(self, key: Any) -> bool:
        """Whether `self[key]` can be read into C order without an array between."""
        return self._selection(key).direct

    def result_shape(self, key: Any) -> tuple[int, ...] | None:
        """The shape of `self[key]`; None where only NumPy can tell."""
        return self._selection(key).shape

    def _selection(self, key: Any) -> Selection:
        return select(self.shape, self.dtype.itemsize, self._fortran, key)

    def __repr__(self) -> str:
        return f"<LazyTensor {self.name!r} {self._record.dtype}{list(self.shape)}>"


def _room(size: int, name: str) -> Bytes:
    """Zeros that take memory only where something is written: holes may be as large as somebody claims."""
    try:
        return np.zeros(size, np.uint8)
    except (MemoryError, ValueError) as error:
        raise FailedError(
            f"this machine has no memory for the {size} bytes of the tensor {name!r}",
            hint="read a part of it: tensor[start:stop]; a manifest that claims so much may be forged",
            object_name=name,
        ) from error


def _fits(record: TensorRecord, dtype: np.dtype[Any]) -> bool:
    """Whether NumPy can hold it: what is written may name any shape with a zero in it."""
    if math.prod(record.shape) * dtype.itemsize != record.bytes:
        return False
    return math.prod(edge for edge in record.shape if edge) * dtype.itemsize < 1 << 63
