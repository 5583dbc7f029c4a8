"""Many actors on one vault, interleaved operation by operation, over stores where things go wrong by chance.

A `Scene` is a vault and its replica, a clock, and actors. It is told what happens next (`begin`, `step`, `finish`,
`die`, `wait`, `mingle`), and knows what must be on the stores: after each turn that may matter, everything that roots
reach; when nobody is busy (`settle`), that every snapshot whose save returned, and which nobody dropped, restores.

What the protocol of collecting assumes of the world, the scene grants: a request takes at most `Scene.request_seconds`.
Everything else is allowed: processes that stop between two requests for as long as their other requests take, die, and
have clocks of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from holdfast.clock import Clock, ManualClock
from holdfast.errors import HoldfastError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.stores.retrying import RetryingStore, RetryPolicy
from holdfast.testing.closure import Closures
from holdfast.testing.faults import WRITING_VERBS, Faults
from holdfast.testing.invariants import BrokenInvariant, names_are_tidy, pointers_resolve
from holdfast.testing.invariants import every_snapshot_restores as restores
from holdfast.testing.older import HidingStore
from holdfast.testing.stage import Blueprint
from holdfast.testing.turns import Actor, Outcome
from holdfast.testing.workspace import TrialVault
from holdfast.vault.vault import Vault

__all__ = ["Member", "Scene", "Work"]

_POLICY = RetryPolicy(attempts_max=4, first_delay_seconds=0.2, delay_seconds_max=2.0, total_seconds_max=1e9)


class ActorClock:
    """A clock that is wrong by so many seconds; it runs with the world's."""

    def __init__(self, world: Clock, ahead: float) -> None:
        self._world = world
        self._ahead_ns = round(ahead * 1e9)

    def now_ns(self) -> int:
        return self._world.now_ns() + self._ahead_ns

    def monotonic(self) -> float:
        return self._world.monotonic()

    def sleep(self, seconds: float) -> None:
        self._world.sleep(seconds)


class Member(NamedTuple):
    """Who takes part: `work` is done each time that the actor begins something. `view` is how it sees a store."""

    name: str
    work: Work
    view: Callable[[Store, Clock], Store] = lambda store, clock: store
    clock_ahead: float = 0.0


