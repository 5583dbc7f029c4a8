"""What a repair would do, and what it cannot mend."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.ids import ChunkId, PackId

__all__ = [
    "FETCHED",
    "INDEXED",
    "REMOVED",
    "SALVAGED",
    "Fix",
    "LostPart",
    "LostTensor",
    "LostFile",
    "SnapshotLoss",
    "PointerMove",
    "RepairPlan",
    "Repaired",
]

FETCHED, INDEXED, REMOVED, SALVAGED = "fetched", "indexed", "removed", "salvaged"
Range = tuple[int, int]


class Fix(NamedTuple):
    """One object to be written or removed.

    `how`: `fetched` (from the replica `source`), `indexed` (a new index object), `removed` (an index object that is
    replaced, or a copy of a sound object under a name that is not its own), `salvaged` (a new pack of chunks that no
    site has in a whole pack, read one by one).
    """

    key: str
    how: str
    source: str
    bytes: int
    why: str


class LostPart(NamedTuple):
    """A manifest that no site has: the names of its files are gone with it."""

    key: str
    component: str
    files: int
    bytes: int


class LostTensor(NamedTuple):
    """A tensor that does not load, and the ranges (start in the tensor, length) of its bytes that are gone."""

    name: str
    ranges: list[Range]


class LostFile(NamedTuple):
    """A file that does not restore, and the ranges (start in the file, length) of its bytes that are gone.

    `tensors` are those of its tensors that are hurt; `whole_tensors` counts the others, which still load.
    """

    path: str
    size: int
    ranges: list[Range]
    tensors: list[LostTensor]
    whole_tensors: int


class SnapshotLoss(NamedTuple):
    """What a snapshot lost. Without a root (`asset` is empty) everything; else what is named here and nothing more.

    `whole_files` and `whole_bytes` are of the files that still restore.
    """

    snapshot: str
    asset: str
    step: int | None
    why: str
    parts: list[LostPart]
    files: list[LostFile]
    whole_files: int
    whole_bytes: int


class PointerMove(NamedTuple):
    """A pointer of an asset leaves a snapshot that lost data. `after` is empty where no good one is left: it stays."""

    asset: str
    name: str
    before: str
    after: str


class RepairPlan(NamedTuple):
    """`unmended`: object → what is wrong with it, of what stays as it is. `salvage`: chunks for a new pack.

    `relisted`: packs that new index objects list. `needs`: keys of what is fetched, and of what fetched snapshots rely
    on: nothing of it may be collected. `objects` were looked at. The vault is sound when this is carried out if there
    are no losses and nothing unmended.
    """

    objects: int
    fixes: list[Fix]
    salvage: list[ChunkId]
    relisted: list[PackId]
    losses: list[SnapshotLoss]
    unmended: dict[str, str]
    moves: list[PointerMove]
    notes: list[str]
    needs: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        return not (self.fixes or self.moves)


class Repaired(NamedTuple):
    """A plan that was carried out. `fixes` and `moves` are those that were; what failed is in `failed`."""

    plan: RepairPlan
    fixes: list[Fix]
    moves: list[PointerMove]
    failed: dict[str, str]
