"""What a store of limited size at the recovery site holds: an edge cache, so that recoveries there are fast. Pure.

First the newest proven snapshot of each asset that could not be restored there in time without it, those with the
shortest RTO first. Then what is worth most per byte:

worth = uses × (what reading it from elsewhere costs + hours that it saves × price of an hour of waiting)

`uses`: reads within the last 30 days, and one for the recovery that the cache is there for. Packs that several of them
share are counted once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from holdfast.economics.amounts import format_money
from holdfast.economics.copying import Copy, CopyEnd, cost_of_copy
from holdfast.errors import NotFoundError
from holdfast.objectives.measured import NotMeasured
from holdfast.replication.tiering.facts import DAY_NS, Asset, Facts, Raised, Snapshot, Store
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.owing import limit_of
from holdfast.replication.tiering.paying import copy_end
from holdfast.replication.tiering.timing import restore_seconds
from holdfast.units import format_duration, format_size

__all__ = ["CacheChoice", "HOUR_PRICE", "choose_cache"]

HOUR_PRICE = 100.0
"""What an hour of waiting for a restore is taken to cost, in the currency of the price book: a machine or two with
eight accelerators. It only weighs time against money; whoever knows the own figure gives it.
"""
_LATELY_NS = 30 * DAY_NS


class CacheChoice(msgspec.Struct, frozen=True, kw_only=True):
    """`hold`: snapshot → why. `left_out`: candidates → why not. `leaving`: what lies there and is not among them.
    `raised`: for `Facts`; what is in no such list leaves by the planner's rules. `bytes`: of all that is held.
    """

    store: str
    hold: dict[str, str]
    left_out: dict[str, str]
    leaving: tuple[str, ...]
    raised: tuple[Raised, ...]
    bytes: int


class _Candidate(NamedTuple):
    snapshot: Snapshot
    asset: Asset
    needed: bool
    worth: float
    why: str


class _Worth(NamedTuple):
    """What it takes to say what a snapshot in the cache is worth."""

    layout: Layout
    target: Store
    reads: Mapping[str, Sequence[int]]
    hour_price: float


def choose_cache(
    facts: Facts,
    store: str,
    until_ns: int,
    *,
    capacity_bytes: int | None = None,
    reads: Mapping[str, Sequence[int]] | None = None,
    hour_price: float = HOUR_PRICE,
) -> CacheChoice:
    """Which snapshots the store should hold until then, within its capacity. Raises NotFoundError for the store.

    Of each asset that may be restored at the store's site, and may lie there by its jurisdiction, the newest validated
    snapshot is thought of, `latest`, and what was read within 30 days. `reads`: snapshot → when it was read, anywhere.
    """
    layout = Layout(facts)
    if store not in layout.stores:
        raise NotFoundError(f"there is no store {store!r} among the facts")
    target = layout.stores[store]
    limit = target.capacity_bytes if capacity_bytes is None else capacity_bytes
    worth = _Worth(layout, target, reads or {}, hour_price)
    candidates = [one for snapshot in facts.snapshots if (one := _candidate(worth, snapshot)) is not None]
    candidates.sort(key=lambda one: _order(layout, one))
    hold: dict[str, str] = {}
    left_out: dict[str, str] = {}
    packs: set[str] = set()
    size = 0
    for one in candidates:
        new = layout.size_of(one.snapshot.packs - packs)
        if limit is not None and size + new > limit:
            left_out[one.snapshot.id] = f"{format_size(new)} more do not fit into {format_size(limit)}"
            continue
        hold[one.snapshot.id] = one.why
        packs |= one.snapshot.packs
        size += new
    there = [snapshot.id for snapshot in facts.snapshots if store in snapshot.at]
    left_out |= _forbidden(layout, target)
    return CacheChoice(
        store=store,
        hold=hold,
        left_out=left_out,
        leaving=tuple(sorted(set(there) - hold.keys())),
        raised=tuple(
            Raised(snapshot=name, store=store, until_ns=until_ns, reason=f"the cache at {target.site}: {why}")
            for name, why in hold.items()
        ),
        bytes=size,
    )


def _forbidden(layout: Layout, target: Store) -> dict[str, str]:
    """Snapshots that nobody may keep there, of assets that are restored there."""
    where = layout.sites[target.site].jurisdiction
    return {
        snapshot.id: f"class {asset.owed.name} must not lie in {where}"
        for snapshot in layout.facts.snapshots
        if target.site in (asset := layout.assets[snapshot.asset]).recover_at and not layout.allows(asset, target.site)
    }


def _candidate(worth: _Worth, snapshot: Snapshot) -> _Candidate | None:
    layout, target = worth.layout, worth.target
    asset = layout.assets[snapshot.asset]
    if target.site not in asset.recover_at or not layout.allows(asset, target.site):
        return None
    lately = sum(layout.now_ns - at <= _LATELY_NS for at in worth.reads.get(snapshot.id, ()))
    if not (snapshot.latest or snapshot.validated or lately):
        return None
    fast = restore_seconds(snapshot, asset, target, target.site, layout.rates)
    others = [
        (seconds, name)
        for name in snapshot.at
        if name != target.name
        and not isinstance(
            seconds := restore_seconds(snapshot, asset, layout.stores[name], target.site, layout.rates), NotMeasured
        )
    ]
    if isinstance(fast, NotMeasured) or (asset.owed.rto_seconds is not None and fast > limit_of(asset)):
        return None  # it would not help there
    main = snapshot.latest or snapshot.validated
    if not others:
        return _Candidate(snapshot, asset, main, 0.0, "no other restore to there was measured")
    slow, source = min(others)
    saved = max(0.0, slow - fast)
    money = _egress(layout, snapshot, source, target)
    value = (1 + lately) * (money + saved / 3600 * worth.hour_price)
    if main and asset.owed.rto_seconds is not None and slow > limit_of(asset):
        allowed = format_duration(limit_of(asset))
        why = f"without it a restore there takes {format_duration(slow)}, longer than the {allowed} that it may"
        return _Candidate(snapshot, asset, True, value, why)
    if value <= 0:
        return None
    gains = [f"{format_duration(saved)} faster"] if saved else []
    gains += [f"{format_money(money, layout.facts.book.currency)} cheaper"] if money else []
    read = f"; it was read {lately} times lately" if lately else ""
    return _Candidate(snapshot, asset, False, value, f"a restore there is {' and '.join(gains)}{read}")


def _egress(layout: Layout, snapshot: Snapshot, source: str, target: Store) -> float:
    """What reading it from another store costs: egress, requests, retrieval. 0 where no price is known."""
    site = layout.sites[target.site]
    ends = copy_end(layout, layout.stores[source]), CopyEnd(site=site.name, region=site.region)
    copy = Copy(source=ends[0], target=ends[1], objects=layout.objects_of(snapshot.packs), bytes=snapshot.fetch_bytes)
    try:
        return cost_of_copy(layout.facts.book, [copy]).total
    except NotFoundError:
        return 0.0


def _order(layout: Layout, one: _Candidate) -> tuple[object, ...]:
    """Needed ones by RTO, validated before latest; then by worth for each byte."""
    rto = one.asset.owed.rto_seconds
    per_byte = one.worth / max(1, layout.size_of(one.snapshot.packs))
    urgent = (rto if rto is not None else float("inf")) if one.needed else 0.0
    return (not one.needed, urgent, not one.snapshot.validated, -per_byte, one.snapshot.asset, one.snapshot.id)
