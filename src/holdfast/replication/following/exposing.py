"""What would be lost if a site died now: pure judgement over what the stores said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import View
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time

__all__ = ["Exposure", "Protection", "exposures"]


class Protection(Enum):
    """How much the figure is worth. Only `VERIFIED` says that the data was read back where it would be needed."""

    VERIFIED = "verified"
    ARRIVED = "arrived"  # it is there, as its root says; nobody has read it back there: NOT_MEASURED
    NONE = "none"  # no other site that answers has a snapshot


class Exposure(NamedTuple):
    """Of an asset, if `site` died at `at_ns`. `seconds`: age of the newest content that a surviving store has and that
    was read back there; None: nothing. `arrived_seconds`: the same without the reading back. `snapshot`: the newest
    that survives (verified, else arrived), and `store` where. `behind_seconds`: by how much the newest content that any
    store has, the dying one's among them, is newer than the verified one: 0 when all that was ever saved survives.
    """

    asset: str
    site: str
    at_ns: int
    protection: Protection
    seconds: float | None
    arrived_seconds: float | None
    snapshot: str
    store: str
    behind_seconds: float | None = None


def exposures(routes: Sequence[Route], views: Mapping[str, View], now_ns: int) -> list[Exposure]:
    """For each asset and each site that has a store of its route, whether it answers or not.

    A store that does not answer is taken for lost: what it has is unknown, so that a line that is cut raises the
    exposure of all that lies behind it. Snapshots that were set aside when they were saved protect nobody.
    """
    found = []
    for route in routes:
        named = [views[name] for name in route.stores if name in views]
        for site in dict.fromkeys(view.site for view in named):
            survivors = [view for view in named if view.site != site and view.answered]
            one = _exposure(route.asset, site, survivors, now_ns)
            found.append(one._replace(behind_seconds=_behind(one, named, now_ns)))
    return found


def _exposure(asset: str, site: str, survivors: Iterable[View], now_ns: int) -> Exposure:
    arrived: tuple[int, str, str] | None = None
    verified: tuple[int, str, str] | None = None
    for view in survivors:
        for root in view.of(asset).values():
            if _is_set_aside(root):
                continue
            found = (content_time(root), root.id, view.name)
            arrived = max(found, arrived or found)
            if root.id in view.verified:
                verified = max(found, verified or found)
    newest = verified or arrived
    return Exposure(
        asset,
        site,
        now_ns,
        Protection.VERIFIED if verified else Protection.ARRIVED if arrived else Protection.NONE,
        None if verified is None else _age(verified[0], now_ns),
        None if arrived is None else _age(arrived[0], now_ns),
        newest[1] if newest else "",
        newest[2] if newest else "",
    )


def _behind(one: Exposure, named: Iterable[View], now_ns: int) -> float | None:
    if one.seconds is None:
        return None
    contents = (content_time(root) for view in named for root in view.of(one.asset).values() if not _is_set_aside(root))
    return max(0.0, one.seconds - _age(max(contents), now_ns))


def _is_set_aside(root: Root) -> bool:
    return root.validation.verdict == "quarantined"


def _age(content_ns: int, now_ns: int) -> float:
    """Seconds. Content of the future (a clock was wrong) is as old as nothing."""
    return max(0, now_ns - content_ns) / NANOSECONDS
