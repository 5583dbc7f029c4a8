"""The year, day by day: saves, retention, reads, drills, and the moves of a strategy. The planner is the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from holdfast.economics.book import PriceBook
from holdfast.objectives.retention_rules import select
from holdfast.replication.tiering.facts import (
    DAY_NS,
    Facts,
    Lying,
    Raised,
    Rules,
    Snapshot,
    Tier,
)
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.replication.tiering.plans import Verb
from holdfast.testing.tier_checking import breaches_of

from .billing import OBJECT_BYTES, Bills, Shelf
from .lines import Lines
from .workload import Member, members, sites, stores

__all__ = ["Kept", "Year", "Result", "STRATEGIES"]

_START_NS = 20_454 * DAY_NS  # 2026-01-01
_READS_KEPT = 8
_DRILL_EVERY = 90  # days between two drills of a whole site's loss


@dataclass
class Kept:
    """A snapshot in the simulation. `at`: store → the day on which it came."""

    id: str
    member: Member
    time: int
    packs: frozenset[str]
    fetch: int
    at: dict[str, int]
    reads: list[int] = field(default_factory=list)
    is_good: bool = True


@dataclass
class Result:
    """What a strategy's year came to. `breaches`: snapshot-days without what the class owes, by kind."""

    bills: Bills
    breaches: dict[str, int]
    checked: int
    breached: set[str]
    snapshots: int
    moves: dict[str, int]
    first_breach: str = ""


class Year:
    """`days` are billed and judged, after `before` days that only fill the stores."""

    def __init__(
        self,
        book: PriceBook,
        *,
        days: int,
        before: int,
        seed: int,
        reads: float = 1.0,
        lines: float = 1.0,
        every: int = 1,
    ) -> None:
        """`reads`: how many times the usual reads and drills there are; `lines`: how much of the usual rates; `every`:
        only each n-th asset, for a quick look.
        """
        self.book, self.days, self.before = book, days, before
        self.sites, self.stores = sites(), stores(book)
        self.site = {site.name: site for site in self.sites}
        self.lines = Lines(self.stores, self.sites, before + days, seed, lines)
        self.members = members(Rules())[::every]
        self._seed, self._reads = seed, reads

    def run(self, strategy: Callable[[Run], None]) -> Result:
        run = Run(self, Random(self._seed), self._reads)
        for day in range(self.before + self.days):
            run.one_day(day, strategy)
        return run.result()


