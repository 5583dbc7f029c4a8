"""Locking a snapshot and all that it reaches, the root last: a root that is locked stands for everything below it.

Called after a snapshot is committed and read back. A crash before the root is locked leaves a snapshot that
`state.lock_report` names, and that the next call mends. What was locked for earlier snapshots long enough costs no
request: locks are set a tenth longer than needed, and this machine remembers them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from holdfast.errors import HoldfastError, RefusedError
from holdfast.stores.retention.port import (
    Mode,
    ObjectLocks,
    Period,
    Retained,
    Retention,
    locks_of,
    retain_all,
)
from holdfast.vault.format.records import Part, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.reach import IMMUTABLE, Reach, common_keys, pointer_keys, reach_of
from holdfast.vault.locking.setting import read_setting
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Protected", "Extended", "protect_snapshot", "extend_locks", "require_locks"]

_MARGIN = 0.1  # of the period: locks that are set anew are that much longer, so that they are set less often
_RENEW_BELOW = 0.5  # of the period: what has less than that left is renewed by `extend_locks`


class Protected(NamedTuple):
    """One snapshot. `until_ns`: it and all that it reaches is locked until then, None where something is not.

    `asked`: objects whose lock was set, or looked up, at the store. `failures`: those that could not be locked.
    """

    snapshot: str
    until_ns: int | None
    mode: Mode
    asked: int
    failures: tuple[Retained, ...] = ()


class Extended(NamedTuple):
    """All snapshots. `asked`: objects whose lock was set or looked up. `versions`: older versions among them."""

    snapshots: int
    until_ns: int | None
    asked: int
    versions: int
    failures: tuple[Retained, ...]
    unreadable: tuple[str, ...]


def require_locks(handle: Handle) -> ObjectLocks:
    """The locks of the handle's store. Raises RefusedError where it has none, or the bucket was made without."""
    locks = locks_of(handle.store)
    if locks is None:
        raise RefusedError(
            f"{handle.store.url} cannot lock objects", hint="a bucket with object lock can: docs/immutability.md"
        )
    support = locks.support()
    if support.reason:
        raise RefusedError(f"nothing can be locked: {support.reason}", hint="see docs/immutability.md")
    return locks


def protect_snapshot(handle: Handle, root: Root, parts: Collection[Part] | None = None) -> Protected | None:
    """Lock a snapshot as the vault's setting says; None where it says nothing. What went wrong is in the answer.

    `parts`: its manifests, for a writer who has just written them. The snapshot is safe on the store whatever comes of
    this; it is only not locked. Raises nothing of `holdfast.errors` but what reading the setting raises.
    """
    setting = read_setting(handle)
    period = setting.period if setting is not None else None
    if period is None:
        return None
    try:
        locks = locks_of(handle.store)
        if locks is None:
            raise RefusedError(f"{handle.store.url} was opened without its locks", hint="see docs/immutability.md")
        reach = reach_of(handle, root, parts)
        wanted = _wanted(handle.store.head(reach.root).modified_ns, period)
        done = _lock(handle, locks, reach, [*common_keys(handle), *pointer_keys(handle, root.asset)], wanted, period)
    except HoldfastError as error:
        done = Protected(root.id, None, period.mode, 0, (Retained(root.id, "", None, error),))
    if done.failures:
        first = done.failures[0]
        why = first.error.message if first.error is not None else "it cannot be locked"
        handle.progress.note(
            f"snapshot {root.id} is saved, but NOT LOCKED ({len(done.failures)} objects): {why}; "
            "`holdfast lock extend` locks it"
        )
    return done


def extend_locks(handle: Handle) -> Extended:
    """Lock every snapshot that is not locked as it should be, and renew what has less than half of the period left.

    Where an object has several versions, all are locked: it is not known here which one is good. Needs a key that
    reads. Raises RefusedError when the vault has no lock setting, or the store no locks.
    """
    handle.keys.require_reader("extending locks")
    locks = require_locks(handle)
    setting = read_setting(handle)
    period = setting.period if setting is not None else None
    if period is None:
        raise RefusedError(
            "this vault has no lock setting", hint="set one: `holdfast lock set 30d --vault URL` (keeper's key)"
        )
    handle.refresh()
    memory = memory_of(handle)
    memory.forget()  # the store is asked: this is what is run when something is amiss
    now = locks.now_ns()
    renewed = Retention(period.mode, now + round(period.nanoseconds * _RENEW_BELOW))
    listed = list_roots(handle)
    common = set(common_keys(handle))
    asked, failures, unreadable, roots = 0, list[Retained](), list[str](), 0
    earliest: int | None = None
    for one in listed:
        if one.root is None:
            unreadable.append(one.key)
            continue
        try:
            reach = reach_of(handle, one.root)
            need = _wanted(handle.store.head(reach.root).modified_ns, period)
            wanted = max(need, renewed, key=lambda each: each.until_ns)
            others = [*common, *pointer_keys(handle, one.root.asset)]
            done = _lock(handle, locks, reach, others, wanted, period, now)
        except HoldfastError as error:
            failures.append(Retained(one.key, "", None, error))
            continue
        roots += 1
        asked += done.asked
        failures += done.failures
        if done.until_ns is not None:
            earliest = done.until_ns if earliest is None else min(earliest, done.until_ns)
    answers = retain_all(locks, common, Retention(period.mode, now + period.nanoseconds))
    memory.note(one for one in answers if one.error is None)  # also where there is no snapshot yet
    asked += len(answers)
    failures += [one for one in answers if one.error is not None]
    older, trouble = _lock_versions(locks, renewed)
    failures += trouble
    until = None if failures or unreadable else earliest
    return Extended(roots, until, asked, older, tuple(failures), tuple(unreadable))


def _wanted(from_ns: int, period: Period) -> Retention:
    return Retention(period.mode, from_ns + period.nanoseconds)


def _lock(
    handle: Handle,
    locks: ObjectLocks,
    reach: Reach,
    others: Iterable[str],
    wanted: Retention,
    period: Period,
    now_ns: int = 0,
) -> Protected:
    """Data, then what leads to the snapshot, then the root, and that only when all else is locked."""
    memory = memory_of(handle)
    margin = round(period.nanoseconds * _MARGIN)
    target = Retention(wanted.mode, max(wanted.until_ns, now_ns + period.nanoseconds if now_ns else 0) + margin)
    snapshot = reach.root.rpartition("/")[2]
    asked = 0
    failures: list[Retained] = []
    for keys in (reach.data | set(others), {reach.root}):
        if failures:
            break
        lacking = memory.lacking(keys, wanted)
        answers = retain_all(locks, lacking, target)
        asked += len(answers)
        memory.note(one for one in answers if one.error is None)
        failures += [one for one in answers if one.error is not None]
    if reach.unknown:
        failures.append(Retained(f"{reach.unknown} chunks that are in no known pack", "", None))
    until = None if failures else wanted.until_ns
    return Protected(snapshot, until, wanted.mode, asked, tuple(failures))


def _lock_versions(locks: ObjectLocks, wanted: Retention) -> tuple[int, list[Retained]]:
    """Lock the older versions of what has several."""
    count, failures = 0, list[Retained]()
    for version in locks.versions(""):
        if version.is_current or version.is_marker or not version.key.startswith(IMMUTABLE):
            continue
        try:
            locks.retain(version.key, wanted, version.version)
            count += 1
        except HoldfastError as error:
            failures.append(Retained(version.key, version.version, None, error))
    return count, failures
