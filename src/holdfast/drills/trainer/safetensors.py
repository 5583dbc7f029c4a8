"""Reads and writes the safetensors format: a length, a JSON header, then the tensors' bytes without gaps.

The trainer has its own few lines for this so that a drill needs no package that Holdfast does not need, and so that
what checks a recovered checkpoint shares no code with what saved it. Format: the `safetensors` project's README.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.drills.trainer.files import read_file, write_file
from holdfast.errors import DamageError

__all__ = ["StoredTensor", "write_tensors", "read_tensors"]

_WIDTHS = {"F32": 4, "F64": 8, "BF16": 2}


class StoredTensor(NamedTuple):
    """One tensor as its file has it: dtype by its safetensors name, `data` little endian in C order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def write_tensors(path: Path, tensors: Sequence[StoredTensor]) -> None:
    """Write them in the given order. Raises StorageFullError, FailedError."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.data.nbytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned, as the format's own writer does
    write_file(path, [len(text).to_bytes(8, "little"), text, *(tensor.data for tensor in tensors)])


def read_tensors(path: Path) -> list[StoredTensor]:
    """All tensors in the order of their bytes. Raises NotFoundError, DamageError."""
    content = memoryview(read_file(path))
    try:
        return _parse(content)
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamageError(f"{path} is not a whole safetensors file", object_name=str(path)) from error


def _parse(content: memoryview) -> list[StoredTensor]:
    header_size = int.from_bytes(content[:8], "little")
    if len(content) < 8 + header_size:
        raise ValueError("the file ends inside its header")
    header = json.loads(bytes(content[8 : 8 + header_size]))
    header.pop("__metadata__", None)
    body = content[8 + header_size :]
    tensors = [_parse_tensor(name, entry, body) for name, entry in _in_order(header)]
    if sum(tensor.data.nbytes for tensor in tensors) != len(body):
        raise ValueError("the tensors do not cover the file")
    return tensors


def _in_order(header: dict[str, Any]) -> list[tuple[str, Any]]:
    entries = sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"]))
    expected = 0
    for _, entry in entries:
        start, end = entry["data_offsets"]
        if start != expected:
            raise ValueError("the tensors leave a gap or overlap")
        expected = end
    return entries


def _parse_tensor(name: str, entry: Any, body: memoryview) -> StoredTensor:
    start, end = entry["data_offsets"]
    shape = tuple(int(length) for length in entry["shape"])
    data = body[start:end]
    if min(shape, default=0) < 0 or math.prod(shape) * _WIDTHS[entry["dtype"]] != len(data) or len(data) != end - start:
        raise ValueError("a tensor's bytes do not fit its shape")
    return StoredTensor(name, entry["dtype"], shape, data)
