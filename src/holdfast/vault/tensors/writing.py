"""A mapping of names to arrays, saved as the safetensors files that it would make: restoring gives real files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from holdfast.errors import UsageError
from holdfast.vault.format.records import Entry
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.saving.contents import Content, Opened
from holdfast.vault.saving.save import Job
from holdfast.vault.tensors.dtypes import SAFETENSORS, name_of

__all__ = ["tensor_job", "FLAT_COMPONENT"]

FLAT_COMPONENT = "tensors"
_RESERVED = "__metadata__"  # of the safetensors header
_DEPTH_MAX = 100
_FILE_NAME_BYTES_MAX = 240  # with its ending, what every file system takes
Array = np.ndarray[Any, np.dtype[Any]]


def tensor_job(tensors: Mapping[str, Any]) -> Job:
    """The job of saving arrays. Raises UsageError naming the value that is none.

    Values may be NumPy, PyTorch or JAX arrays, numbers, or mappings of those. A mapping at the top level becomes a
    component of its own (`{"model": …, "optimizer": …}`), everything else goes into `tensors`.
    """
    if not tensors:
        raise UsageError("there is nothing to save: the mapping is empty")
    components: dict[str, dict[str, Array]] = {}
    flat: dict[str, Array] = {}
    for key, value in tensors.items():
        name = _name(key)
        if not isinstance(value, Mapping):
            _put(flat, name, value)
            continue
        if name in components:
            raise UsageError(f"two components are called {name!r}")
        arrays = components[_file_name(name)] = {}
        _flatten(value, "", arrays)
        if not arrays:
            raise UsageError(f"the component {name!r} holds no arrays", hint="leave it out")
    if flat and FLAT_COMPONENT in components:
        raise UsageError(
            f"{FLAT_COMPONENT!r} is where arrays without a component go", hint="give that component another name"
        )
    if flat:
        components[FLAT_COMPONENT] = flat
    now = time.time_ns()
    contents: list[Content] = [
        ArraysContent(component, arrays, now) for component, arrays in sorted(components.items())
    ]
    top = Entry(path=b".", type="folder", mode=0o755, mtime=now)
    return Job("tensors", "tensors", contents, [top], now, None)


class ArraysContent:
    """Arrays as one virtual safetensors file. They are read while saving: do not change them meanwhile."""

    def __init__(self, component: str, arrays: Mapping[str, Array], now_ns: int) -> None:
        self.relative = f"{component}.safetensors".encode()
        self.component = component
        self.mode = 0o644
        self.mtime_ns = now_ns
        self.local_path = ""
        self._segments = list(_segments(arrays))
        self.size = sum(segment.nbytes for segment in self._segments)

    @contextmanager
    def open(self) -> Iterator[Opened]:
        source = SegmentSource(self._segments)
        yield Opened(source, propose_layout(source, self.relative.decode()))


class SegmentSource:
    """Several buffers, one after the other, as one source."""

    def __init__(self, segments: list[memoryview]) -> None:
        self._segments = segments
        self._starts = np.cumsum([0, *(segment.nbytes for segment in segments)])
        self.size = int(self._starts[-1])

    def read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        position = int(np.searchsorted(self._starts, offset, side="right")) - 1
        pieces = []
        while offset < end:
            start = int(self._starts[position])
            piece = self._segments[position][offset - start : end - start]
            pieces.append(piece)
            offset += piece.nbytes
            position += 1
        return b"".join(pieces)


def _segments(arrays: Mapping[str, Array]) -> Iterator[memoryview]:
    # In the order of the names' sizes of elements, as the format advises, every tensor is aligned to its element.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    position = 0
    for name in order:
        array = arrays[name]
        dtype = SAFETENSORS[name_of(array.dtype, name)]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (position, position + array.nbytes)}
        position += array.nbytes
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    yield memoryview(len(text).to_bytes(8, "little") + text)
    for name in order:
        if arrays[name].nbytes:
            yield memoryview(arrays[name].reshape(-1).view(np.uint8).data)


def _flatten(value: Mapping[Any, Any], prefix: str, into: dict[str, Array], depth: int = 1) -> None:
    if depth > _DEPTH_MAX:
        raise UsageError(f"mappings are nested more than {_DEPTH_MAX} deep (or one holds itself)")
    for key, inner in value.items():
        name = f"{prefix}{_name(key)}"
        if isinstance(inner, Mapping):
            _flatten(inner, f"{name}.", into, depth + 1)
        else:
            _put(into, name, inner)


def _put(into: dict[str, Array], name: str, value: Any) -> None:
    if name in into:
        raise UsageError(f"two arrays are called {name!r}")
    if name == _RESERVED:
        raise UsageError(f"{name!r} means something else in a safetensors file", hint="give that array another name")
    into[name] = _array(value, name)


def _array(value: Any, name: str) -> Array:
    """C-contiguous, little endian, on the CPU."""
    if isinstance(value, (str, bytes, list, tuple, set)) or value is None:
        raise UsageError(
            f"{name!r} is a {type(value).__name__}, not an array", hint="put text and lists into `metadata`"
        )
    try:
        if type(value).__module__.partition(".")[0] == "torch":
            value = _from_torch(value, name)
        array = np.asarray(value)
    except UsageError:
        raise
    except Exception as error:  # foreign code: a deleted JAX array raises RuntimeError, others anything
        raise UsageError(f"{name!r} cannot be read as an array ({type(error).__name__})") from error
    name_of(array.dtype, name)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    # ascontiguousarray would make 0-d arrays 1-d
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _from_torch(value: Any, name: str) -> Any:
    if not hasattr(value, "detach"):
        raise UsageError(f"{name!r} is a {type(value).__name__}, not a tensor")
    tensor = value.detach().cpu().contiguous()
    kind = str(tensor.dtype).removeprefix("torch.")
    extended = {"bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"}
    if kind not in extended:
        return tensor.numpy()
    import ml_dtypes
    import torch  # type: ignore[import-not-found,unused-ignore]  # it is there: the value is one of its tensors

    plain = tensor.view(torch.int16 if tensor.element_size() == 2 else torch.uint8).numpy()
    return plain.view(getattr(ml_dtypes, kind))


def _name(key: Any) -> str:
    if not isinstance(key, (str, int)):
        raise UsageError(f"names of arrays are text: {key!r} is not")
    name = str.__str__(key) if isinstance(key, str) else str(key)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"names of arrays are valid text: {name!r} is not") from error
    return name


def _file_name(name: str) -> str:
    legal = all(character.isalnum() or character in "._-" for character in name) and name not in (".", "..")
    if not legal or not name or len(name.encode()) > _FILE_NAME_BYTES_MAX:
        raise UsageError(
            f"the component {name!r} would not make a file name",
            hint="use letters, digits, `.`, `_`, `-`, not too many",
        )
    return name
