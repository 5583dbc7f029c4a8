"""Carrying a plan of tiers out: copy, read back, and only then drop. What stops in between goes on where it was.

Each store holds whole snapshots and opens as a vault by itself. A copy is an ordinary replication of chosen snapshots:
its order, its lease at the target and its rescue of condemned objects are those of `replication.copying.snapshots`. A
drop is an ordinary drop, in one store: nothing there may point to the snapshot, and every store that the plan relies
on must have it whole and read back at that moment. Packs that nobody needs any more are freed by the store's next
collection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from holdfast.errors import HoldfastError, RefusedError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.copying.planning import check_same_vault
from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.tiering.facts import Facts
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.plans import Move, TierPlan, Verb
from holdfast.replication.tiering.proving import Prover, find_root
from holdfast.replication.tiering.selected import SelectedStore
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.dropping import apply_drop, plan_drop
from holdfast.vault.snapshots.pointers import read_pointers

__all__ = ["Moved", "carry_out"]


@dataclass
class Moved:
    """What was done. `copies`: (store, store) → objects and bytes that were copied. `read_back`: bytes that were read
    to prove copies. `held`: move → why it was not done; planning again says whether it still should be.
    """

    done: list[Move] = field(default_factory=list)
    held: dict[Move, str] = field(default_factory=dict)
    copies: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    read_back: int = 0


def carry_out(
    plan: TierPlan,
    facts: Facts,
    stores: Mapping[str, Handle],
    *,
    progress: Progress = SILENT,
    unpointed: Collection[str] = (),
) -> Moved:
    """Do what the plan says, as far as it can be done. A move that fails holds back what relies on it, nothing else.

    `unpointed`: stores to which snapshots are copied without pointers, so that nothing keeps them there: caches.

    `facts`: those that the plan was made of: jurisdictions are judged once more. `stores`: name → the vault opened
    there with a keeper's key; an empty store has the keys of another one. Raises UsageError (a store of the plan is
    missing), RefusedError (a copy would break a rule of jurisdiction, or a store holds another vault) before anything
    is written.
    """
    work = _Work(plan, facts, stores, progress, unpointed)
    work.check()
    return work.run()


class _Work:
    def __init__(
        self,
        plan: TierPlan,
        facts: Facts,
        stores: Mapping[str, Handle],
        progress: Progress,
        unpointed: Collection[str],
    ) -> None:
        self._plan = plan
        self._unpointed = unpointed
        self._layout = Layout(facts)
        self._stores = stores
        self._progress = progress
        self._moved = Moved()
        self._provers = {name: Prover(handle) for name, handle in stores.items()}

    def check(self) -> None:
        layout = self._layout
        names = {name for move in self._plan.moves for name in (move.store, move.source, *move.needs) if name}
        missing = sorted(names - self._stores.keys())
        if missing:
            raise UsageError(f"the plan moves snapshots at {', '.join(missing)}, which is not opened here")
        for name in sorted(names):
            self._stores[name].keys.require_keeper("moving snapshots between tiers")
        for move in self._plan.moves:
            if move.verb is Verb.COPY:
                site = layout.stores[move.store].site
                if not layout.allows(layout.assets[move.asset], site):
                    where = layout.sites[site].jurisdiction
                    raise RefusedError(f"{move.asset!r} must not be copied to {move.store}: that is in {where}")
                check_same_vault(self._stores[move.source].store, self._stores[move.store].store)

    def run(self) -> Moved:
        groups: dict[tuple[str, str, str], list[Move]] = {}
        for move in self._plan.moves:
            if move.verb is Verb.COPY:
                groups.setdefault((move.source, move.store, move.asset), []).append(move)
        for (source, target, asset), moves in groups.items():
            self._copy(source, target, asset, moves)
        for move in self._plan.moves:
            if move.verb is not Verb.DROP and move not in self._moved.held:
                self._prove(move)
        for move in self._plan.moves:
            if move.verb is Verb.DROP:
                self._drop(move)
        return self._moved

    def _copy(self, source: str, target: str, asset: str, moves: list[Move]) -> None:
        here, wanted = self._stores[source], {move.snapshot for move in moves}
        shown = SelectedStore(here.store, wanted, pointers=target not in self._unpointed)
        selected = Handle(shown, here.keys, here.clock, self._progress)
        try:
            done = replicate(selected, self._stores[target].store, asset=asset, progress=self._progress)
        except HoldfastError as error:
            self._moved.held |= dict.fromkeys(moves, f"copying failed: {error.message}")
            return
        objects, size = self._moved.copies.get((source, target), (0, 0))
        self._moved.copies[source, target] = objects + done.objects, size + done.bytes
        self._stores[target].refresh()
        why = "; ".join(done.damaged.values()) or f"{source} has it no more, or it is being collected at {target}"
        for move in moves:
            if move.snapshot not in done.arrived:
                self._moved.held[move] = f"it did not arrive: {why}"

    def _prove(self, move: Move) -> None:
        """Read it back where it came."""
        handle = self._stores[move.store]
        try:
            root = find_root(handle, move.asset, move.snapshot)
            if root is None:
                self._moved.held[move] = f"{move.store} does not have it any more"
                return
            self._moved.read_back += self._provers[move.store].prove(root)
        except HoldfastError as error:
            self._moved.held[move] = f"it does not read back: {error.message}"
            return
        self._moved.done.append(move)

    def _drop(self, move: Move) -> None:
        handle = self._stores[move.store]
        try:
            root = find_root(handle, move.asset, move.snapshot)
            if root is None:
                self._moved.done.append(move)  # an earlier run got that far
                return
            why = self._why_not_dropped(move, handle, root)
            if not why:
                with HeldLease(handle, "moving between tiers"):
                    apply_drop(handle, plan_drop(handle, root))
        except HoldfastError as error:
            why = error.message
        if why:
            self._moved.held[move] = why
        else:
            self._moved.done.append(move)

    def _why_not_dropped(self, move: Move, handle: Handle, root: Root) -> str:
        """Looked at just before: pointers here, and the copies that it relies on."""
        pointing = sorted(name for name, ref in read_pointers(handle, root.asset).items() if ref.target == root.id)
        if pointing:
            return f"{', '.join(pointing)} of {move.store} points to it"
        if not move.needs:
            return "the plan names no store that keeps it"
        for name in move.needs:
            why = self._provers[name].why_unproven(handle, root)
            if why and self._read_back(name, root):
                why = self._provers[name].why_unproven(handle, root)
            if why:
                return f"it is needed at {name}: {why}"
        return ""

    def _read_back(self, name: str, root: Root) -> bool:
        """Whether a store that is relied on has it, every byte. A snapshot that was decoded there counts as verified in
        the plan; not all bytes of its packs were compared then.
        """
        there = find_root(self._stores[name], root.asset, root.id)
        if there is None or not self._provers[name].was_read(root.id):
            return False
        self._moved.read_back += self._provers[name].prove(there)
        return True
