"""To what point each asset could be recovered now, whichever one site is lost: from the catalog, for all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select

from holdfast.catalog.judging import newest_proofs
from holdfast.catalog.models import Arrival, Snapshot, StoreRow
from holdfast.clock import NANOSECONDS
from holdfast.objectives.standing import CREDIT_SECONDS

__all__ = ["Reachable", "reachable", "steps_at"]


class Reachable(msgspec.Struct, frozen=True, gc=False):
    """`content` (ns): the newest that was read back at a store that survives the loss of `lost`, the site whose loss
    costs most; `store`: there. None: nothing that survives was read back. `arrived`: the newest that lies at a store
    that survives it, read back or not.
    """

    content: int | None
    store: str
    lost: str
    arrived: int | None


def reachable(connection: Connection, at: int, assets: Iterable[str] | None = None) -> dict[str, Reachable]:
    """Asset → what could be had back, judged at `at` (ns). A store that did not answer last is taken for lost."""
    names = None if assets is None else sorted(set(assets))
    rows = connection.execute(select(StoreRow.name, StoreRow.site, StoreRow.problem))
    sites = {name: site for name, site, problem in rows if not problem}
    there: dict[str, dict[str, int | None]] = defaultdict(dict)
    wanted = select(Arrival.asset, Arrival.store, Arrival.content)
    if names is not None:
        wanted = wanted.where(Arrival.asset.in_(names))
    for asset, store, content in connection.execute(wanted):
        before = there[asset].get(store)
        there[asset][store] = content if before is None else before if content is None else max(before, content)
    proven: dict[str, dict[str, int]] = defaultdict(dict)
    since = at - round(CREDIT_SECONDS * NANOSECONDS)
    for asset, store, content, *_ in connection.execute(newest_proofs(since, names)):
        proven[asset][store] = max(content, proven[asset].get(store, content))
    return {asset: _worst(stores, proven.get(asset, {}), sites) for asset, stores in there.items()}


def _worst(there: Mapping[str, int | None], proven: Mapping[str, int], sites: Mapping[str, str]) -> Reachable:
    worst: Reachable | None = None
    for lost in sorted({sites[store] for store in there if store in sites}):
        best = max(
            ((content, store) for store, content in proven.items() if _survives(store, lost, sites)), default=None
        )
        arrived = max(
            (content for store, content in there.items() if content is not None and _survives(store, lost, sites)),
            default=None,
        )
        one = Reachable(best[0] if best else None, best[1] if best else "", lost, arrived)
        if worst is None or (one.content or 0) < (worst.content or 0):
            worst = one
    return worst or Reachable(None, "", "", None)


def _survives(store: str, lost: str, sites: Mapping[str, str]) -> bool:
    """A set of stripes has no site of its own: it is made to survive the loss of any."""
    return store in sites and (sites[store] != lost or not sites[store])


def steps_at(
    connection: Connection, wanted: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], tuple[str, int | None]]:
    """(asset, content) → (snapshot, step), of a page full of assets: answered from the index of contents."""
    if not wanted:
        return {}
    found = connection.execute(
        select(Snapshot.asset, Snapshot.content, Snapshot.id, Snapshot.step)
        .where(
            Snapshot.asset.in_(sorted({asset for asset, _ in wanted})),
            Snapshot.content.in_(sorted({content for _, content in wanted})),
        )
        .order_by(Snapshot.id)
    )
    asked = set(wanted)
    return {(asset, content): (id_, step) for asset, content, id_, step in found if (asset, content) in asked}
