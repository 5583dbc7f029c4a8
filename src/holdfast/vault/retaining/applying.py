"""Carrying a retention plan out: thinned records first, then roots. What stops in between goes on where it was.

What is locked at the store is passed over, and goes when the same plan, or another one, is applied after the lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.errors import ConflictError, RefusedError
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.objectives.retention import DROP, THIN, Decision, SnapshotFact, decide, without_components
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.records import Ref
from holdfast.vault.handle import Handle
from holdfast.vault.retaining.facts import Gathered, gather_facts
from holdfast.vault.retaining.planning import RetentionPlan, digest_of, lasting, locked_snapshots
from holdfast.vault.snapshots.dropping import LOOK_AGAIN, drop_many
from holdfast.vault.snapshots.holds import hold_of, is_hold
from holdfast.vault.snapshots.pointers import Pointers
from holdfast.vault.snapshots.refs import RESERVED
from holdfast.vault.snapshots.thinning import forget_thinned, give_up

__all__ = ["Applied", "apply_retention"]

_AGAIN = "plan it again"


class Applied(NamedTuple):
    """What this run did. `before`: changes that an earlier run of the same plan had made. `waiting`: snapshots that
    were to be dropped and are locked → until when (ns, the store's clock).
    """

    dropped: list[str]
    thinned: list[str]
    before: int
    waiting: dict[str, int]


def apply_retention(handle: Handle, plan: RetentionPlan) -> Applied:
    """Do what the plan says: nothing else, and only while what it was made from is still so.

    Ages and ends of holds are judged anew by the store's clock. Raises ConflictError when something changed (a snapshot
    was saved, tagged, held, validated, …), RefusedError, CredentialError for all but keepers.
    """
    handle.keys.require_keeper("applying a retention plan")
    if plan.vault != handle.keys.vault.hex():
        raise ConflictError(f"the plan was made for another vault ({plan.vault})", hint=_AGAIN)
    with HeldLease(handle, "retention") as lease:
        work = _Work(handle, plan, lease)
        work.check()
        return work.run()


class _Work:
    def __init__(self, handle: Handle, plan: RetentionPlan, lease: HeldLease) -> None:
        self._handle = handle
        self._plan = plan
        self._lease = lease
        self._now = lease.opened_ns
        self._gathered: Gathered = gather_facts(
            handle, lambda asset: plan.policy.rule_for(asset) is not None, self._now, own_lease=lease.session
        )
        self._changes = {one.snapshot: one for one in plan.changes}
        self._current = {fact.id: fact for fact in self._gathered.facts}

    def check(self) -> None:
        """Raises ConflictError unless what is there is what the plan saw, but for what it did itself."""
        self._require_read()
        expected = [fact for one in self._plan.facts if (fact := self._expected(one)) is not None]
        if digest_of(expected) != digest_of(self._current.values()):
            raise ConflictError(f"not applied: {self._difference(expected)}", hint=_AGAIN)
        decided = {one.snapshot: one for one in decide(self._current.values(), self._plan.policy, self._now)}
        for change in self._todo():
            now = decided[change.snapshot]
            if (now.action, now.components.keys()) != (change.action, change.components.keys()):
                raise ConflictError(
                    f"not applied: {change.snapshot} was to {change.action}, and now: {now.action} "
                    f"({'; '.join(now.reasons)})",
                    hint=f"{_AGAIN}, or wait a moment",
                )

    def _require_read(self) -> None:
        """What cannot be read now is not what an earlier run dropped, though it is not among the facts either."""
        names = self._handle.keys.names
        for fact in self._plan.facts:
            error = self._gathered.unjudged.get(fact.asset)
            if error is None and is_snapshot_id(fact.id):
                error = self._gathered.unread.get(names.snapshot_key(fact.asset, SnapshotId(fact.id)))
            if error is not None:
                raise ConflictError(
                    f"not applied: what snapshot {fact.id} of {fact.asset!r} is cannot be read now: {error.message}",
                    hint=f"{_AGAIN}: what cannot be read stays",
                )

    def _expected(self, fact: SnapshotFact) -> SnapshotFact | None:
        """The fact as it should be now: what an earlier run of this plan did is taken into account."""
        change, now = self._changes.get(fact.id), self._current.get(fact.id)
        if change is None:
            return fact
        if now is None:
            return None if change.action == DROP else fact
        if change.action == THIN:
            thinned = without_components(fact, change.components)
            return thinned if lasting(now) == lasting(thinned) else fact
        # Tags and spent holds go before the root does.
        tags = [tag for tag in fact.tags if tag in now.tags]
        holds = [hold for hold in fact.holds if hold in now.holds]
        return msgspec.structs.replace(fact, tags=tags, holds=holds)

    def _difference(self, expected: list[SnapshotFact]) -> str:
        before = {fact.id: lasting(fact) for fact in expected}
        for id_, fact in sorted(self._current.items()):
            if id_ not in before:
                return f"snapshot {id_} of {fact.asset!r} came since the plan was made"
            if before[id_] != lasting(fact):
                return f"snapshot {id_} of {fact.asset!r} is not as it was when the plan was made"
        gone = sorted(before.keys() - self._current.keys())
        return f"snapshot {gone[0]} is gone since the plan was made" if gone else "the vault changed"

    def _todo(self) -> list[Decision]:
        return [one for one in self._plan.changes if one.snapshot in self._current and not self._is_done(one)]

    def _is_done(self, change: Decision) -> bool:
        here = self._current[change.snapshot].components
        return change.action == THIN and not change.components.keys() & here.keys()

    def run(self) -> Applied:
        handle, todo = self._handle, self._todo()
        thin = [one for one in todo if one.action == THIN]
        drop = [one for one in todo if one.action == DROP]
        handle.progress.phase("thinning snapshots", None)
        for asset, changes in _by_asset(thin).items():
            pointers = Pointers(handle, asset)
            refs: Mapping[str, Ref] = {}
            for number, change in enumerate(changes):
                self._lease.keep()
                if number % LOOK_AGAIN == 0:
                    refs = pointers.look()
                self._require_unprotected(change, refs)
                root = self._gathered.roots[change.snapshot]
                why = "; ".join(reason for reason in change.reasons if " goes: " in reason)
                give_up(handle, root, list(change.components), f"retention: {why}")
        handle.progress.phase("dropping snapshots", None)
        for change in self._plan.changes:
            if change.action == DROP and change.snapshot not in self._current:
                forget_thinned(handle, change.asset, SnapshotId(change.snapshot))  # left by a run that was cut off
        waiting: dict[str, int] = {}
        for asset, changes in _by_asset(drop).items():
            for start in range(0, len(changes), LOOK_AGAIN):  # a lock may be extended meanwhile
                some = changes[start : start + LOOK_AGAIN]
                locked = locked_snapshots(handle, some)
                waiting |= locked
                self._drop(asset, [one for one in some if one.snapshot not in locked])
        done = len(self._plan.changes) - len(todo)
        dropped = [one.snapshot for one in drop if one.snapshot not in waiting]
        return Applied(dropped, [one.snapshot for one in thin], done, waiting)

    def _drop(self, asset: str, changes: list[Decision]) -> None:
        rule = self._plan.policy.rule_for(asset)
        roots = [self._gathered.roots[one.snapshot] for one in changes]
        ignore_tags = rule is not None and rule.tags == "ignore"
        for _ in drop_many(self._handle, asset, roots, self._now, ignore_tags=ignore_tags):
            self._lease.keep()

    def _require_unprotected(self, change: Decision, refs: Mapping[str, Ref]) -> None:
        """Raises RefusedError when somebody tagged or held it, or moved a pointer to it, since it was judged."""
        fact = self._current[change.snapshot]
        for name, ref in refs.items():
            if ref.target != change.snapshot:
                continue
            if is_hold(name):
                hold = hold_of(ref)
                known = hold in fact.holds or (hold.until is not None and hold.until <= self._now)
            else:
                known = name in fact.tags or name.startswith(RESERVED)
            if not known:
                what = "held" if is_hold(name) else f"what {name!r} points to"
                raise RefusedError(f"snapshot {change.snapshot} is {what} now: it is not thinned", hint=_AGAIN)


def _by_asset(changes: list[Decision]) -> Mapping[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for change in changes:
        found.setdefault(change.asset, []).append(change)
    return found
