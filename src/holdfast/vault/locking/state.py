"""What is locked, as the store itself says: snapshot by snapshot, with whatever falls short of the setting."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.clock import to_rfc3339
from holdfast.errors import HoldfastError, ObjectNotFoundError, RefusedError
from holdfast.objectives.lock_terms import LockTerm
from holdfast.stores.retention.past import versions_by_key
from holdfast.stores.retention.port import LockSupport, ObjectLocks, Retention, locks_of
from holdfast.vault.format.names import CONFIG, SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.hidden import Hidden, hidden_early
from holdfast.vault.locking.reach import IMMUTABLE, reach_of
from holdfast.vault.locking.setting import LockSetting, read_setting
from holdfast.vault.locking.terms import reaches_of, terms_of
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["SnapshotLock", "LockReport", "lock_report", "locked_until", "refuse_locked", "UNTIL_MAX"]

_WORKERS = 16
_WEAKEST_MAX = 5
UNTIL_MAX = (1 << 63) - 1  # in the year 2262: what files and databases hold; anybody may lock for longer


class SnapshotLock(NamedTuple):
    """One snapshot. `until_ns`: nobody may destroy it before (0: something of it is not locked at all).

    `weakest`: the objects that are locked for the shortest time, a few. `error`: why it cannot be told. `term`: for how
    long it has to be locked; None where the vault has no lock setting. Components that the policy does not keep
    for as long do not count here.
    """

    key: str
    root: Root | None
    until_ns: int
    objects: int
    unlocked: int
    weakest: tuple[str, ...]
    error: str = ""
    term: LockTerm | None = None

    @property
    def is_short(self) -> bool:
        """Whether its lock ends before it may: the next extension of locks is due."""
        return not self.error and self.term is not None and self.until_ns < self.term.until

    def is_let_go(self, now_ns: int) -> bool:
        """Whether nothing asks for its lock any more."""
        return self.term is not None and not self.term.renewed and self.term.until <= now_ns


class LockReport(NamedTuple):
    """`now_ns`: by the store's clock. `overwritten`, `deleted`: objects that only an attacker, or a repair, writes
    twice; and those that are gone and still have versions. `hidden`: of these, what was locked when it went.
    """

    setting: LockSetting | None
    support: LockSupport
    now_ns: int
    snapshots: tuple[SnapshotLock, ...]
    overwritten: tuple[str, ...]
    deleted: int
    hidden: tuple[Hidden, ...] = ()

    @property
    def unprotected(self) -> list[SnapshotLock]:
        """Snapshots that could be destroyed now, and those of which it cannot be told; but for those that the policy
        lets go.
        """
        return [
            one
            for one in self.snapshots
            if one.error or (one.until_ns <= self.now_ns and not one.is_let_go(self.now_ns))
        ]


def lock_report(handle: Handle, setting: LockSetting | None = None) -> LockReport:
    """Ask the store for the lock of every object that a snapshot reaches: one request for each object.

    `setting`: what would be asked of the locks by it, in place of the vault's own. Needs a key that reads.
    Raises RefusedError where the store has no locks at all, and what the store raises.
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
    setting = setting or read_setting(handle)
    now = locks.now_ns()
    terms = terms_of(handle, setting, now) if setting is not None else None
    committed = {info.key: info.modified_ns for info in handle.store.list(SNAPSHOTS)}
    snapshots = []
    for one in list_roots(handle):
        if one.root is None:
            why = one.error.message if one.error is not None else "it cannot be read"
            snapshots.append(SnapshotLock(one.key, None, 0, 0, 0, (), why))
            continue
        term = terms.of(one.root, committed.get(one.key, now)) if terms is not None else None
        try:
            reach = reach_of(handle, one.root) if term is None else reaches_of(handle, one.root, term)[0]
        except HoldfastError as error:
            snapshots.append(SnapshotLock(one.key, one.root, 0, 0, 0, (), error.message, term))
            continue
        judged = asked.judge(one.key, one.root, {reach.root, *reach.data, *config}, reach.unknown)
        snapshots.append(judged._replace(term=term))
    written_twice = [
        key
        for key, stack in stacks.items()
        if key.startswith(IMMUTABLE) and sum(not version.is_marker for version in stack) > 1
    ]
    gone = sum(stack[0].is_marker and key.startswith(IMMUTABLE) for key, stack in stacks.items())
    hidden = hidden_early(locks, stacks)
    return LockReport(setting, support, now, tuple(snapshots), tuple(written_twice), gone, tuple(hidden))


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
    """Of these objects, those that are locked now, and until when (ns, the store's clock; at most `UNTIL_MAX`). For
    whoever deletes.

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
    return {
        key: min(found.until_ns, UNTIL_MAX)
        for key in listed
        if (found := known[key]) is not None and found.until_ns > now
    }


def refuse_locked(handle: Handle, root_key: str) -> None:
    """Raises RefusedError when a snapshot's root is locked still: dropping it would free nothing, and hide it."""
    until = locked_until(handle, [root_key]).get(root_key)
    if until is not None:
        raise RefusedError(
            f"the snapshot is locked until {to_rfc3339(until)[:16]}Z", hint="drop it then", object_name=root_key
        )
