"""A state into shared memory, by one copy: while that runs, training stands still."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from holdfast.errors import FailedError, UsageError
from holdfast.training.saving.accelerator import AcceleratorCopies
from holdfast.training.saving.messages import StagedFile
from holdfast.training.states.arrays import host_view
from holdfast.training.states.files import STATE_FILE, Piece, StateFiles

__all__ = ["StagingPlan", "ExtraFile", "plan_staging", "stage", "read_extra_files", "undisturbed"]

ExtraFile = str | os.PathLike[str] | bytes
_ALIGNMENT = 64  # of the first tensor of each file: a cache line
# On two cores one thread fills the memory bus (measured: 11 GB/s with one, 11 with two). Machines with many
# cores have more channels than one thread can fill.
_THREADS = 1 if (os.cpu_count() or 1) < 8 else 4
_EXTRA_BYTES_MAX = 1 << 30


class _Part(NamedTuple):
    """Bytes, or a saved tensor, that go to `offset` of the shared memory."""

    offset: int
    bytes: bytes | None
    piece: Piece | None


class StagingPlan(NamedTuple):
    """Where everything will lie; nothing is copied yet. `size`: of the shared memory that it needs."""

    files: list[StagedFile]
    parts: list[_Part]
    size: int


@contextmanager
def undisturbed() -> Iterator[None]:
    """While it lasts Python looks for no garbage: with a framework loaded that takes longer (20 ms) than planning."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def plan_staging(state: StateFiles, extra: Mapping[str, bytes]) -> StagingPlan:
    """The files of a state, `state.json` among them, and others beside it. Raises UsageError for names that meet."""
    files: list[StagedFile] = []
    parts: list[_Part] = []
    position = 0
    plain = {STATE_FILE: state.document} if state.document else {}
    for name in extra:
        if name in plain or any(name == file.name for file in state.files):
            raise UsageError(f"the state has a file {name!r} of its own", hint="give the extra file another name")
    _require_no_folders({*plain, *extra, *(file.name for file in state.files)})
    for name, data in (plain | dict(extra)).items():
        files.append(StagedFile(name, position, len(data)))
        parts.append(_Part(position, data, None))
        position += len(data)
    for file in state.files:
        data_at = -(-(position + len(file.header)) // _ALIGNMENT) * _ALIGNMENT
        begin = data_at - len(file.header)
        files.append(StagedFile(file.name, begin, len(file.header) + file.data_bytes))
        parts.append(_Part(begin, file.header, None))
        parts += [_Part(data_at + piece.offset, None, piece) for piece in file.pieces if piece.form.nbytes]
        position = data_at + file.data_bytes
    return StagingPlan(files, parts, position)


def stage(plan: StagingPlan, memory: memoryview) -> None:
    """Copy everything to its place in `memory`; when it returns, the state may change again.

    Raises FailedError when a tensor cannot be read (it was deleted, or its device is gone).
    """
    target = np.frombuffer(memory, np.uint8)
    address = int(target.ctypes.data)
    here = [part for part in plan.parts if part.piece is None or not _is_elsewhere(part.piece.value)]
    elsewhere = [part for part in plan.parts if part.piece is not None and _is_elsewhere(part.piece.value)]
    try:
        if elsewhere:  # begun first: an accelerator copies while this processor does
            copies = AcceleratorCopies(memory)
            copies.begin([(part.offset, part.piece) for part in elsewhere if part.piece is not None])
        if _THREADS > 1 and plan.size > _THREADS << 24:
            with ThreadPoolExecutor(_THREADS, thread_name_prefix="holdfast-stage") as pool:
                list(pool.map(lambda share: _copy(share, target, address), _shares(here)))
        else:
            _copy(here, target, address)
        if elsewhere:
            copies.finish()
    except RuntimeError as error:  # torch and JAX: memory that was freed, a device that failed
        raise FailedError(f"the state cannot be copied ({_line(error)})") from error


def read_extra_files(extra: Mapping[str, ExtraFile]) -> dict[str, bytes]:
    """Files that go along, by the name that they get. Raises UsageError, FailedError."""
    found: dict[str, bytes] = {}
    for name, source in extra.items():
        if not _is_file_name(name):
            raise UsageError(f"{name!r} cannot be the name of an extra file", hint="a relative path, without `..`")
        if isinstance(source, bytes):
            found[name] = source
            continue
        if not isinstance(source, str | os.PathLike):
            raise UsageError(f"the extra file {name!r} is a {type(source).__name__}", hint="give a path, or bytes")
        try:
            path = Path(source)
            if path.stat().st_size > _EXTRA_BYTES_MAX:
                raise UsageError(f"{path} is too large to go along", hint="save it by `save_folder`, or as a tensor")
            found[name] = path.read_bytes()
        except OSError as error:
            raise FailedError(f"{source} cannot be read ({error.strerror})", object_name=str(source)) from error
    return found


def _require_no_folders(names: set[str]) -> None:
    for name in sorted(names):
        for folder in PurePosixPath(name).parents:
            if str(folder) in names:
                raise UsageError(
                    f"{str(folder)!r} cannot be a file and the folder of {name!r}", hint="give one of them another name"
                )


def _is_file_name(name: Any) -> bool:
    if not isinstance(name, str) or not name or name.startswith("/") or "\0" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/")) and name.isprintable()


def _is_elsewhere(value: Any) -> bool:
    device = getattr(value, "device", None)
    return device is not None and type(device).__module__ == "torch" and str(device.type) != "cpu"


def _shares(parts: list[_Part]) -> list[list[_Part]]:
    """The parts in shares of about the same number of bytes; a very large tensor is one thread's work."""
    shares: list[list[_Part]] = [[] for _ in range(_THREADS)]
    loads = [0] * _THREADS
    for part in sorted(parts, key=_bytes_of, reverse=True):
        least = loads.index(min(loads))
        shares[least].append(part)
        loads[least] += _bytes_of(part)
    return shares


def _bytes_of(part: _Part) -> int:
    return len(part.bytes or b"") if part.piece is None else part.piece.form.nbytes


def _copy(parts: list[_Part], target: np.ndarray[Any, np.dtype[np.uint8]], address: int) -> None:
    memmove = ctypes.memmove
    for offset, data, piece in parts:
        if piece is None:
            assert data is not None
            memmove(address + offset, data, len(data))
            continue
        value, form = piece.value, piece.form
        if form.framework == "torch" and value.is_contiguous() and not (value.is_conj() or value.is_neg()):
            memmove(address + offset, value.data_ptr(), form.nbytes)  # a tenth of the cost of a view by NumPy
            continue
        place = target[offset : offset + form.nbytes].view(form.dtype).reshape(form.shape)
        if form.framework == "torch":  # faster than NumPy where the order changes
            _torch_view(place).copy_(value.detach())
        else:
            np.copyto(place, host_view(value, piece.name))


def _torch_view(place: Any) -> Any:
    from holdfast.training.states.arrays import as_framework

    return as_framework(place, "torch")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
