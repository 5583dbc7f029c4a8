"""The order-0 bound of safetensors files: `python -m benchmarks.entropy FOLDER`, JSON out.

Each tensor is cut into pieces of 4 MiB and each piece into its byte planes. A coder that looks at one byte at a time
cannot store a plane in fewer than n × H bits, with H the entropy of the plane's byte frequencies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["plane_bound", "file_bounds", "folder_bounds"]

PIECE = 4 << 20
_WIDTHS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I8": 1, "U8": 1}


def plane_bound(piece: NDArray[np.uint8], width: int) -> float:
    """Bytes that the planes of a piece of elements of `width` bytes take at least, each plane by itself."""
    total = 0.0
    for plane in piece[: len(piece) // width * width].reshape(-1, width).T:
        counts = np.bincount(plane, minlength=256)
        shares = counts[counts > 0] / len(plane) if len(plane) else counts[:0]
        total += len(plane) * float(-(shares * np.log2(shares)).sum()) / 8
    return total


def file_bounds(path: Path) -> Iterator[tuple[str, int, float]]:
    """Group of tensors, its bytes, its bound; the header counts as it is."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    yield "header", 8 + size, 8.0 + size
    data = np.memmap(path, np.uint8, "r", offset=8 + size)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        width = _WIDTHS[entry["dtype"]]
        bound = sum(plane_bound(data[at : min(at + PIECE, end)], width) for at in range(begin, end, PIECE))
        yield _group(name), end - begin, bound


def _group(name: str) -> str:
    """`exp_avg`, `exp_avg_sq` or `weights`."""
    head = name.partition(".")[0]
    return head if head in {"exp_avg", "exp_avg_sq"} else "weights"


def folder_bounds(folder: Path) -> dict[str, Any]:
    """`bytes` and `bound` of all files together, and of each group; other files count as they are."""
    groups: dict[str, dict[str, float]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        plain = path.stat().st_size
        bounds = file_bounds(path) if path.suffix == ".safetensors" else iter([("other", plain, float(plain))])
        for group, size, bound in bounds:
            total = groups.setdefault(group, {"bytes": 0, "bound": 0.0})
            total["bytes"] += size
            total["bound"] += bound
    whole = {key: sum(group[key] for group in groups.values()) for key in ("bytes", "bound")}
    return whole | {"groups": groups}


if __name__ == "__main__":
    print(json.dumps(folder_bounds(Path(sys.argv[1]))))
