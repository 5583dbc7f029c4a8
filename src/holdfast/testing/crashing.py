"""A crash after every single operation on a store, and an answer that is lost at every one: enumerated, not sampled.

::

    points = every_crash_point(world, lambda world: world.open().save("run", world.source))

The world is copied for each point, stores with their times and the machine's memory, so that no point sees what another
one left. Pools of threads are replaced by plain calls: the n-th operation is the same one each time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from holdfast.clock import Clock
from holdfast.errors import HoldfastError
from holdfast.stores.faulty import Fault, FaultyStore, Operation
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import WRITING_VERBS, Crash, Faults
from holdfast.testing.invariants import (
    BrokenInvariant,
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
)
from holdfast.testing.single_thread import without_pools
from holdfast.testing.workspace import TrialVault, own_memory
from holdfast.trust.credentials import Credential
from holdfast.vault.vault import Vault

__all__ = ["World", "Points", "every_crash_point", "everything_holds", "work_goes_on"]


@dataclass
class World:
    """A vault at one or two sites, what its snapshots were made of, and the memory of the machine that works on it.

    `expected`: snapshot → its source, of those that must never be lost. `source` is content for the next save of
    `asset`. `forget` may be set by who acts: snapshots that are to go.
    """

    trial: TrialVault  # on a MemoryStore
    asset: str
    source: Path
    memory: Path
    expected: Mapping[str, TreeState]
    sites: Mapping[str, MemoryStore] = field(default_factory=dict)  # others than the vault's own
    credentials: Mapping[str, Credential] = field(default_factory=dict)  # of others than the keeper
    clock: Clock | None = None
    faults: Faults = field(default_factory=Faults)
    log: list[Operation] = field(default_factory=list)

    @property
    def vault_store(self) -> MemoryStore:
        """The store itself, without faults."""
        store = self.trial.store
        assert isinstance(store, MemoryStore)
        return store

    def open(self, site: str = "") -> Vault:
        """The vault at a site, on a store where things go wrong."""
        return self.trial.open(store=self.store(site))

    def store(self, site: str = "") -> FaultyStore:
        """The store of a site ("": the vault's own), where things go wrong; one script counts for all sites."""
        return FaultyStore(self.sites[site] if site else self.vault_store, _Logged(self.faults, self.log))

    def copied(self, memory: Path) -> World:
        """The same again, with a memory of its own."""
        if self.memory.exists():
            shutil.copytree(self.memory, memory)
        store = self.vault_store.fork(self.clock)
        sites = {name: site.fork(self.clock) for name, site in self.sites.items()}
        trial = replace(self.trial, store=store)
        return replace(self, trial=trial, sites=sites, memory=memory, faults=Faults(), log=[])


class _Logged:
    """A script that also notes every operation, in the order in which they began."""

    def __init__(self, faults: Faults, log: list[Operation]) -> None:
        self._faults = faults
        self._log = log

    def due(self, operation: Operation) -> Sequence[Fault]:
        self._log.append(operation)
        return self._faults.due(operation)


class Points(NamedTuple):
    """What was tried: operations of the undisturbed run, of them writes, and at how many points it died or did not hear
    an answer; at `looked_at` of them everything was looked at (the others left the same objects as one before).
    """

    operations: int
    writes: int
    crashes: int
    lost_answers: int
    looked_at: int


Act = Callable[[World], object]


def every_crash_point(
    world: World,
    act: Act,
    scratch: Path,
    *,
    gone: Callable[[World], Collection[str]] = lambda world: (),
    again: Act | None = None,
    look: Callable[[World, Path], None] | None = None,
    meanwhile: Callable[[World, Path], None] | None = None,
    thorough: bool = True,
    stride: int = 1,
) -> Points:
    """Let `act` die after each of its operations, and at each of them not hear the answer; then everything must hold.

    After each, in a fresh process so to speak: all invariants hold, every snapshot of `expected` but those that `gone`
    names restores, `again` (as a rule `act` itself) goes through, and so does a save. `look` looks at what else should
    hold. Of a world that is damaged to begin with, `meanwhile` says what holds until `again` went through; then all
    does. Without `thorough`, points that left the same kinds of objects on the stores as an earlier one are only worked
    on further, not read in whole. With a `stride` of n, each n-th point is tried. Raises BrokenInvariant, which names
    the point.
    """
    with without_pools():
        trying = _Trying(world, act, scratch, gone, again or act, look, meanwhile, thorough)
        operations = trying.undisturbed()
        for number in range(1, len(operations) + 1, stride):
            trying.crash(number, operations[number - 1])
        for number in range(1 + stride // 2, len(operations) + 1, stride):
            trying.lose_answer(number, operations[number - 1])
    writes = sum(operation.verb in WRITING_VERBS for operation in operations)
    return Points(len(operations), writes, trying.crashes, trying.lost_answers, trying.looked_at)


class _Trying:
    def __init__(
        self,
        world: World,
        act: Act,
        scratch: Path,
        gone: Callable[[World], Collection[str]],
        again: Act,
        look: Callable[[World, Path], None] | None,
        meanwhile: Callable[[World, Path], None] | None,
        thorough: bool,
    ) -> None:
        self._world = world
        self._act = act
        self._scratch = scratch
        self._gone = gone
        self._again = again
        self._look = look
        self._meanwhile = meanwhile
        self._thorough = thorough
        self._seen: set[object] = set()
        self._number = 0
        self.crashes = self.lost_answers = self.looked_at = 0

    def undisturbed(self) -> list[Operation]:
        """The operations of a run in which nothing goes wrong."""
        with self._fresh() as world:
            self._act(world)
            operations = list(world.log)
            if not operations:
                raise BrokenInvariant("the work did not touch a store")
            self._examine(world, "nothing went wrong")
        return operations

    def crash(self, number: int, operation: Operation) -> None:
        with self._fresh() as world:
            world.faults.stop_after(number)
            with suppress(Crash, HoldfastError):  # an error is what another thread's death may look like
                self._act(world)
                if len(world.log) >= number:
                    raise BrokenInvariant(f"operation {number}: a crash went unnoticed")
            self.crashes += 1
            self._examine(world, f"a crash after operation {number}, {operation.verb} {operation.key}")

    def lose_answer(self, number: int, operation: Operation) -> None:
        with self._fresh() as world:
            world.faults.lose_answer("*", at=number)
            with suppress(HoldfastError):
                self._act(world)
            self.lost_answers += 1
            self._examine(world, f"a lost answer to operation {number}, {operation.verb} {operation.key}")

    @contextmanager
    def _fresh(self) -> Iterator[World]:
        self._number += 1
        memory = self._scratch / f"memory {self._number}"
        with own_memory(memory):
            yield self._world.copied(memory)
        shutil.rmtree(memory, ignore_errors=True)

    def _examine(self, world: World, what: str) -> None:
        world.faults.heal()
        try:
            looks = self._thorough or self._is_new(world)
            if looks:
                self.looked_at += 1
                self._look_at(world)
            self._again(world)
            if looks and self._meanwhile is not None:
                everything_holds(world, self._scratch / "out", gone=self._gone(world))
            work_goes_on(world, self._scratch / "out")
        except (HoldfastError, AssertionError) as error:
            raise BrokenInvariant(f"{what}: {type(error).__name__}: {error}") from error

    def _look_at(self, world: World) -> None:
        if self._meanwhile is not None:
            self._meanwhile(world, self._scratch / "out")
        else:
            everything_holds(world, self._scratch / "out", gone=self._gone(world))
        if self._look is not None:
            self._look(world, self._scratch / "out")

    def _is_new(self, world: World) -> bool:
        sites = [world.vault_store, *world.sites.values()]
        left = tuple(tuple(sorted(_kind(info.key) for info in site.list(""))) for site in sites)
        if left in self._seen:
            return False
        self._seen.add(left)
        return True


def everything_holds(world: World, scratch: Path, *, gone: Collection[str] = ()) -> None:
    """All invariants, at all sites, on the stores themselves. Raises BrokenInvariant."""
    vault = world.trial.open()
    names_are_tidy(world.vault_store)
    check_is_clean(vault)
    pointers_resolve(vault, world.asset)
    kept = {snapshot: tree for snapshot, tree in world.expected.items() if snapshot not in gone}
    every_snapshot_restores(vault, kept, scratch)
    for site in world.sites.values():
        names_are_tidy(site)
        if next(site.list("config/"), None) is None:
            continue
        replica = world.trial.open(store=site)
        check_is_clean(replica)
        pointers_resolve(replica, world.asset)
        arrived = {one.root.id for one in replica.snapshots() if one.root is not None}
        every_snapshot_restores(replica, {one: tree for one, tree in world.expected.items() if one in arrived}, scratch)


def work_goes_on(world: World, scratch: Path) -> None:
    """The next save goes through, is validated, and restores."""
    os.utime(world.source)  # the newest content, whatever was saved before
    next_save_works(world.trial.open(), world.asset, world.source, scratch)


def _kind(key: str) -> str:
    """What a name says of its object beyond what is random in it."""
    kind, _, name = key.partition("/")
    return key if kind in ("refs", "config") else f"{kind} {len(name)} {name[-10:] if kind in _SERIES else ''}"


_SERIES = ("leases", "trash", "thinned")
