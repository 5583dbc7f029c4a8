"""Tables of packs to try the index with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.packs import TAG_BYTES
from holdfast.vault.format.records import PackTable

PACK_BYTES = 1 << 20


def pack_id(number: int) -> PackId:
    return PackId(f"{number:064x}")


def make_table(ids: Sequence[ChunkId], *, bases: dict[int, ChunkId] | None = None, stored: int = 100) -> PackTable:
    """Chunks of 50 floats that take `stored` bytes each, more of them the higher their number; `bases`: the deltas."""
    count, bases = len(ids), bases or {}
    lengths = np.arange(count, dtype="<u4") % 7 + max(stored, TAG_BYTES)
    return PackTable(
        ids=b"".join(ids),
        stored=lengths.tobytes(),
        raw=np.full(count, 200, "<u4").tobytes(),
        codec=bytes(3 if number in bases else number % 3 for number in range(count)),
        kind=b"\2" * count,
        width=b"\4" * count,
        based=np.array(sorted(bases), "<u4").tobytes(),
        bases=b"".join(bases[number] for number in sorted(bases)),
    )
