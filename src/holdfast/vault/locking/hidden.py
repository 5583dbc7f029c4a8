"""Objects that were hidden before their locks ended: somebody's doing who goes by no lock.

Nothing of Holdfast hides what is locked: dropping, retention and collecting all wait for the end of the lock. (Going
back to before an attack does: what was added since.) So a delete marker that is older than the end of the lock below it
tells an attacker's deletion from an orderly one. The first is kept locked for one more period, with all that a hidden
snapshot needs, and told each time: hiding a snapshot and waiting for its locks to end destroys nothing unseen. The
second is left alone: what was let go in order must not be paid for for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import ObjectNotFoundError
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import ObjectLocks, Period, Version
from holdfast.vault.format.names import CONFIG, PACKS, PARTS, SNAPSHOTS
from holdfast.vault.handle import Handle
from holdfast.vault.locking.reach import IMMUTABLE

__all__ = ["Hidden", "hidden_early", "unhidden", "older_versions"]

_KEPT = (SNAPSHOTS, PACKS, PARTS, CONFIG)  # pointers and the index are replaced by Holdfast itself, locked or not
_WORKERS = 16


class Hidden(NamedTuple):
    """`version`: the newest content below the marker, locked until `until_ns`. `since_ns`: when it was hidden."""

    version: Version
    until_ns: int
    since_ns: int

    @property
    def key(self) -> str:
        return self.version.key

    def is_kept(self, period: Period, now_ns: int) -> bool:
        """Whether it is locked on: for one period from when it was hidden."""
        return now_ns < self.since_ns + period.nanoseconds


def hidden_early(locks: ObjectLocks, stacks: Mapping[str, Sequence[Version]]) -> list[Hidden]:
    """Those among all versions (by key, newest first): a request for each object that is hidden."""
    below = [
        (stack[0], next((one for one in stack if not one.is_marker), None))
        for key, stack in sorted(stacks.items())
        if stack[0].is_marker and key.startswith(_KEPT)
    ]

    def one(pair: tuple[Version, Version | None]) -> Hidden | None:
        marker, version = pair
        if version is None:
            return None
        try:
            lock = locks.retention_of(version.key, version.version)
        except ObjectNotFoundError:
            return None
        if lock is None or lock.until_ns <= marker.modified_ns:
            return None
        return Hidden(version, lock.until_ns, marker.modified_ns)

    with ThreadPoolExecutor(_WORKERS) as pool:
        return [found for found in pool.map(one, below) if found is not None]


def unhidden(
    handle: Handle,
    locks: ObjectLocks,
    stacks: Mapping[str, Sequence[Version]],
    hidden: Sequence[Hidden],
    now_ns: int,
) -> tuple[PastStore, Handle]:
    """The vault as it would be without the markers on these objects: to be read only."""
    instead = {one.key: one.version for one in hidden}
    store = PastStore(handle.store, locks, now_ns, instead, stacks=stacks)
    return store, Handle(store, handle.keys, handle.clock, handle.progress)


def older_versions(stacks: Mapping[str, Sequence[Version]]) -> list[Version]:
    """Of what was overwritten and is there still, all but the current version: nobody knows here which one is good."""
    return [
        version
        for key, stack in sorted(stacks.items())
        if key.startswith(IMMUTABLE) and not stack[0].is_marker
        for version in stack[1:]
        if not version.is_marker
    ]
