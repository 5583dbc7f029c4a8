"""Verifying a snapshot deeper than its chunk ids: what the decoded bytes say is compared with what its manifest says.

That every chunk hashes to its id proves that the bytes are those of the save. What is looked at here is whether the
manifest tells the truth about them: the tensors' statistics are taken again, and the headers of the formats that say
where their tensors lie are read again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from io import BytesIO
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from holdfast.errors import DamageError
from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, Finding, Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import BATCH_BYTES, ChunkReader
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.tensors.statistics import Accumulator, TensorStatistics

__all__ = ["DeepVerified", "DEEP", "verify_deep"]

DEEP = "deep"
_CLOSE = 1e-5  # relative: sums of squares are added in another order where a tensor came in other pieces
_HEADER_MAX = 100 << 20


class DeepVerified(NamedTuple):
    """What was read back, and every place where the manifest says otherwise than the bytes."""

    files: int
    chunks: int
    bytes: int
    tensors: int
    findings: list[Finding]


def verify_deep(handle: Handle, root: Root) -> DeepVerified:
    """Fetch, decode and compare every chunk, file by file and in order, and judge what they hold. Raises DamageError.

    At most a batch of chunks, and the header of one file, are in memory.
    """
    entries = [entry for entry in snapshot_entries(handle, root) if entry.type == "file"]
    handle.progress.phase("verifying", sum(entry.size for entry in entries))
    reader, findings = handle.reader(), list[Finding]()
    chunks = size = 0
    for entry in entries:
        judged = _File(entry)
        for offset, data in _pieces(reader, entry):
            judged.add(offset, data)
            handle.progress.advance(len(data))
            chunks += 1
            size += len(data)
        findings += judged.findings()
    return DeepVerified(len(entries), chunks, size, sum(len(entry.tensors) for entry in entries), findings)


def _pieces(reader: ChunkReader, entry: Entry) -> Iterator[tuple[int, bytes | bytearray]]:
    """(offset, bytes) of every chunk of a file in order. Holes are left out."""
    batch: list[tuple[int, int, ChunkId]] = []
    total = 0
    for offset, length, chunk, _ in entry_chunks(entry):
        batch.append((offset, length, chunk))
        total += length
        if total >= BATCH_BYTES:
            yield from _read(reader, batch)
            batch, total = [], 0
    yield from _read(reader, batch)


def _read(reader: ChunkReader, batch: list[tuple[int, int, ChunkId]]) -> Iterator[tuple[int, bytes | bytearray]]:
    plain = reader.read(chunk for _, _, chunk in batch)
    for offset, length, chunk in batch:
        if len(plain[chunk]) != length:
            raise DamageError(f"chunk {chunk.hex()[:16]}… does not have the {length} bytes that it should")
        yield offset, plain[chunk]


class _File:
    """One file whose bytes come in order; gaps between them are holes, zeros."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._path = entry.path.decode(errors="backslashreplace")
        self._tensors = [_Tensor(record) for record in sorted(entry.tensors, key=lambda one: one.offset)]
        self._first = 0  # of the tensors, the first that is not complete
        self._head = bytearray()
        self._head_bytes = entry.size if entry.size < 16 else 16  # of what is kept; grows when the header says so

    def add(self, offset: int, data: bytes | bytearray) -> None:
        self._keep_head(offset, data)
        end = offset + len(data)
        while self._first < len(self._tensors) and self._tensors[self._first].end <= offset:
            self._first += 1
        for tensor in self._tensors[self._first :]:
            if tensor.record.offset >= end:
                break
            tensor.add(offset, data)

    def _keep_head(self, offset: int, data: bytes | bytearray) -> None:
        """As much of the beginning as the format's header needs."""
        while len(self._head) < self._head_bytes and offset <= len(self._head) < offset + len(data):
            self._head += memoryview(data)[len(self._head) - offset :][: self._head_bytes - len(self._head)]
            if len(self._head) == self._head_bytes == min(16, self._entry.size):
                self._head_bytes = min(self._entry.size, _HEADER_MAX, _header_bytes(self._entry.format, self._head))

    def findings(self) -> Iterator[Finding]:
        wrong = _header_wrong(self._entry, bytes(self._head))
        if wrong:
            yield Finding("header", self._path, f"{self._path}: {wrong}")
        for tensor in self._tensors:
            said, found = tensor.record, tensor.result()
            for name, before, now in (
                ("norm", said.norm, found.norm),
                ("non-finite values", said.nonfinite, found.nonfinite),
                ("least value", said.least, found.least),
                ("greatest value", said.greatest, found.greatest),
                ("zeros", said.zeros, found.zeros),
            ):
                if before is not None and not _alike(before, now):
                    says = "nothing" if now is None else f"{now:.9g}"
                    message = f"{said.name}: of {name} the manifest says {before:.9g}, the bytes say {says}"
                    yield Finding("statistics", f"{self._path}::{said.name}", message)


