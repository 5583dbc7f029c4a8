"""Rounds: look at all stores, plan what is missing, copy it, and write down what is exposed.

Nothing is kept between rounds that the stores do not say themselves, but who failed, so that it is asked less often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from holdfast.errors import FailedError, HoldfastError
from holdfast.events import SILENT, Progress
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.following.configuring import Configured, bring_configuration, outdated_stores
from holdfast.replication.following.exposing import Exposure, exposures
from holdfast.replication.following.lanes import lane_to
from holdfast.replication.following.routes import Copy, Rank, RoundPlan, Route, plan_round
from holdfast.replication.following.views import PATIENCE_SECONDS, SiteStore, View, look
from holdfast.stores.protocol import Store
from holdfast.vault.handle import Handle

__all__ = ["Follower", "RoundReport", "Copied", "Marks", "Measured"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0


class Measured(NamedTuple):
    """How fast one copy was: stored bytes copied from `source`, and plain bytes of the asset read back, in seconds."""

    source: str
    bytes: int
    seconds: float
    verified_bytes: int
    verifying_s: float


class Copied(NamedTuple):
    """What became of one copy. `arrived`: ids that are whole at the target now; `left_out`: those that are not.

    `source`: the store that it came from, the last one tried where several were. `error`: why it ended early.
    """

    copy: Copy
    source: str
    arrived: tuple[str, ...]
    left_out: tuple[str, ...]
    objects: int
    bytes: int
    seconds: float
    damaged: Mapping[str, str]
    error: HoldfastError | None
    measured: tuple[Measured, ...] = ()


class RoundReport(NamedTuple):
    """A whole round. `views`, `exposures`: as it was when everything that could be copied was. `plan`: what was to be
    copied when it began; `left`: what would be now, for what was sent may have been lost there at once. `configured`:
    stores that lacked generations of the configuration.
    """

    views: Mapping[str, View]
    plan: RoundPlan
    left: RoundPlan
    copied: tuple[Copied, ...]
    exposures: tuple[Exposure, ...]
    configured: tuple[Configured, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether every store that owes something answered, and has it."""
        return not self.left.stuck and not self.left.copies and not self.left.outdated


class Marks(NamedTuple):
    """A copy that failed: how often in a row, and from when on (monotonic seconds) it is tried again."""

    failures: int
    not_before: float


