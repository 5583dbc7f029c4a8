"""Sets of stripes in memory whose sites can be taken away."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from blake3 import blake3

from holdfast.replication.striping import StripedStore, create_stripes
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import NoteTaker

__all__ = ["Rig", "pack_of"]


def pack_of(size: int, seed: int = 0) -> tuple[str, bytes]:
    """Bytes, and the key that they have as a pack."""
    data = Random(seed).randbytes(size)
    pack = blake3(data).hexdigest()
    return f"packs/{pack[:2]}/{pack}", data


class Rig:
    """A set of stripes over memory. `down` takes sites away, `up` lets them answer again; `lose` empties them."""

    def __init__(self, k: int = 2, n: int = 3, *, home: int = 0, spares: int | None = None) -> None:
        self.bare = [MemoryStore(name=f"site-{position}") for position in range(n)]
        self.faults = [Faults() for _ in range(n)]
        self.notes = NoteTaker()
        create_stripes(self.bare, k, home=home, spares=spares)

    def fork(self) -> Rig:
        """The same again, without faults; from now on the two have nothing in common."""
        other = Rig.__new__(Rig)
        other.bare = [store.fork() for store in self.bare]
        other.faults = [Faults() for _ in self.bare]
        other.notes = NoteTaker()
        return other

    @property
    def faulty(self) -> list[FaultyStore]:
        return [faults.over(store) for faults, store in zip(self.faults, self.bare, strict=True)]

    def open(self, whole_below: int = 1000) -> StripedStore:
        """As a process of its own sees it; a site that did not answer is asked again at once."""
        return StripedStore(self.faulty, progress=self.notes, retry_seconds=0.0, whole_below=whole_below)

    def down(self, *positions: int) -> None:
        for position in positions:
            self.faults[position].fail("*")

    def up(self) -> None:
        for faults in self.faults:
            faults.heal()

    def lose(self, *positions: int) -> None:
        for position in positions:
            self.bare[position] = MemoryStore(name=f"new-{position}")
            self.faults[position].heal()

    def keys(self, position: int, prefix: str = "") -> list[str]:
        """What a site really holds, without what the set keeps for itself."""
        return [info.key for info in self.bare[position].list(prefix) if not info.key.startswith("stripes/")]

    def all_alike(self, positions: Sequence[int] | None = None) -> bool:
        """Whether all sites hold the same whole objects and their own shard of the same packs."""
        chosen = range(len(self.bare)) if positions is None else positions
        seen = set()
        for position in chosen:
            contents = {key: self.bare[position].get(key) for key in self.keys(position)}
            whole = {key: data for key, data in contents.items() if not key.startswith("shards/")}
            packs = {key.rpartition("-")[0] for key in contents if key.startswith("shards/")}
            assert all(key.endswith(f"-{position}") for key in contents if key.startswith("shards/"))
            seen.add((tuple(sorted(whole.items())), tuple(sorted(packs))))
        return len(seen) == 1
