"""The files of one rank: its tensors as safetensors files, read from where they lie when they are coded, and JSON."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import numpy as np

from holdfast.errors import SourceChangedError, UsageError
from holdfast.training.dcp.regions import Box, on_grid
from holdfast.training.states.arrays import Array, TensorForm, host_view
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import BytesSource
from holdfast.vault.saving.contents import Opened
from holdfast.vault.saving.tree import component_of

__all__ = ["BytesContent", "Piece", "TensorsContent"]

_HELD_BYTES = 256 << 20  # of tensors that had to be copied to be read: from an accelerator, or not contiguous
_RESERVED = "__metadata__"  # of the safetensors header
_HEADER_BYTES_MAX = 100_000_000  # the reference implementation refuses more


class Piece(NamedTuple):
    """A tensor to be written: `read` gives it when it is needed, perhaps several times, from several threads."""

    name: str
    form: TensorForm
    box: Box | None
    read: Callable[[], Any]


class TensorsContent:
    """Tensors as one virtual safetensors file."""

    def __init__(self, name: str, pieces: Sequence[Piece], now_ns: int) -> None:
        """Raises UsageError where two tensors have one name."""
        self.relative = name.encode()
        self.component = component_of(self.relative)
        self.mode = 0o644
        self.mtime_ns = now_ns
        self.local_path = ""
        # Of falling sizes of elements, as the format advises: so every tensor is aligned to its element.
        self.pieces = sorted(pieces, key=lambda piece: (-piece.form.dtype.itemsize, piece.name))
        self._header = _header(self.pieces, name)
        self.size = len(self._header) + sum(piece.form.nbytes for piece in self.pieces)

    @property
    def boxes(self) -> dict[str, Box]:
        return {piece.name: piece.box for piece in self.pieces if piece.box is not None}

    @contextmanager
    def open(self) -> Iterator[Opened]:
        source = _PiecesSource(self._header, self.pieces)
        layout = propose_layout(source, self.relative.decode())
        yield Opened(source, on_grid(layout, self.boxes))


class BytesContent:
    """A small file whose bytes are at hand."""

    def __init__(self, name: str, data: bytes, now_ns: int) -> None:
        self.relative = name.encode()
        self.component = component_of(self.relative)
        self.mode = 0o644
        self.mtime_ns = now_ns
        self.local_path = ""
        self.size = len(data)
        self._data = data

    @contextmanager
    def open(self) -> Iterator[Opened]:
        source = BytesSource(self._data)
        yield Opened(source, propose_layout(source, self.relative.decode()))


class _PiecesSource:
    """The header and the tensors behind it, one after the other. Safe for several threads."""

    def __init__(self, header: bytes, pieces: Sequence[Piece]) -> None:
        self._header = header
        self._pieces = pieces
        lengths = [len(header), *(piece.form.nbytes for piece in pieces)]
        self._starts: list[int] = np.cumsum([0, *lengths]).tolist()
        self.size = int(self._starts[-1])
        self._held: OrderedDict[int, Array] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        out = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def read_into(self, offset: int, out: memoryview) -> int:
        end, place = min(offset + len(out), self.size), 0
        while offset < end:
            number = bisect_right(self._starts, offset) - 1
            start, stop = self._starts[number], min(self._starts[number + 1], end)
            data = memoryview(self._header) if number == 0 else self._octets(number - 1).data
            count = stop - offset
            out[place : place + count] = data[offset - start : stop - start]
            offset, place = stop, place + count
        return place

    def _octets(self, number: int) -> Array:
        """The bytes of a tensor, kept for the chunks to come: the last ones only, as each may be a copy."""
        with self._lock:
            held = self._held.get(number)
            if held is not None:
                self._held.move_to_end(number)
                return held
        octets = _octets_of(self._pieces[number])
        with self._lock:
            if number not in self._held:
                self._held[number] = octets
                self._held_bytes += octets.nbytes
            while self._held_bytes > _HELD_BYTES and len(self._held) > 1:
                self._held_bytes -= self._held.popitem(last=False)[1].nbytes
        return octets


def _octets_of(piece: Piece) -> Array:
    array = host_view(piece.read(), piece.name)
    if array.nbytes != piece.form.nbytes:
        raise SourceChangedError(f"the tensor {piece.name!r} has another size than when the save was planned")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _header(pieces: Sequence[Piece], file: str) -> bytes:
    header: dict[str, Any] = {}
    position = 0
    for piece in pieces:
        if piece.name in header or piece.name == _RESERVED:
            raise UsageError(f"two tensors of the state would be called {piece.name!r}", hint="rename one of them")
        shape = list(piece.form.shape)
        if piece.form.dtype == np.dtype("<c16"):  # which the format lacks: pairs of f64
            shape.append(2)
        end = position + piece.form.nbytes
        header[piece.name] = {"dtype": piece.form.stored, "shape": shape, "data_offsets": [position, end]}
        position = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_BYTES_MAX:
        raise UsageError(f"{file} would have too many tensors for a safetensors file", hint="save over more ranks")
    return len(text).to_bytes(8, "little") + text
