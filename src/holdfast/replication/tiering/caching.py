"""What a store of limited size at the recovery site holds: an edge cache, so that recoveries there are fast. Pure.

First the newest proven snapshot of each asset that could not be restored there in time without it, those with the
shortest RTO first; then what saves the most time per byte. Packs that several of them share are counted once.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from holdfast.errors import NotFoundError
from holdfast.objectives.measured import NotMeasured
from holdfast.replication.tiering.facts import Asset, Facts, Raised, Snapshot, Store
from holdfast.replication.tiering.layout import Layout
from holdfast.replication.tiering.owing import limit_of
from holdfast.replication.tiering.timing import restore_seconds
from holdfast.units import format_duration, format_size

__all__ = ["CacheChoice", "choose_cache"]


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
    saves: float
    why: str


def choose_cache(facts: Facts, store: str, until_ns: int, *, capacity_bytes: int | None = None) -> CacheChoice:
    """Which snapshots the store should hold until then, within its capacity. Raises NotFoundError for the store.

    Of each asset that may be restored at the store's site, the newest validated snapshot is thought of, and `latest`.
    """
    layout = Layout(facts)
    if store not in layout.stores:
        raise NotFoundError(f"there is no store {store!r} among the facts")
    target = layout.stores[store]
    limit = target.capacity_bytes if capacity_bytes is None else capacity_bytes
    candidates = [one for snapshot in facts.snapshots if (one := _candidate(layout, snapshot, target)) is not None]
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


def _candidate(layout: Layout, snapshot: Snapshot, target: Store) -> _Candidate | None:
    asset = layout.assets[snapshot.asset]
    if target.site not in asset.recover_at or not layout.allows(asset, target.site):
        return None
    if not (snapshot.latest or snapshot.validated):
        return None
    fast = restore_seconds(snapshot, asset, target, target.site, layout.rates)
    others = [
        seconds
        for name in snapshot.at
        if name != target.name
        and not isinstance(
            seconds := restore_seconds(snapshot, asset, layout.stores[name], target.site, layout.rates), NotMeasured
        )
    ]
    if isinstance(fast, NotMeasured) or (asset.owed.rto_seconds is not None and fast > limit_of(asset)):
        return None  # it would not help there
    slow = min(others, default=None)
    if slow is None:
        return _Candidate(snapshot, asset, True, 0.0, "no other restore to there was measured")
    if asset.owed.rto_seconds is not None and slow > limit_of(asset):
        allowed = format_duration(limit_of(asset))
        why = f"without it a restore there takes {format_duration(slow)}, longer than the {allowed} that it may"
        return _Candidate(snapshot, asset, True, slow - fast, why)
    if slow <= fast:
        return None
    return _Candidate(snapshot, asset, False, slow - fast, f"a restore there is {format_duration(slow - fast)} faster")


def _order(layout: Layout, one: _Candidate) -> tuple[object, ...]:
    """Needed ones by RTO, validated before latest; then by seconds saved for each byte."""
    rto = one.asset.owed.rto_seconds
    per_byte = one.saves / max(1, layout.size_of(one.snapshot.packs))
    urgent = (rto if rto is not None else float("inf")) if one.needed else 0.0
    return (not one.needed, urgent, not one.snapshot.validated, -per_byte, one.snapshot.asset, one.snapshot.id)
