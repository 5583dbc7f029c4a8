"""Some tensors of a snapshot, whatever files they lie in, written as one safetensors file.

Only the chunks that hold them are read. Names are those in their files; where two of the chosen tensors share one, each
is called `path::name`.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from holdfast.errors import DamageError, NotFoundError, UsageError
from holdfast.stores.protocol import Buffer
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.protected_places import absolute_target, refuse_protected
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.restoring.staging import Staging, translate_os_error
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.tensors.dtypes import SAFETENSORS, numpy_dtype
from holdfast.vault.tensors.loading import load_tensors

__all__ = ["ChosenTensor", "ExportPlan", "plan_export", "apply_export", "FILE_NAME"]

FILE_NAME = "tensors.safetensors"
_SUFFIX = ".safetensors"
_PACKED_BITS = {"f4": ("F4", 4), "f6_e2m3": ("F6_E2M3", 6), "f6_e3m2": ("F6_E3M2", 6)}


class ChosenTensor(NamedTuple):
    """A tensor to be written: its name in the new file, that format's name of its dtype, and its offset there."""

    name: str
    dtype: str
    entry: Entry
    record: TensorRecord
    offset: int


class ExportPlan(NamedTuple):
    """What an export would write: `header` and behind it the tensors, `bytes` of them."""

    root: Root
    target: Path
    tensors: list[ChosenTensor]
    header: bytes
    bytes: int


class _Piece(NamedTuple):
    """Bytes `start` to `end` of a chunk go to `place` in the new file."""

    start: int
    end: int
    place: int


def plan_export(handle: Handle, root: Root, pattern: str, target: Path, *, overwrite: bool = False) -> ExportPlan:
    """Choose the tensors whose name, or `path::name`, matches the glob. Writes nothing.

    A `target` that does not end in `.safetensors` is a folder for `tensors.safetensors`. Raises NotFoundError (nothing
    matches), UsageError (a chosen tensor has a dtype that the format lacks, no name for a target), RefusedError
    (target taken, or a place that is left alone), DamageError.
    """
    target = absolute_target(target)
    if target.suffix != _SUFFIX:
        target = target / FILE_NAME
    refuse_protected(target, handle.store.url, overwrite=overwrite)
    _staging(target, root, overwrite=overwrite)  # refuses a target that is taken
    found = [
        (entry, record)
        for entry in snapshot_entries(handle, root)
        for record in entry.tensors
        if fnmatchcase(record.name, pattern) or fnmatchcase(_full_name(entry, record), pattern)
    ]
    if not found:
        raise NotFoundError(
            f"no tensor of snapshot {root.id} matches {pattern!r}", hint="`holdfast snapshot show --tensors` lists them"
        )
    tensors = _placed(found)
    header = _header(tensors, root)
    return ExportPlan(root, target, tensors, header, sum(tensor.record.bytes for tensor in tensors))


def apply_export(handle: Handle, plan: ExportPlan, *, overwrite: bool = False) -> Path:
    """Write the file, and give it its name when all of it is there and checked. Returns its path.

    At most one tensor at a time is in memory whole: one that is stored in Fortran order. Raises RefusedError (target
    taken, or another export to it is under way), DamageError, StorageFullError, PermissionDeniedError.
    """
    staging = _staging(plan.target, plan.root, overwrite=overwrite)
    handle.progress.phase("restoring", plan.bytes)
    staging.prepare(needed_bytes=len(plan.header) + plan.bytes)
    with staging.alone():
        try:
            _write_file(handle, plan, staging.path)
            left = staging.publish()
        except BaseException as error:  # what an interrupted export left is not gone on with
            with suppress(OSError):
                staging.path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise translate_os_error(error, plan.target) from error
            raise
    if left is not None:
        handle.progress.note(f"not all of what was replaced could be removed: the rest is in {left}")
    return plan.target


def _staging(target: Path, root: Root, *, overwrite: bool) -> Staging:
    return Staging(target, f"{root.id}-tensors", folder=False, overwrite=overwrite)


