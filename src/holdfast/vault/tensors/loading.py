"""Lazy arrays: names, shapes and dtypes at once, bytes when they are touched, and only those."""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from holdfast.errors import DamageError, NotFoundError
from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import ChunkReader, Wanted
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.tensors.dtypes import numpy_dtype

__all__ = ["LazyTensor", "LazyTensors", "load_tensors"]

Array = np.ndarray[Any, np.dtype[Any]]

_BATCH_BYTES = 4 << 20
_WORKERS = 2  # of which at most three batches are in memory


class LazyTensor:
    """An array of a snapshot. `numpy.asarray(t)` or `t[...]` reads it; `t[a:b]` reads only those rows."""

    def __init__(self, file: _File, record: TensorRecord) -> None:
        self._file = file
        self._record = record
        self.name = record.name
        self.dtype = numpy_dtype(record.dtype)
        self.shape: tuple[int, ...] = tuple(record.shape)
        if not _fits(record, self.dtype):  # types and shapes that NumPy cannot hold come as their bytes
            self.dtype, self.shape = np.dtype("u1"), (record.bytes,)

    @property
    def nbytes(self) -> int:
        return self._record.bytes

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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self[...]
        converted: Array = array if dtype is None else array.astype(dtype, copy=False)
        return converted

    def __getitem__(self, key: Any) -> Array:
        """A fresh, writable array. Raises DamageError, IndexError."""
        picks = key if isinstance(key, tuple) else (key,)
        if self._record.fortran or not self.shape or not picks or not _picks_rows(picks):
            whole = self._read(0, self._record.bytes)
            order: Any = "F" if self._record.fortran else "C"
            array: Array = np.frombuffer(whole, self.dtype).reshape(self.shape, order=order)
            return array if key is Ellipsis else array[key]
        first: int | slice = picks[0]
        rows, rest = range(self.shape[0])[first], picks[1:]
        if isinstance(rows, int):
            block: Array = self._rows(rows, rows + 1)[0]
            picked_row: Array = block[rest] if rest else block
            return picked_row
        if not rows:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        low, high = min(rows), max(rows) + 1
        block = self._rows(low, high)
        picked = block[rows[0] - low :: rows.step][: len(rows)]
        return picked[(slice(None), *rest)]

    def _rows(self, low: int, high: int) -> Array:
        row = self._record.bytes // self.shape[0]
        data = self._read(low * row, (high - low) * row)
        return np.frombuffer(data, self.dtype).reshape((high - low, *self.shape[1:]))

    def _read(self, start: int, length: int) -> bytearray:
        return self._file.read(self._record.offset + start, length)

    def __repr__(self) -> str:
        return f"<LazyTensor {self.name!r} {self._record.dtype}{list(self.shape)}>"


class LazyTensors(Mapping[str, LazyTensor]):
    """Name → array. A name that several files use is `path::name`; every array can be had under that name, too."""

    def __init__(self, root: Root, tensors: dict[str, LazyTensor], full: dict[str, LazyTensor]) -> None:
        self.snapshot = root
        self._tensors = tensors
        self._full = full

    def __getitem__(self, name: str) -> LazyTensor:
        """Raises NotFoundError (which is a KeyError to nobody) naming what there is."""
        found = self._tensors.get(name, self._full.get(name))
        if found is None:
            raise NotFoundError(
                f"snapshot {self.snapshot.id} has no tensor {name!r}", hint=f"it has {len(self._tensors)} others"
            )
        return found

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor, or `default`."""
        return self._tensors.get(name, self._full.get(name, default))

    def __contains__(self, name: object) -> bool:
        return name in self._tensors or name in self._full

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class _File:
    """Reads ranges of one file of a snapshot through its chunks."""

    def __init__(self, reader: ChunkReader, entry: Entry) -> None:
        self._reader = reader
        self._entry = entry
        self._chunks: list[tuple[int, int, ChunkId]] | None = None
        self._starts: list[int] = []

    def read(self, start: int, length: int) -> bytearray:
        if start < 0 or length < 0 or start + length > self._entry.size:
            raise DamageError(f"a tensor of {os.fsdecode(self._entry.path)!r} lies outside the file")
        if self._chunks is None:
            self._chunks = [(offset, size, chunk) for offset, size, chunk, _ in entry_chunks(self._entry)]
            self._starts = [offset for offset, _, _ in self._chunks]
        out = bytearray(length)  # what no chunk covers is a hole: zeros
        first = max(0, bisect_right(self._starts, start) - 1)
        chunks = self._chunks[first : bisect_left(self._starts, start + length)]

        def put(wanted: Wanted[int], data: bytes | bytearray) -> None:
            low, high = max(wanted.purpose, start), min(wanted.purpose + wanted.length, start + length)
            if low < high:
                out[low - start : high - start] = memoryview(data)[low - wanted.purpose : high - wanted.purpose]

        # In batches: only the array itself is in memory whole.
        wanted = (Wanted(chunk, size, offset) for offset, size, chunk in chunks)
        self._reader.stream(wanted, put, workers=_WORKERS, batch_bytes=_BATCH_BYTES)
        return out


def load_tensors(handle: Handle, root: Root) -> LazyTensors:
    """All arrays of a snapshot. Raises NotFoundError when it has none."""
    reader = handle.reader()
    full: dict[str, LazyTensor] = {}
    by_name: dict[str, list[str]] = {}
    for entry in snapshot_entries(handle, root):
        file = _File(reader, entry)
        for record in entry.tensors:
            name = f"{os.fsdecode(entry.path)}::{record.name}"
            full[name] = LazyTensor(file, record)
            by_name.setdefault(record.name, []).append(name)
    if not full:
        raise NotFoundError(
            f"snapshot {root.id} holds no tensors that are known by name", hint="use `restore` for its files"
        )
    tensors = {name if len(names) == 1 else each: full[each] for name, names in by_name.items() for each in names}
    return LazyTensors(root, tensors, full)


def _picks_rows(picks: tuple[Any, ...]) -> bool:
    """Only integers, slices and `...`, and the first of them chooses along the first axis.

    All else (arrays, lists, booleans, new axes) shapes the result by rules that NumPy alone shall apply.
    """
    plain = all(
        pick is Ellipsis or (isinstance(pick, (slice, int, np.integer)) and not isinstance(pick, bool))
        for pick in picks
    )
    return plain and picks[0] is not Ellipsis


def _fits(record: TensorRecord, dtype: np.dtype[Any]) -> bool:
    """Whether NumPy can hold it: what is written may name any shape with a zero in it."""
    if math.prod(record.shape) * dtype.itemsize != record.bytes:
        return False
    return math.prod(edge for edge in record.shape if edge) * dtype.itemsize < 1 << 63