class Run:
    """The state of one strategy's year. `home_tier`, `other_tier`: where saves go at first."""

    home_tier = Tier.HOT
    other_tier = Tier.WARM

    def __init__(self, year: Year, random: Random, reads: float) -> None:
        self.year = year
        self._random, self._reads = random, reads
        self.bills = Bills()
        self.sizes: dict[str, int] = {}
        self.shelves = {
            one.name: Shelf(one, year.site[one.site], year.book, self.sizes, self.bills) for one in year.stores
        }
        self.kept: dict[str, list[Kept]] = {member.asset.name: [] for member in year.members}
        self.raised: list[Raised] = []
        self.day = 0
        self._saves: dict[str, float] = dict.fromkeys(self.kept, 0.0)
        self._number: dict[str, int] = dict.fromkeys(self.kept, 0)
        self._anchor: dict[str, str] = {}
        self._breaches: dict[str, int] = {}
        self._breached: set[str] = set()
        self._first = ""
        self._checked = self._snapshots = 0
        self.moves: dict[str, int] = {}

    @property
    def now_ns(self) -> int:
        """The end of the day."""
        return _START_NS + (self.day + 1) * DAY_NS

    def one_day(self, day: int, strategy: Callable[[Run], None]) -> None:
        self.day = self.bills.day = day
        self.bills.counting = day >= self.year.before
        for member in self.year.members:
            self._save(member)
            self._retain(member)
            self._read(member)
        strategy(self)
        self._drill()
        if self.bills.counting:
            self._judge()
        for shelf in self.shelves.values():
            shelf.end_of_day()

    def copy(self, kept: Kept, store: str, source: str | None) -> None:
        if store not in kept.at:
            kept.at[store] = self.day
            self.shelves[store].put(kept.packs, self.shelves[source] if source else None)

    def drop(self, kept: Kept, store: str) -> None:
        del kept.at[store]
        self.shelves[store].take(kept.packs)

    def _save(self, member: Member) -> None:
        """At the home, and at the other site within the hour, as replication does."""
        name, kind, asset = member.asset.name, member.kind, member.asset
        self._saves[name] += kind.saves_per_day
        while self._saves[name] >= 1:
            self._saves[name] -= 1
            number = self._number[name]
            self._number[name] += 1
            pack = f"{name}/{number}"
            packs = {pack}
            if number % kind.anchor_every == 0:
                self.sizes[pack], self._anchor[name] = kind.anchor, pack
            else:
                self.sizes[pack] = kind.delta
                packs.add(self._anchor[name])
            kept = Kept(
                f"{number:05d}-{name}", member, self.now_ns - DAY_NS // 2 + number, frozenset(packs),
                sum(self.sizes[one] for one in packs), {},
            )  # fmt: skip
            self.kept[name].append(kept)
            home = f"{asset.sites[0]}/{self.home_tier}"
            self.copy(kept, home, None)
            for site in asset.sites[1:]:
                self.copy(kept, f"{site}/{self.other_tier}", home)

    def _retain(self, member: Member) -> None:
        kept = self.kept[member.asset.name]
        stays = select(member.kind.keep, kept)
        for one in [one for one in kept if one.id not in stays]:
            for store in list(one.at):
                self.drop(one, store)
            kept.remove(one)

    def _read(self, member: Member) -> None:
        """Evaluations read older snapshots at home; a weekly component drill restores one at the other site."""
        kept, asset = self.kept[member.asset.name], member.asset
        if kept and self._random.random() < member.kind.reads_per_month * self._reads / 30:
            one = kept[int(len(kept) * self._random.random() ** 0.5)]  # newer ones more often
            one.reads = [*one.reads, self.now_ns - DAY_NS // 2][-_READS_KEPT:]
            self._restore(one, asset.recover_at[0])
        if kept and self._random.random() < self._reads / 7:
            self._restore(kept[-1], asset.recover_at[-1])

    def _restore(self, kept: Kept, site: str) -> None:
        """From the fastest copy there is for that site."""
        rates = self.year.lines.worst(self.day)
        best = min(
            kept.at, key=lambda name: (self.shelves[name].store.wait_seconds + kept.fetch / rates[name, site], name)
        )
        self.shelves[best].send(kept.fetch, -(-kept.fetch // OBJECT_BYTES), self.year.site[site])

    def _drill(self) -> None:
        """Every quarter the newest snapshot of every asset is restored at its last site, raised to hot before."""
        if self.day % _DRILL_EVERY == _DRILL_EVERY - 2:
            self.raised = [
                Raised(
                    snapshot=self.kept[one.asset.name][-1].id,
                    store=f"{one.asset.sites[-1]}/hot",
                    until_ns=self.now_ns + 3 * DAY_NS,
                    reason="the quarterly drill",
                )
                for one in self.year.members
                if self.kept[one.asset.name]
            ]
        if self.day % _DRILL_EVERY == 0 and self.day:
            for member in self.year.members:
                self._restore(self.kept[member.asset.name][-1], member.asset.recover_at[-1])

    def facts(self) -> Facts:
        """What the planner is told at the end of the day."""
        snapshots, packs = [], {}
        for kept in self.kept.values():
            for one in kept:
                packs.update((pack, self.sizes[pack]) for pack in one.packs)
                snapshots.append(self._fact(one, is_latest=one is kept[-1]))
        return Facts(
            now_ns=self.now_ns,
            book=self.year.book,
            sites=self.year.sites,
            stores=self.year.stores,
            rates=self.year.lines.measured(self.day, self.now_ns),
            assets=tuple(member.asset for member in self.year.members),
            snapshots=tuple(snapshots),
            packs=packs,
            raised=tuple(self.raised),
            object_bytes=OBJECT_BYTES,
        )

    def _fact(self, one: Kept, *, is_latest: bool) -> Snapshot:
        pointed = ("latest", "validated") if is_latest else ()
        return Snapshot(
            id=one.id,
            asset=one.member.asset.name,
            time_ns=one.time,
            bytes=one.member.kind.full,
            fetch_bytes=one.fetch,
            packs=one.packs,
            at={
                name: Lying(since_ns=_START_NS + day * DAY_NS, verified_ns=self.now_ns, pointed_by=pointed)
                for name, day in one.at.items()
            },
            reads_ns=tuple(one.reads),
            latest=is_latest,
            validated=is_latest,
        )

    def _judge(self) -> None:
        """Every snapshot against the slowest hour of every path. Of those of an asset that lie alike the largest is
        judged, which takes longest; only where that one fails, each.
        """
        facts, rates = self.facts(), self.year.lines.worst(self.day)
        self._snapshots = len(facts.snapshots)
        groups: dict[tuple[str, frozenset[str]], list[Snapshot]] = {}
        for snapshot in facts.snapshots:
            groups.setdefault((snapshot.asset, frozenset(snapshot.at)), []).append(snapshot)
        for (_, at), group in groups.items():
            self._checked += len(group)
            largest = max(group, key=lambda one: one.fetch_bytes)
            if not breaches_of(facts, largest, at, rates):
                continue
            for snapshot in group:
                for found in breaches_of(facts, snapshot, at, rates):
                    self._breaches[found.kind] = self._breaches.get(found.kind, 0) + 1
                    self._breached.add(snapshot.id)
                    self._first = self._first or f"day {self.day}: {found} at {sorted(at)}"

    def result(self) -> Result:
        return Result(
            self.bills, self._breaches, self._checked, self._breached, self._snapshots, self.moves, self._first,
        )  # fmt: skip


def _planned(run: Run) -> None:
    """The planner, once a day; all that it says is carried out."""
    kept = {one.id: one for group in run.kept.values() for one in group}
    for move in plan_tiers(run.facts()).moves:
        if run.bills.counting:
            run.moves[move.verb] = run.moves.get(move.verb, 0) + 1
        if move.verb is Verb.COPY:
            run.copy(kept[move.snapshot], move.store, move.source)
        elif move.verb is Verb.DROP:
            run.drop(kept[move.snapshot], move.store)


def _all_on(tier: Tier) -> Callable[[Run], None]:
    """Everything at that tier at every site, from the beginning to the end."""

    def strategy(run: Run) -> None:
        run.home_tier = run.other_tier = tier
        for group in run.kept.values() if run.day == 0 else ():
            for one in group:
                for name in list(one.at):
                    wanted = f"{name.partition('/')[0]}/{tier}"
                    if name != wanted:
                        run.copy(one, wanted, name)
                        run.drop(one, name)

    return strategy


def _by_age(run: Run) -> None:
    """What a bucket's lifecycle rules do: warm after 7 days, cold after 30, at every site, whatever the class owes."""
    for group in run.kept.values():
        for one in group[:-1]:
            age = (run.now_ns - one.time) / DAY_NS
            tier = Tier.COLD if age > 30 else Tier.WARM if age > 7 else None
            for name in list(one.at) if tier else ():
                wanted = f"{name.partition('/')[0]}/{tier}"
                if name != wanted and not name.endswith("/cold"):
                    run.copy(one, wanted, name)
                    run.drop(one, name)


STRATEGIES: dict[str, Callable[[Run], None]] = {
    "all-hot": _all_on(Tier.HOT),
    "all-warm": _all_on(Tier.WARM),
    "by age": _by_age,
    "planned": _planned,
}