def _write_file(handle: Handle, plan: ExportPlan, path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, len(plan.header) + plan.bytes)  # what no chunk covers is a hole: zeros
        _write_at(descriptor, plan.header, 0)
        _write_tensors(handle, plan, descriptor)
        os.fchmod(descriptor, 0o666 & ~_umask())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """It can only be read by setting it: for a moment to one that lets nobody in."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _full_name(entry: Entry, record: TensorRecord) -> str:
    return f"{os.fsdecode(entry.path)}::{record.name}"


def _placed(found: Sequence[tuple[Entry, TensorRecord]]) -> list[ChosenTensor]:
    """In the order that the format advises: wide elements first, so that every tensor is aligned to its element."""
    used: dict[str, int] = {}
    for _, record in found:
        used[record.name] = used.get(record.name, 0) + 1
    named: dict[str, tuple[int, str, Entry, TensorRecord]] = {}
    for entry, record in found:
        dtype, bits = _format_dtype(entry, record)
        name = record.name if used[record.name] == 1 else _full_name(entry, record)
        name = name.encode(errors="backslashreplace").decode()
        if name in named:
            raise DamageError(f"the manifest names {name!r} twice", object_name=name)
        if name == "__metadata__":
            raise UsageError("a tensor called '__metadata__' cannot be written as safetensors")
        named[name] = (bits, dtype, entry, record)
    tensors = []
    offset = 0
    for name, (_, dtype, entry, record) in sorted(named.items(), key=lambda item: (-item[1][0], item[0])):
        tensors.append(ChosenTensor(name, dtype, entry, record, offset))
        offset += record.bytes
    return tensors


def _format_dtype(entry: Entry, record: TensorRecord) -> tuple[str, int]:
    """The format's name for the dtype, and bits per element."""
    if record.dtype in _PACKED_BITS:
        dtype, bits = _PACKED_BITS[record.dtype]
    elif record.dtype in SAFETENSORS:
        dtype, bits = SAFETENSORS[record.dtype], 8 * numpy_dtype(record.dtype).itemsize
    else:
        dtype, bits = "", 0
    if not dtype or math.prod(record.shape) * bits != 8 * record.bytes:
        raise UsageError(
            f"tensor {_full_name(entry, record)!r} of dtype {record.dtype} cannot be written as safetensors",
            hint="choose others, or restore its file with --only",
        )
    if record.offset < 0 or record.offset + record.bytes > entry.size:
        raise DamageError(f"tensor {_full_name(entry, record)!r} lies outside its file")
    return dtype, bits


def _header(tensors: Sequence[ChosenTensor], root: Root) -> bytes:
    """Eight bytes of length, then JSON, padded with spaces so that the data begins at a multiple of eight."""
    described: dict[str, object] = {"__metadata__": {"holdfast_snapshot": root.id}}
    for tensor in tensors:
        span = [tensor.offset, tensor.offset + tensor.record.bytes]
        described[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.record.shape, "data_offsets": span}
    text = msgspec.json.encode(described)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write_tensors(handle: Handle, plan: ExportPlan, descriptor: int) -> None:
    data_start = len(plan.header)
    in_order = [tensor for tensor in plan.tensors if not tensor.record.fortran]

    def write(wanted: Wanted[list[_Piece]], data: Buffer) -> None:
        view = memoryview(data)
        for piece in wanted.purpose:
            _write_at(descriptor, view[piece.start : piece.end], piece.place)
            handle.progress.advance(piece.end - piece.start)

    handle.reader().stream(_wanted(in_order, data_start), write, workers=handle.workers)
    transposed = [tensor for tensor in plan.tensors if tensor.record.fortran]
    if transposed:
        arrays = load_tensors(handle, plan.root)
        for tensor in transposed:
            array = np.ascontiguousarray(arrays[_full_name(tensor.entry, tensor.record)][...])
            _write_at(descriptor, array.reshape(-1).view(np.uint8).data, data_start + tensor.offset)
            handle.progress.advance(tensor.record.bytes)


def _wanted(tensors: Sequence[ChosenTensor], data_start: int) -> Iterator[Wanted[list[_Piece]]]:
    """Each chunk that holds something of a tensor once, with all that is wanted of it."""
    by_file: dict[bytes, list[ChosenTensor]] = {}
    for tensor in tensors:
        by_file.setdefault(tensor.entry.path, []).append(tensor)
    for members in by_file.values():
        chunks = entry_chunks(members[0].entry)
        starts = [offset for offset, _, _, _ in chunks]
        pieces: dict[int, list[_Piece]] = {}
        for tensor in members:
            first, end = tensor.record.offset, tensor.record.offset + tensor.record.bytes
            number = max(0, bisect_right(starts, first) - 1)
            while number < len(chunks) and starts[number] < end:
                start, length, _, _ = chunks[number]
                low, high = max(start, first), min(start + length, end)
                if low < high:
                    place = data_start + tensor.offset + low - first
                    pieces.setdefault(number, []).append(_Piece(low - start, high - start, place))
                number += 1
        for number in sorted(pieces):
            yield Wanted(chunks[number][2], chunks[number][1], pieces[number])


def _write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)
