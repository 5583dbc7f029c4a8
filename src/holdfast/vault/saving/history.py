"""What an asset's last snapshots looked like, in short: enough to say that the next one is unlike them.

Reading sixteen manifests at every save would be too dear, so whoever saves keeps this beside what it remembers anyway
(`memory.py`): 16 bytes for each tensor and snapshot. Without it a snapshot is compared with its parent only.
"""

from __future__ import annotations

import math
import os
import struct
from binascii import crc32
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from holdfast.vault.format.records import Entry, TensorRecord

__all__ = ["HISTORY", "History", "Sight", "PastSnapshot", "sight_of", "named_files", "tensor_name", "extended"]

HISTORY = 16  # snapshots
_TENSORS_MAX = 50_000  # more are not watched: 12 MiB
_ROW = struct.Struct("<fffI")
_UNKNOWN = math.nan


class PastSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """One of the last snapshots: its id and its metrics."""

    id: str
    metrics: dict[str, float] = {}


class History(msgspec.Struct, frozen=True):
    """The last snapshots, oldest first. `tensors`: `tensor_name` → one packed row for each of the newest of them."""

    snapshots: list[PastSnapshot] = []
    tensors: dict[str, bytes] = {}

    def rows(self, name: str) -> list[Sight]:
        """What is known of a tensor, oldest first."""
        packed = self.tensors.get(name, b"")
        whole = len(packed) - len(packed) % _ROW.size
        return [Sight(*row) for row in _ROW.iter_unpack(packed[:whole])]

    def metric(self, name: str) -> list[float]:
        """The finite values of a metric, oldest first."""
        values = (snapshot.metrics.get(name) for snapshot in self.snapshots)
        return [value for value in values if value is not None and math.isfinite(value)]


class Sight(NamedTuple):
    """A tensor in one snapshot, in single precision; NaN is unknown.

    `norm` and `reach` (the largest absolute value) are natural logarithms, -inf for 0; `zeros` is their share;
    `mark` is a checksum of all statistics as they are in the manifest.
    """

    norm: float
    reach: float
    zeros: float
    mark: int


def named_files(source: str, entries: Iterable[Entry]) -> list[tuple[str, Entry]]:
    """The files among them with the paths for `tensor_name`: a single file may have another name every time."""
    return [
        ("" if source == "file" else os.fsdecode(entry.path).encode("utf-8", "replace").decode(), entry)
        for entry in entries
        if entry.type == "file"
    ]


def tensor_name(path: str, tensor: TensorRecord) -> str:
    """Under which a tensor is kept: one of another shape or dtype is another one."""
    return f"{path}\0{tensor.name}\0{tensor.dtype}\0{'x'.join(map(str, tensor.shape))}"


def sight_of(tensor: TensorRecord) -> Sight:
    """The row for a tensor, as `History.rows` would give it back."""
    elements = math.prod(tensor.shape) * (2 if tensor.dtype in ("c64", "c128") else 1)
    reach = _UNKNOWN
    if tensor.least is not None and tensor.greatest is not None:
        reach = _log(max(-tensor.least, tensor.greatest))
    zeros = tensor.zeros / elements if tensor.zeros is not None and elements else _UNKNOWN
    norm = _UNKNOWN if tensor.norm is None else _log(tensor.norm)
    told = repr((tensor.norm, tensor.least, tensor.greatest, tensor.zeros, tensor.nonfinite))
    return Sight(*_ROW.unpack(_ROW.pack(norm, reach, zeros, crc32(told.encode()))))


def extended(
    history: History, snapshot: str, files: Iterable[tuple[str, Entry]], metrics: Mapping[str, float]
) -> History:
    """With one snapshot more, and at most `HISTORY` of them. Tensors that it does not have are forgotten.

    `files`: (path, entry), the paths as they were given to `tensor_name` before.
    """
    tensors: dict[str, bytes] = {}
    for path, entry in files:
        for tensor in entry.tensors:
            if tensor.norm is not None and len(tensors) < _TENSORS_MAX:
                name = tensor_name(path, tensor)
                packed = history.tensors.get(name, b"") + _ROW.pack(*sight_of(tensor))
                tensors[name] = packed[-HISTORY * _ROW.size :]
    return History([*history.snapshots, PastSnapshot(snapshot, dict(metrics))][-HISTORY:], tensors)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
