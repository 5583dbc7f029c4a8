"""What a collection did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Amount", "Waiting", "CollectReport"]


class Amount(NamedTuple):
    """Objects, and the bytes that they take on the store."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: object) -> Amount:
        if not isinstance(other, Amount):
            return NotImplemented
        return Amount(self.objects + other.objects, self.bytes + other.bytes)


NOTHING = Amount()


class Waiting(NamedTuple):
    """A collection that is not closed yet. `until_ns`: by the store's clock, None where that is not known."""

    collection: str
    amount: Amount
    reason: str
    until_ns: int | None


@dataclass
class CollectReport:
    """`reached`: what the snapshots need. `condemned`, `rescued` (needed again), `deleted`: in this run. `rewritten`:
    the live chunks of packs that were mostly dead, and the bytes of the new packs. `waiting`: what is condemned still.
    `locked`: what nothing needs and is locked, the last of it until `locked_until_ns` by the store's clock.
    """

    dry_run: bool
    snapshots: int = 0
    stored: Amount = NOTHING
    reached: Amount = NOTHING
    dead_bytes: int = 0  # in packs that are needed for something else
    condemned: Amount = NOTHING
    rescued: int = 0
    deleted: Amount = NOTHING
    rewritten: Amount = NOTHING
    rewrite_frees: int = 0
    index_written: int = 0
    index_removed: int = 0
    leases_removed: int = 0
    announcements_removed: int = 0
    active_leases: list[str] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    locked: Amount = NOTHING
    locked_until_ns: int | None = None
    notes: list[str] = field(default_factory=list)
