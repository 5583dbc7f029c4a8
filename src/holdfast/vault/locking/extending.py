"""Locking everything anew that has to be locked: what `lock extend` does, and `lock set` at first.

For how long is said by `terms`. The order within a snapshot is that of `protecting`: its root last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from holdfast.errors import HoldfastError, RefusedError
from holdfast.objectives.lock_terms import LockTerm
from holdfast.stores.retention.past import versions_by_key
from holdfast.stores.retention.port import ObjectLocks, Period, Retained, Version
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.hidden import Hidden, hidden_early, older_versions, unhidden
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.protecting import Protected, Wish, lock_keys, lock_reach, require_locks, wish
from holdfast.vault.locking.reach import common_keys, pointer_keys, reach_of
from holdfast.vault.locking.setting import read_setting
from holdfast.vault.locking.terms import RENEW_BELOW, Terms, reaches_of, terms_of
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Extended", "extend_locks"]


class Extended(NamedTuple):
    """All snapshots. `until_ns`: those that are kept are locked until then. `asked`: objects whose lock was set or
    looked up. `versions`: older versions among them. `let_go`: snapshots that the policy lets go, whose locks are not
    renewed. `hidden`: keys of roots that were hidden before their locks ended, and are kept locked on.
    """

    snapshots: int
    until_ns: int | None
    asked: int
    versions: int
    failures: tuple[Retained, ...]
    unreadable: tuple[str, ...]
    let_go: int = 0
    hidden: tuple[str, ...] = ()


def extend_locks(handle: Handle) -> Extended:
    """Lock every snapshot that is not locked as it should be, and renew what is kept and has less than half of the
    period left.

    Of what was overwritten, all versions are locked; so is what was hidden before its lock ended (`hidden`). Needs a
    key that reads. Raises RefusedError when the vault has no lock setting, or the store no locks.
    """
    handle.keys.require_reader("extending locks")
    locks = require_locks(handle)
    setting = read_setting(handle)
    if setting is None or setting.period is None:
        raise RefusedError(
            "this vault has no lock setting", hint="set one: `holdfast lock set 30d --vault URL` (keeper's key)"
        )
    handle.refresh()
    memory_of(handle).forget()  # the store is asked: this is what is run when something is amiss
    now = locks.now_ns()
    terms = terms_of(handle, setting, now)
    assert terms is not None, "it has a period"
    return _Work(handle, locks, terms, now).run()


class _Work:
    def __init__(self, handle: Handle, locks: ObjectLocks, terms: Terms, now_ns: int) -> None:
        self._handle = handle
        self._locks = locks
        self._terms = terms
        self._now = now_ns
        self._renewed = _wish_from_now(terms.period, 0, now_ns)
        self._failures: list[Retained] = []
        self._asked = 0

    def run(self) -> Extended:
        handle = self._handle
        committed = {info.key: info.modified_ns for info in handle.store.list(SNAPSHOTS)}
        common = set(common_keys(handle))
        ends: list[int] = []
        unreadable: list[str] = []
        roots = let_go = 0
        for one in list_roots(handle):
            if one.root is None:
                unreadable.append(one.key)
                continue
            roots += 1
            term = self._terms.of(one.root, committed.get(one.key, self._now))
            let_go += not term.renewed
            if not term.renewed and term.until <= self._now:
                continue
            try:
                done = self._lock(one.root, term, common)
            except HoldfastError as error:
                self._failures.append(Retained(one.key, "", None, error))
                continue
            self._failures += done.failures
            if done.until_ns is not None and term.renewed:
                ends.append(done.until_ns)
        self._note(lock_keys(handle, self._locks, common, self._renewed))  # also where there is no snapshot yet
        stacks = versions_by_key(self._locks.versions(""))
        versions = self._lock_versions(older_versions(stacks))
        hidden = hidden_early(self._locks, stacks)
        found, hidden_roots = self._lock_hidden(hidden, stacks)
        versions += found
        return Extended(
            roots,
            None if self._failures or unreadable else min(ends, default=None),
            self._asked,
            versions,
            tuple(self._failures),
            tuple(unreadable),
            let_go,
            hidden_roots,
        )

    def _lock(self, root: Root, term: LockTerm, common: Iterable[str]) -> Protected:
        handle = self._handle
        whole, components = reaches_of(handle, root, term)
        for own, reach in components:
            if own.renewed or own.until > self._now:
                self._note(lock_keys(handle, self._locks, reach.packs, self._wish(own)))
        others = [*common, *pointer_keys(handle, root.asset)]
        done = lock_reach(handle, self._locks, whole, others, self._wish(term), self._renewed)
        self._asked += done.asked
        return done

    def _wish(self, term: LockTerm) -> Wish:
        if term.renewed:
            return _wish_from_now(self._terms.period, term.until, self._now)
        return wish(self._terms.period, term.until, self._now)

    def _note(self, answers: Sequence[Retained]) -> None:
        self._asked += len(answers)
        self._failures += [one for one in answers if one.error is not None]

    def _lock_versions(self, versions: Iterable[Version]) -> int:
        count = 0
        for version in versions:
            try:
                self._locks.retain(version.key, self._renewed.wanted, version.version)
                count += 1
            except HoldfastError as error:
                self._failures.append(Retained(version.key, version.version, None, error))
        return count

    def _lock_hidden(
        self, hidden: Sequence[Hidden], stacks: Mapping[str, Sequence[Version]]
    ) -> tuple[int, tuple[str, ...]]:
        """What was hidden early, and what hidden snapshots need. How many versions, and the roots among them: not junk
        that no member of the vault signed, and that was taken away again.
        """
        kept = [one for one in hidden if one.is_kept(self._terms.period, self._now)]
        if not kept:
            return 0, ()
        sound: list[str] = []
        chosen = {(one.key, one.version.version): one.version for one in kept}
        if any(one.key.startswith(SNAPSHOTS) for one in kept):
            store, past = unhidden(self._handle, self._locks, stacks, kept, self._now)
            roots = {one.key for one in kept}
            for listed in list_roots(past):
                if listed.key not in roots or listed.root is None:
                    continue
                sound.append(listed.key)
                try:
                    needed = reach_of(past, listed.root).data
                except HoldfastError as error:
                    self._handle.progress.note(f"of the hidden snapshot {listed.root.id}: {error.message}")
                    continue
                there = store.chosen()
                chosen |= {(key, there[key].version): there[key] for key in needed if key in there}
        return self._lock_versions(chosen[name] for name in sorted(chosen)), tuple(sound)


def _wish_from_now(period: Period, until_ns: int, now_ns: int) -> Wish:
    """Of what is kept: as long as promised, at least for half of the period from now on, and set for all of it."""
    renewed = now_ns + round(period.nanoseconds * RENEW_BELOW)
    return wish(period, max(until_ns, renewed), now_ns, target_ns=now_ns + period.nanoseconds)
