"""Locking a snapshot and all that it reaches, the root last: a root that is locked stands for everything below it.

Called after a snapshot is committed and read back. A crash before the root is locked leaves a snapshot that
`state.lock_report` names, and that the next call mends. What was locked for earlier snapshots long enough costs no
request: locks are set a tenth longer than needed, and this machine remembers them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from holdfast.errors import HoldfastError, RefusedError
from holdfast.objectives.calendar import LONGEST_NS
from holdfast.objectives.lock_terms import term_at_save
from holdfast.stores.retention.port import Mode, ObjectLocks, Period, Retained, Retention, locks_of, retain_all
from holdfast.vault.format.names import CONFIG
from holdfast.vault.format.records import Part, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.reach import Reach, common_keys, pointer_keys, reach_of
from holdfast.vault.locking.setting import LockSetting, open_policy, read_setting

__all__ = ["Protected", "Wish", "lock_keys", "lock_reach", "protect_snapshot", "require_locks", "wish"]

_MARGIN = 0.1  # of the period: locks that are set anew are that much longer, so that they are set less often


class Protected(NamedTuple):
    """One snapshot. `until_ns`: it and all that it reaches is locked until then, None where something is not.

    `asked`: objects whose lock was set, or looked up, at the store. `failures`: those that could not be locked.
    """

    snapshot: str
    until_ns: int | None
    mode: Mode
    asked: int
    failures: tuple[Retained, ...] = ()


class Wish(NamedTuple):
    """What has less than `wanted` gets `target`, which is as long or longer."""

    wanted: Retention
    target: Retention


def wish(period: Period, until_ns: int, now_ns: int, *, target_ns: int = 0) -> Wish:
    """To be locked until then, and set (or until `target_ns`) with a margin, so that it need not be set again soon;
    but no longer than any store locks.
    """
    until = max(until_ns, target_ns) + round(period.nanoseconds * _MARGIN)
    target = max(until_ns, min(until, now_ns + LONGEST_NS))
    return Wish(Retention(period.mode, until_ns), Retention(period.mode, target))


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
    if setting is None or period is None:
        return None
    try:
        locks = locks_of(handle.store)
        if locks is None:
            raise RefusedError(f"{handle.store.url} was opened without its locks", hint="see docs/immutability.md")
        reach = reach_of(handle, root, parts)
        committed = handle.store.head(reach.root).modified_ns
        others = [*common_keys(handle), *pointer_keys(handle, root.asset)]
        data = wish(period, _until(handle, setting, period, root, committed), committed)
        done = lock_reach(handle, locks, reach, others, data, wish(period, committed + period.nanoseconds, committed))
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


def lock_reach(
    handle: Handle, locks: ObjectLocks, reach: Reach, others: Iterable[str], data: Wish, helpful: Wish
) -> Protected:
    """Data, then what leads to the snapshot, then the root, and that only when all else is locked.

    Of the `others` the configuration, without which no key opens anything, is locked as the data is; the rest (the
    index, pointers) can be made again, and is locked as `helpful` says.
    """
    lasting = {key for key in others if key.startswith(CONFIG)}
    answers = lock_keys(handle, locks, set(others) - lasting, helpful)
    for keys in (reach.data | lasting, {reach.root}):
        if any(one.error is not None for one in answers):
            break
        answers += lock_keys(handle, locks, keys, data)
    failures = [one for one in answers if one.error is not None]
    if reach.unknown:
        failures.append(Retained(f"{reach.unknown} chunks that are in no known pack", "", None))
    until = None if failures else data.wanted.until_ns
    return Protected(reach.root.rpartition("/")[2], until, data.wanted.mode, len(answers), tuple(failures))


def lock_keys(handle: Handle, locks: ObjectLocks, keys: Iterable[str], wished: Wish) -> list[Retained]:
    """Lock those that are not known to be locked for long enough. Errors are in the answers."""
    memory = memory_of(handle)
    lacking = memory.lacking(keys, wished.wanted)
    answers = retain_all(locks, lacking, wished.target)
    memory.note(one for one in answers if one.error is None)
    return answers


def _until(handle: Handle, setting: LockSetting, period: Period, root: Root, committed: int) -> int:
    policy = open_policy(handle.keys, setting)
    if policy is None:
        return committed + period.nanoseconds
    return term_at_save(policy, root.asset, root.content, committed, period.nanoseconds)
