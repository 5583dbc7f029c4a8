"""What is locked, as the store itself says: snapshot by snapshot, with whatever falls short of the setting."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.clock import to_rfc3339
from holdfast.errors import HoldfastError, ObjectNotFoundError, RefusedError
from holdfast.stores.retention.past import versions_by_key
from holdfast.stores.retention.port import LockSupport, ObjectLocks, Retention, locks_of
from holdfast.vault.format.names import CONFIG
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.reach import IMMUTABLE, reach_of
from holdfast.vault.locking.setting import LockSetting, read_setting
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["SnapshotLock", "LockReport", "lock_report", "locked_until", "refuse_locked"]

_WORKERS = 16
_WEAKEST_MAX = 5


class SnapshotLock(NamedTuple):
    """One snapshot. `until_ns`: nobody may destroy it before (0: something of it is not locked at all).

    `weakest`: the objects that are locked for the shortest time, a few. `error`: why it cannot be told.
    """

    key: str
    root: Root | None
    until_ns: int
    objects: int
    unlocked: int
    weakest: tuple[str, ...]
    error: str = ""


class LockReport(NamedTuple):
    """`now_ns`: by the store's clock. `overwritten`, `deleted`: objects that only an attacker, or a repair, writes
    twice; and those that are gone and still have versions.
    """

    setting: LockSetting | None
    support: LockSupport
    now_ns: int
    snapshots: tuple[SnapshotLock, ...]
    overwritten: tuple[str, ...]
    deleted: int

    @property
    def unprotected(self) -> list[SnapshotLock]:
        """Snapshots that could be destroyed now, and those of which it cannot be told."""
        return [one for one in self.snapshots if one.error or one.until_ns <= self.now_ns]


def lock_report(handle: Handle) -> LockReport:
    """Ask the store for the lock of every object that a snapshot reaches: one request for each object.

    Needs a key that reads. Raises RefusedError where the store has no locks at all, and what the store raises.
    """
    handle.keys.require_reader("telling what is locked")
    locks = locks_of(handle.store)
    if locks is None:
        raise RefusedError(f"{handle.store.url} cannot lock objects", hint="see docs/immutability.md")
    handle.refresh()
    support = locks.support()
    asked = _Asked(locks, believed=not support.reason)
    # The index can be made again from the packs, and the setting locks nothing that is locked: neither counts here.
    config = [info.key for info in handle.store.list(CONFIG)]
    stacks = versions_by_key(locks.versions(""))
    snapshots = []
    for one in list_roots(handle):
        if one.root is None:
            why = one.error.message if one.error is not None else "it cannot be read"
            snapshots.append(SnapshotLock(one.key, None, 0, 0, 0, (), why))
            continue
        try:
            reach = reach_of(handle, one.root)
        except HoldfastError as error:
            snapshots.append(SnapshotLock(one.key, one.root, 0, 0, 0, (), error.message))
            continue
        snapshots.append(asked.judge(one.key, one.root, {reach.root, *reach.data, *config}, reach.unknown))
    written_twice = [
        key
        for key, stack in stacks.items()
        if key.startswith(IMMUTABLE) and sum(not version.is_marker for version in stack) > 1
    ]
    gone = sum(stack[0].is_marker and key.startswith(IMMUTABLE) for key, stack in stacks.items())
    return LockReport(read_setting(handle), support, locks.now_ns(), tuple(snapshots), tuple(written_twice), gone)


class _Asked:
    """Locks by key, asked for once each. Not `believed`: the bucket does not keep what it says."""

    def __init__(self, locks: ObjectLocks, *, believed: bool = True) -> None:
        self._locks = locks
        self._believed = believed
        self._known: dict[str, Retention | None] = {}

    def judge(self, key: str, root: Root, needed: Iterable[str], unknown: int) -> SnapshotLock:
        listed = sorted(needed)
        known = self.look_up(listed)
        times = {one: found.until_ns if (found := known[one]) is not None else 0 for one in listed}
        until = min(times.values())
        unlocked = sum(not time for time in times.values())
        weakest = sorted(listed, key=lambda one: (times[one], one))[:_WEAKEST_MAX]
        why = f"{unknown} of its chunks are in no known pack" if unknown else ""
        return SnapshotLock(key, root, until, len(listed), unlocked, tuple(weakest), why)

    def look_up(self, keys: list[str]) -> dict[str, Retention | None]:
        """All locks that were asked for, these among them."""
        missing = [key for key in keys if key not in self._known]

        def one(key: str) -> Retention | None:
            try:
                return self._locks.retention_of(key) if self._believed else None
            except ObjectNotFoundError:
                return None

        with ThreadPoolExecutor(_WORKERS) as pool:
            self._known.update(zip(missing, pool.map(one, missing), strict=True))
        return self._known


def locked_until(handle: Handle, keys: Iterable[str]) -> dict[str, int]:
    """Of these objects, those that are locked now, and until when (ns, the store's clock). For whoever deletes.

    Empty where the store has no locks, or the vault never had a lock setting.
    """
    listed = sorted(set(keys))
    if not listed or read_setting(handle) is None:
        return {}
    locks = locks_of(handle.store)
    if locks is None:
        return {}
    now = locks.now_ns()
    known = _Asked(locks).look_up(listed)
    return {key: found.until_ns for key in listed if (found := known[key]) is not None and found.until_ns > now}


def refuse_locked(handle: Handle, root_key: str) -> None:
    """Raises RefusedError when a snapshot's root is locked still: dropping it would free nothing, and hide it."""
    until = locked_until(handle, [root_key]).get(root_key)
    if until is not None:
        raise RefusedError(
            f"the snapshot is locked until {to_rfc3339(until)[:16]}Z", hint="drop it then", object_name=root_key
        )