class _Tensor:
    def __init__(self, record: TensorRecord) -> None:
        self.record = record
        self.end = record.offset + record.bytes
        self._statistics = Accumulator()
        self._position = record.offset

    def add(self, offset: int, data: bytes | bytearray) -> None:
        start, end = max(offset, self.record.offset), min(offset + len(data), self.end)
        if start < end:
            self._fill(start)
            self._statistics.add(self.record.dtype, memoryview(data)[start - offset : end - offset])
            self._position = end

    def result(self) -> TensorStatistics:
        self._fill(self.end)
        return self._statistics.result()

    def _fill(self, until: int) -> None:
        while self._position < until:
            zeros = bytes(min(1 << 20, until - self._position))
            self._statistics.add(self.record.dtype, zeros)
            self._position += len(zeros)


def _alike(said: float, found: float | None) -> bool:
    return found is not None and math.isclose(said, found, rel_tol=_CLOSE, abs_tol=0.0)


def _header_bytes(format_: str, head: bytearray) -> int:
    """How many bytes the header has, beginning included, given its first 16."""
    if format_ == "safetensors" and len(head) >= 8:
        return 8 + int.from_bytes(head[:8], "little")
    if format_ == "npy" and len(head) >= 12:
        return 10 + int.from_bytes(head[8:10], "little") if head[6] == 1 else 12 + int.from_bytes(head[8:12], "little")
    return 0


def _header_wrong(entry: Entry, head: bytes) -> str:
    """What a header says otherwise than the manifest, or why it is none; empty where all is well."""
    try:
        if entry.format == "safetensors":
            return _safetensors_wrong(entry, head)
        if entry.format == "npy":
            return _npy_wrong(entry, head)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, SyntaxError, TokenError) as error:
        return f"its header cannot be read ({error})"
    return ""


def _safetensors_wrong(entry: Entry, head: bytes) -> str:
    start = 8 + int.from_bytes(head[:8], "little")
    if len(head) != start:
        return "its header is cut short"
    described = {name: one for name, one in json.loads(head[8:]).items() if name != "__metadata__"}
    known = {record.name: record for record in entry.tensors}
    if described.keys() != known.keys():
        return f"its header names {len(described)} tensors, the manifest {len(known)}, and not the same"
    for name, one in described.items():
        first, last = one["data_offsets"]
        if (start + first, last - first) != (known[name].offset, known[name].bytes) or one["shape"] != known[
            name
        ].shape:
            return f"its header says otherwise than the manifest where {name!r} lies, or of what shape it is"
    return ""


def _npy_wrong(entry: Entry, head: bytes) -> str:
    file = BytesIO(head)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    for record in entry.tensors:
        if (list(shape), len(head), math.prod(shape) * dtype.itemsize) != (record.shape, record.offset, record.bytes):
            return "its header says otherwise than the manifest of what shape its array is, or where it lies"
    return ""
