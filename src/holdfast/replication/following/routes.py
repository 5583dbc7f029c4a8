"""Who owes a copy to whom, and which copies are missing. Pure: nothing here asks a store or a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from holdfast.replication.following.views import View
from holdfast.replication.lanes import NORMAL
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time

__all__ = ["Route", "Copy", "RoundPlan", "Rank", "plan_round", "wanted_snapshots", "watermark"]


class Route(NamedTuple):
    """Where the snapshots of an asset are to be: at its home, and at the targets. Names of stores.

    `givers`: stores that may still give what they have, and get nothing any more. `urgency`: what has a higher one is
    copied first (the asset's priority). `lane`: as in `replication.lanes`.
    """

    asset: str
    home: str
    targets: tuple[str, ...]
    urgency: int = 0
    lane: int = NORMAL
    givers: tuple[str, ...] = ()

    @property
    def stores(self) -> tuple[str, ...]:
        return (self.home, *self.targets, *self.givers)


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
    """`copies`: in the order in which they should begin. `stuck`: sentences: what cannot go on, and why."""

    copies: tuple[Copy, ...]
    stuck: tuple[str, ...]


Rank = Callable[[str, str], float]
"""How good a source is for a target: the least is taken first (seconds for a gigabyte, money, or both)."""


def _alike(source: str, target: str) -> float:
    return 0.0


def plan_round(routes: Sequence[Route], views: Mapping[str, View], rank: Rank = _alike) -> RoundPlan:
    """What is to be copied now. Stores that did not answer neither give nor get anything in this round.

    What an asset's home has is wanted everywhere; while the home does not answer, what any store has. Whoever has a
    snapshot can be its source, so that a target behind a target does not wait for it. Nothing is ever copied to a
    home: what was dropped there would come back.
    """
    copies: list[Copy] = []
    stuck: list[str] = []
    for route in routes:
        wanted = wanted_snapshots(route, views)
        for name in route.targets:
            view = views.get(name)
            if view is None or not view.answered:
                stuck.append(f"{route.asset}: {name} does not answer{_why(view)}")
                continue
            missing = [wanted[one] for one in wanted.keys() - view.of(route.asset).keys()]
            copies.extend(_copies(route, name, missing, views, rank))
    copies.sort(key=lambda copy: (-copy.lane, -copy.urgency, copy.waiting_since_ns, copy.asset, copy.target))
    return RoundPlan(tuple(copies), tuple(stuck))


def wanted_snapshots(route: Route, views: Mapping[str, View]) -> dict[str, Root]:
    """By id: those that each of the route's stores should have."""
    home = views.get(route.home)
    if home is not None and home.answered:
        return dict(home.of(route.asset))
    return {
        snapshot: root
        for name in (*route.targets, *route.givers)
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


def _copies(route: Route, target: str, missing: Sequence[Root], views: Mapping[str, View], rank: Rank) -> list[Copy]:
    """Snapshots that have the same sources are copied together."""
    by_sources: dict[tuple[str, ...], list[Root]] = {}
    for root in missing:
        having = [name for name in route.stores if name != target and root.id in _of(views, name, route.asset)]
        having.sort(key=lambda name: (rank(name, target), route.stores.index(name)))
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


def _of(views: Mapping[str, View], name: str, asset: str) -> Mapping[str, Root]:
    view = views.get(name)
    return {} if view is None else view.of(asset)


def _why(view: View | None) -> str:
    return f" ({view.problem.message})" if view is not None and view.problem is not None else ""