class Scene:
    """One play. `random` decides what actors work on; the turns are decided by who calls the methods."""

    request_seconds = 300.0  # a quarter of a lease is 900: what may lie between a look at the clock and its request

    def __init__(
        self, blueprint: Blueprint, members: list[Member], folder: Path, *, seed: int = 0, lags: bool = True
    ) -> None:
        self.blueprint = blueprint
        self.folder = folder
        self.random = Random(seed)
        self.clock = ManualClock(blueprint.clock_start_ns + 86_400 * 10**9)
        self.vault_store, self.replica_store = blueprint.stores(self.clock)
        self.shared = Faults(seed, self.clock)
        if lags:
            self.shared.read_stale(seconds=60, chance=0.2).list_deleted(seconds=120, chance=0.2)
            self.shared.skew_times(self.random.choice((0.0, 7200.0, -7200.0)), drift=0.001)
        self.faults = Faults(seed + 1, self.clock)
        self._sites: dict[str, Store] = {
            "": self.shared.over(self.vault_store),
            "replica": self.shared.over(self.replica_store),
        }
        self.members = {member.name: member for member in members}
        self.actors = {member.name: Actor(member.name, self.clock) for member in members}
        self.vaults: dict[str, Vault] = {}  # of processes that live longer than one piece of work
        self.committed = {blueprint.first: blueprint.tree(0, 0)}
        self.dropping: set[str] = set()  # may be gone already
        self.ended: Counter[str] = Counter()
        self.turns = 0
        self.story: list[str] = []
        self.broken: BrokenInvariant | None = None  # the first that was found
        self.saves = 0
        self._vault_closure = Closures(self.own(self.vault_store).handle)
        self._replica_closure = Closures(self.own(self.replica_store).handle)

    # ---- what happens next ----

    def begin(self, name: str) -> None:
        """The actor takes up its next piece of work; nothing if it is busy."""
        actor, member = self.actors[name], self.members[name]
        if actor.is_busy:
            return
        self._tell(name, "begins")
        self._note(name, actor.begin(lambda: member.work(self, member)))

    def step(self, name: str, count: int = 1) -> None:
        """So many turns for the actor; none if it is idle."""
        actor = self.actors[name]
        for _ in range(count):
            if not actor.is_busy:
                return
            self._turn(name, actor.step)

    def finish(self, name: str) -> None:
        """Turns for the actor until its work is done."""
        while self.actors[name].is_busy:
            self.step(name)

    def approach(self, name: str, prefix: str) -> None:
        """Turns for the actor until it is about to write or delete a key that begins so, or its work is done."""
        actor = self.actors[name]
        self.step(name)
        while actor.pending is not None:
            if actor.pending.verb in WRITING_VERBS and actor.pending.key.startswith(prefix):
                return
            self.step(name)

    def die(self, name: str, *, after: bool = True) -> None:
        """The actor's process ends at its pending operation; nothing if it is idle."""
        actor = self.actors[name]
        if actor.is_busy:
            self._turn(name, lambda: actor.die(after=after))

    def mingle(self, turns: int, random: Random) -> None:
        """So many turns for whoever is drawn; idle actors begin something now and then."""
        for _ in range(turns):
            busy = [name for name, actor in self.actors.items() if actor.is_busy]
            idle = [name for name, actor in self.actors.items() if not actor.is_busy]
            if idle and (not busy or random.random() < 0.05):
                self.begin(random.choice(idle))
            elif busy:
                self.step(random.choice(busy))

    def wait(self, seconds: float) -> None:
        """Time passes. Who is busy goes on meanwhile: no request takes longer than `request_seconds`."""
        self._tell("the clock", f"{seconds:.0f} s")
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            busy = [(actor.waits_since, name) for name, actor in self.actors.items() if actor.is_busy]
            if not busy:
                self.clock.sleep(left)
                return
            since, name = min(busy)
            until = since + self.request_seconds - self.clock.monotonic()
            if until > left:
                self.clock.sleep(left)
                return
            self.clock.sleep(max(0.0, until))
            self.step(name)

    def settle(self) -> None:
        """Everybody finishes without faults; then every snapshot is read. Raises BrokenInvariant."""
        self.faults.heal()
        self.shared.heal()
        for name in self.actors:
            self.finish(name)
        self.clock.sleep(600)  # what lags has arrived
        self.look()
        self._read_all()

    def abandon(self) -> None:
        """Whoever is busy still dies, so that no thread stays behind."""
        for actor in self.actors.values():
            if actor.is_busy:
                actor.die(after=False)

    # ---- what must hold ----

    @property
    def looks(self) -> int:
        """How often everything that roots reach was looked for."""
        return self._vault_closure.looks + self._replica_closure.looks

    def look(self) -> None:
        """Everything that roots reach is there, at both sites, and what was committed is listed."""
        try:
            self._vault_closure.hold()
            self._replica_closure.hold()
            listed = {root.id for root in self._vault_closure.roots().values()}
            lost = self.committed.keys() - listed - self.dropping
            if lost:
                raise BrokenInvariant(f"snapshots {sorted(lost)} are gone, and nobody dropped them")
        except (BrokenInvariant, HoldfastError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> BrokenInvariant:
        found = BrokenInvariant("\n".join([f"{type(error).__name__}: {error}", "What happened:", *self.story]))
        self.broken = self.broken or found
        return found

    def own(self, store: MemoryStore) -> Vault:
        """The vault as nobody's actor sees it: no faults, no turns."""
        return _trial(self.blueprint.trial, store, self.clock).open()

    def open(self, member: Member, site: str = "", *, keep: bool = True) -> Vault:
        """The vault as this actor sees it, as long as its process lives."""
        known = self.vaults.get(f"{member.name} {site}")
        if known is not None:
            return known
        clock = ActorClock(self.clock, member.clock_ahead)
        vault = _trial(self.blueprint.trial, self.store(member, site), clock).open()
        if keep:
            self.vaults[f"{member.name} {site}"] = vault
        return vault

    def store(self, member: Member, site: str = "") -> Store:
        """A site as this actor sees it: with faults, in its turn, with retries."""
        gated = self.actors[member.name].store(FaultyStore(self._sites[site], self.faults))
        retrying = RetryingStore(gated, _POLICY, ActorClock(self.clock, 0), self.random)
        return _Apart(member.view(retrying, self.clock), member.name)

    def _turn(self, name: str, act: Callable[[], Outcome | None]) -> None:
        self.turns += 1
        actor = self.actors[name]
        outcome = act()
        if actor.last is not None and actor.last.verb in WRITING_VERBS:
            self._tell(name, f"{actor.last.verb} {actor.last.key}")
            self._note(name, outcome)
            self.look()
        else:
            self._note(name, outcome)

    def _note(self, name: str, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        how = "crashed" if outcome.crashed else type(outcome.error).__name__ if outcome.error else "done"
        self.ended[f"{name}: {how}"] += 1
        self._tell(name, f"{how} {outcome.error or outcome.value or ''}")
        if outcome.crashed or self.random.random() < 0.3:  # a new process each time, or one that lives long
            for known in [key for key in self.vaults if key.startswith(f"{name} ")]:
                del self.vaults[known]

    def _tell(self, name: str, what: str) -> None:
        self.story.append(f"{self.clock.monotonic():>9.0f} s  {name}: {what}")

    def _read_all(self) -> None:
        vault = self.own(self.vault_store)
        listed = {root.id for root in self._vault_closure.roots().values()}
        kept = {one: tree for one, tree in self.committed.items() if one in listed}
        try:
            restores(vault, kept, self.folder / "out")
            names_are_tidy(self.vault_store)
            names_are_tidy(self.replica_store)
            for asset in {root.asset for root in self._vault_closure.roots().values()}:
                pointers_resolve(vault, asset)
            arrived = {root.id for root in self._replica_closure.roots().values()}
            there = {one: tree for one, tree in self.committed.items() if one in arrived}
            restores(self.own(self.replica_store), there, self.folder / "out")
        except (BrokenInvariant, HoldfastError) as error:
            raise self._broken(error) from error


Work = Callable[[Scene, Member], object]


class _Apart(HidingStore):
    """A store that each actor remembers apart: they are processes on different machines."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__(store, ())
        self._name = name

    @property
    def identity(self) -> str:
        return f"{self.url}#{self._name}"


def _trial(trial: TrialVault, store: Store, clock: Clock) -> TrialVault:
    return TrialVault(store, trial.keeper, clock, trial.pack_bytes)
