"""Who owes a copy to whom, and which copies are missing. Pure: nothing here asks a store or a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from holdfast.replication.copying.lanes import NORMAL
from holdfast.replication.following.views import View
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time

__all__ = ["Route", "Copy", "RoundPlan", "Rank", "plan_round", "wanted_snapshots", "watermark", "site_view"]

_COLDNESS = {"hot": 0, "warm": 1, "cold": 2}


class Route(NamedTuple):
    """Where the snapshots of an asset are to be: at its home, and at the targets. Names of stores.

    `givers`: stores that may still give what they have, and get nothing any more. `urgency`: what has a higher one is
    copied first (the asset's priority). `lane`: as in `replication.copying.lanes`. `others`: stores of other tiers at
    these sites: a site has what any of its stores has, so that no round brings back what was moved to another tier.
    They give, and get nothing here.
    """

    asset: str
    home: str
    targets: tuple[str, ...]
    urgency: int = 0
    lane: int = NORMAL
    givers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def stores(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.home, *self.targets, *self.givers, *self.others)))

    @property
    def landing(self) -> tuple[str, ...]:
        """One store for each site: where its snapshots come first."""
        return (self.home, *self.targets, *self.givers)

    def beside(self, name: str, views: Mapping[str, View]) -> list[View]:
        """What the other stores of that store's site said."""
        site = views[name].site if name in views else ""
        return [views[other] for other in self.others if other != name and other in views and views[other].site == site]


class Copy(NamedTuple):
    """Snapshots that a store lacks, newest first, and who has all of them, the best source first.

    `bytes`: what their saves stored, at most: they may share packs with what is there.
    """

    asset: str
    target: str
    sources: tuple[str, ...]
    snapshots: tuple[str, ...]
    bytes: int
    urgency: int
    lane: int
    waiting_since_ns: int


class RoundPlan(NamedTuple):
    """`copies`: in the order in which they should begin. `stuck`: sentences: what cannot go on, and why. `outdated`:
    stores whose configuration is not the newest.
    """

    copies: tuple[Copy, ...]
    stuck: tuple[str, ...]
    outdated: tuple[str, ...] = ()


Rank = Callable[[str, str], float]
"""How good a source is for a target: the least is taken first (seconds for a gigabyte, money, or both)."""


def _alike(source: str, target: str) -> float:
    return 0.0


def plan_round(routes: Sequence[Route], views: Mapping[str, View], rank: Rank = _alike) -> RoundPlan:
    """What is to be copied now. Stores that did not answer neither give nor get anything in this round.

    What an asset's home has is wanted everywhere; while the home does not answer, what any store has. Whoever has a
    snapshot can be its source, so that a target behind a target does not wait for it. Nothing is ever copied to a
    home: what was dropped there would come back.

    What lies at any store of a site lies at the site. While one of them does not answer, nobody knows whether it has
    what the others lack: the site then gets only what is newer than all that they have.
    """
    copies: list[Copy] = []
    stuck: list[str] = []
    for route in routes:
        wanted = wanted_snapshots(route, views)
        stuck += [f"{route.asset}: {text}" for text in _silent(route, route.home, views)]
        for name in route.targets:
            view = views.get(name)
            if view is None or not view.answered:
                stuck.append(f"{route.asset}: {name} does not answer{_why(view)}")
                continue
            there = site_view(route, name, views).of(route.asset)
            missing = [wanted[one] for one in wanted.keys() - there.keys()]
            if silent := _silent(route, name, views):
                stuck += [f"{route.asset}: {text}" for text in silent]
                missing = _surely_missing(missing, there)
            copies.extend(_copies(route, name, missing, views, rank))
    copies.sort(key=lambda copy: (-copy.lane, -copy.urgency, copy.waiting_since_ns, copy.asset, copy.target))
    return RoundPlan(tuple(copies), tuple(stuck))


def wanted_snapshots(route: Route, views: Mapping[str, View]) -> dict[str, Root]:
    """By id: those that each of the route's stores should have."""
    home = views.get(route.home)
    if home is not None and home.answered:
        return dict(site_view(route, route.home, views).of(route.asset))
    return {
        snapshot: root
        for name in route.stores
        if (view := views.get(name)) is not None
        for snapshot, root in view.of(route.asset).items()
    }


def watermark(route: Route, view: View, wanted: Mapping[str, Root]) -> int | None:
    """Up to which time of content (ns since the epoch) all that is wanted is there; None: not even the oldest is."""
    there = view.of(route.asset)
    complete: int | None = None
    for root in sorted(wanted.values(), key=lambda root: (content_time(root), root.id)):
        if root.id not in there:
            return None if complete is None else min(complete, content_time(root) - 1)
        complete = content_time(root)
    return complete


def site_view(route: Route, name: str, views: Mapping[str, View]) -> View:
    """What the store and the others of its site have together of the asset, as if one store had said it."""
    view = views[name]
    beside = route.beside(name, views)
    if not view.answered or not beside:
        return view
    roots = {snapshot: root for one in (*beside, view) for snapshot, root in one.of(route.asset).items()}
    verified: dict[str, int] = {}
    for one in (*beside, view):
        for snapshot, at in one.verified.items():
            verified[snapshot] = max(at, verified.get(snapshot, at))
    return view._replace(roots={**view.roots, route.asset: roots}, verified=verified)


def _silent(route: Route, name: str, views: Mapping[str, View]) -> list[str]:
    """Which stores beside this one do not answer, in sentences."""
    return [
        f"{one.name} does not answer{_why(one)}, so what lies there is not known"
        for one in route.beside(name, views)
        if not one.answered
    ]


def _surely_missing(missing: Sequence[Root], there: Mapping[str, Root]) -> list[Root]:
    """Of what the stores that answer lack: what is newer than all that they have; the newest where they have none."""
    if not there:
        return sorted(missing, key=lambda root: (content_time(root), root.id))[-1:]
    newest = max(map(content_time, there.values()))
    return [root for root in missing if content_time(root) > newest]


def _copies(route: Route, target: str, missing: Sequence[Root], views: Mapping[str, View], rank: Rank) -> list[Copy]:
    """Snapshots that have the same sources are copied together."""
    by_sources: dict[tuple[str, ...], list[Root]] = {}
    for root in missing:
        having = [name for name in route.stores if name != target and root.id in _of(views, name, route.asset)]
        having.sort(key=lambda name: (*_slowness(name, rank(name, target)), route.stores.index(name)))
        by_sources.setdefault(tuple(having), []).append(root)
    return [
        Copy(
            route.asset,
            target,
            sources,
            tuple(root.id for root in sorted(roots, key=lambda root: (content_time(root), root.id), reverse=True)),
            sum(root.stats.get("stored", 0) for root in roots),
            route.urgency,
            route.lane,
            min(content_time(root) for root in roots),
        )
        for sources, roots in by_sources.items()
    ]


def _slowness(name: str, rank: float) -> tuple[bool, float, int]:
    """Cold stores last: they answer late, and bill what is read. Then by rank, then the hot before the warm."""
    coldness = _COLDNESS.get(name.rpartition("/")[2], 1)
    return coldness == _COLDNESS["cold"], rank, coldness


def _of(views: Mapping[str, View], name: str, asset: str) -> Mapping[str, Root]:
    view = views.get(name)
    return {} if view is None else view.of(asset)


def _why(view: View | None) -> str:
    return f" ({view.problem.message})" if view is not None and view.problem is not None else ""