@dataclass
class Follower:
    """Keeps stores alike. `home`: a handle of the vault with a key that reads, for its keys and its clock.

    `rank`: which source is taken first. `verify`: read the newest snapshot back at the target after each copy, every
    byte of it: without that nothing there counts as verified. `recheck_every`: each so many rounds, what is there is
    compared by names and sizes with what is needed, and healed; only what was healed is read back. `carriers`: who
    carries the packs from one store to another, by their names; by default threads of this process.
    """

    home: Handle
    stores: Sequence[SiteStore]
    routes: Sequence[Route]
    rank: Rank | None = None
    verify: bool = True
    recheck_every: int = 20
    patience_s: float = PATIENCE_SECONDS
    progress: Progress = SILENT
    on_copied: Callable[[Copied], None] | None = None
    on_configured: Callable[[Configured], None] | None = None
    carriers: Callable[[str, str], Carrier] | None = None
    _marks: dict[tuple[str, str], Marks] = field(default_factory=dict)
    _rounds: int = 0
    _random: Random = field(default_factory=Random)

    def look(self) -> dict[str, View]:
        """All stores, as they are now."""
        return look(
            self.home,
            self.stores,
            list(dict.fromkeys(route.asset for route in self.routes)),
            patience_s=self.patience_s,
            progress=self.progress,
        )

    def plan(self, views: Mapping[str, View]) -> RoundPlan:
        """What a round would copy now."""
        plan = self._planned(views)
        now = self.home.clock.monotonic()
        resting = {way for way, mark in self._marks.items() if mark.not_before > now}
        copies = tuple(copy for copy in plan.copies if _way(copy) not in resting)
        held = sorted({_way(copy) for copy in plan.copies} & resting)
        paused = tuple(f"{asset}: copying to {target} failed a moment ago, and waits a while" for asset, target in held)
        return plan._replace(copies=copies, stuck=plan.stuck + paused)

    def _planned(self, views: Mapping[str, View]) -> RoundPlan:
        plan = plan_round(self.routes, views) if self.rank is None else plan_round(self.routes, views, self.rank)
        return plan._replace(outdated=outdated_stores(self.routes, views))

    def run_round(self) -> RoundReport:
        """One round. What is wrong with single stores is in the report."""
        self._rounds += 1
        views = self.look()
        plan = self.plan(views)
        configured = self._configure(views)  # first: nothing is to be sealed to keys that somebody was taken out of
        copied = self._copy_all(plan)
        if self.recheck_every and self._rounds % self.recheck_every == 0:
            copied += self._heal(views)
        if copied or configured:
            views = self.look()
        if copied and (brought := self._configure(views)):  # a store that just got its vault from one that lies behind
            configured += brought
            views = self.look()
        found = exposures(self.routes, views, self.home.clock.now_ns())
        return RoundReport(views, plan, self._planned(views), tuple(copied), tuple(found), tuple(configured))

    def _configure(self, views: Mapping[str, View]) -> list[Configured]:
        done = bring_configuration(self.home, self.stores, self.routes, views)
        for one in done:
            if one.error is not None:
                self.progress.note(f"{one.store}: the vault's configuration there stays behind: {one.error.message}")
            if self.on_configured is not None:
                self.on_configured(one)
        return done

    def run(
        self, every_s: float, stop: threading.Event, told: Callable[[RoundReport], None], rounds: int | None = None
    ) -> None:
        """Round after round, until `stop`; a round begins `every_s` seconds after the one before began, or at once."""
        done = 0
        while not stop.is_set():
            began = self.home.clock.monotonic()
            told(self.run_round())
            done += 1
            if rounds is not None and done >= rounds:
                return
            stop.wait(max(0.0, every_s - (self.home.clock.monotonic() - began)))

    def _copy_all(self, plan: RoundPlan) -> list[Copied]:
        """To each target one copy after the other, in the order of the plan; to all targets at once."""
        by_target: dict[str, list[Copy]] = {}
        for copy in plan.copies:
            by_target.setdefault(copy.target, []).append(copy)
        done: list[Copied] = []
        lock = threading.Lock()

        def work(copies: list[Copy]) -> None:
            for copy in copies:
                result = self._copy(copy)
                with lock:
                    done.append(result)
                if self.on_copied is not None:
                    self.on_copied(result)
                self._mark(result)

        threads = [threading.Thread(target=work, args=(copies,), daemon=True) for copies in by_target.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return done

    def _copy(self, copy: Copy, *, healing: bool = False) -> Copied:
        """From the best source that has it; what that one cannot give, from the next.

        `healing`: of what is there already it is looked whether it is whole, and nothing is read back.
        """
        clock = self.home.clock
        began = clock.monotonic()
        wanted = list(copy.snapshots)
        arrived: list[str] = []
        damaged: dict[str, str] = {}
        objects = size = 0
        error: HoldfastError | None = None
        used = ""
        measured: list[Measured] = []
        for name in copy.sources:
            used = name
            try:
                done = replicate(
                    Handle(self._store(name), self.home.keys, clock, self.progress, self.home.workers),
                    self._store(copy.target),
                    asset=copy.asset,
                    recheck=healing,
                    verify=self.verify and not healing,
                    only=set(wanted),
                    lane=lane_to(self._store(copy.target), clock),
                    priority=copy.lane,
                    carrier=None if self.carriers is None else self.carriers(name, copy.target),
                    progress=self.progress,
                )
            except HoldfastError as problem:
                error = problem
                continue
            except Exception as problem:  # noqa: BLE001 - in a thread it would be lost
                error = FailedError(f"{type(problem).__name__}: {problem}")
                continue
            error = None
            objects, size = objects + done.objects, size + done.bytes
            damaged |= done.damaged
            arrived += done.arrived
            read = done.verified.bytes if done.verified is not None else 0
            measured.append(Measured(name, done.bytes, done.copying_s, read, done.verifying_s))
            wanted = [one for one in wanted if one not in done.arrived]
            if not wanted:
                break
        seconds = clock.monotonic() - began
        return Copied(
            copy, used, tuple(arrived), tuple(wanted), objects, size, seconds, damaged, error, tuple(measured)
        )

    def _heal(self, views: Mapping[str, View]) -> list[Copied]:
        """What is at a site by its root, looked through by names and sizes, and mended from the asset's home."""
        healed = []
        for route in self.routes:
            homes = _answering(route, route.home, views)
            for target in route.targets:
                for view in _answering(route, target, views) if homes else []:
                    left = set(view.of(route.asset))
                    for home in homes:
                        there = tuple(sorted(left & home.of(route.asset).keys()))
                        left.difference_update(there)
                        if there:
                            copy = Copy(route.asset, view.name, (home.name,), there, 0, route.urgency, route.lane, 0)
                            healed.append(self._copy(copy, healing=True))
                            if healed[
                                -1
                            ].objects:  # a read-back costs what a restore does: only where something changed
                                healed.append(self._copy(copy))
        return [one for one in healed if one.objects or one.left_out or one.error is not None]

    def _mark(self, result: Copied) -> None:
        """Remember that a copy failed, so that it is tried less often; forget it when it went well."""
        way = _way(result.copy)
        if result.error is None:
            self._marks.pop(way, None)
            return
        failures = self._marks[way].failures + 1 if way in self._marks else 1
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (failures - 1)) * self._random.uniform(0.5, 1.0)
        self._marks[way] = Marks(failures, self.home.clock.monotonic() + pause)

    def _store(self, name: str) -> Store:
        return next(one.store for one in self.stores if one.name == name)


def _answering(route: Route, name: str, views: Mapping[str, View]) -> list[View]:
    """The store and those beside it, that answer; nothing where it does not answer itself."""
    view = views.get(name)
    if view is None or not view.answered:
        return []
    return [view, *(one for one in route.beside(name, views) if one.answered)]


def _way(copy: Copy) -> tuple[str, str]:
    return copy.asset, copy.target
