"""Writes safetensors files from float32 arrays, as float32, bfloat16 or int8."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "to_bfloat16", "write_safetensors", "read_safetensors"]

Arrays = Mapping[str, NDArray[Any]]

_NAMES = {"f4": "F32", "u2": "BF16", "i1": "I8", "u1": "U8"}  # an array of uint16 holds the bits of bfloat16 values
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16 of each value, ties to even. Infinities stay; there are no NaNs here."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path: Path, arrays: Arrays) -> None:
    """Write `arrays` (float32, int8, or uint16 standing for bfloat16) in their order. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data.cast("B"))


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `write_safetensors` wrote, in memory; bfloat16 as uint16."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    body = memoryview(content)[8 + size :]
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(body[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays
