"""What costs of a run are counted by: machines and their prices as declared, prices of reading, how training went.

Nothing raises here: what is not to be had is NOT_MEASURED, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.config.compute_model import Compute
from holdfast.config.model import Config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.economics.book import PriceBook
from holdfast.economics.own_prices import book_with
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.evidence.gathered import RunOfJournal
from holdfast.evidence.restored import restored_points
from holdfast.evidence.terms import CostTerms, PoolTerms, Told, TrainingTerms, WayTerms
from holdfast.recovery.plans import Chosen, Kind, Plan
from holdfast.replication.tiering.declared import UNPRICED, declared
from holdfast.replication.tiering.facts import Site, Store
from holdfast.vault.vault import Vault

__all__ = ["pools_of", "step_seconds_in", "terms_of", "ways_of"]

_PRICES: Final = "HOLDFAST_PRICES"
_INTERVAL: Final = "interval"  # in a snapshot's metadata: what the training says of its saves (docs/intervals.md)
_NOTE_MAX: Final = 8192
_GB: Final = 10**9  # of a line's own price


class _Interval(msgspec.Struct):
    version: int
    step_seconds: float | None = None


def step_seconds_in(text: str) -> float | None:
    """Seconds of a training step, as an entry `interval` of a snapshot's metadata says; None: it says none that can
    be.
    """
    if not text or len(text) > _NOTE_MAX:
        return None
    try:
        note = msgspec.json.decode(text.encode("utf-8", "replace"), type=_Interval)
    except (msgspec.MsgspecError, RecursionError):
        return None
    seconds = note.step_seconds
    return seconds if note.version == 1 and seconds is not None and 0 < seconds < math.inf else None


def terms_of(sites: DeclaredSites, vault: Vault, run: RunOfJournal | None) -> CostTerms | None:
    """Of all that the run may have got and read. None without a run, or without a price book."""
    if run is None:
        return None
    own = sites.environment.get(_PRICES, "")
    read = {(_store_of(run, step.id) or str(step.with_.get("store", "")), step.site) for step in run.plan.steps}
    try:
        book = book_with(Path(own) if own else None)
        ways = ways_of(sites.config, book, (one for one in sorted(read) if one[0]))
    except HoldfastError as error:
        sites.progress.note(f"no costs are counted: {error.message}")
        return None
    return CostTerms(
        currency=book.currency,
        as_of=book.as_of,
        pools=pools_of(sites.config),
        ways=ways,
        training=tuple(_training(sites, vault, run.plan, one) for one in restored_points(run)),
    )


def ways_of(config: Config, book: PriceBook, pairs: Iterable[tuple[str, str]]) -> tuple[WayTerms, ...]:
    """What reading from a store at a site costs, for each pair of them. Raises UsageError for a broken price book."""
    found = declared(config, book)
    stores, where = {one.name: one for one in found.stores}, {one.name: one for one in found.sites}
    return tuple(_way(book, stores, where, store, site) for store, site in pairs)


def _store_of(run: RunOfJournal, step: str) -> str:
    state = run.state.steps.get(step)
    return str(state.facts.get("store", "")) if state is not None else ""


def pools_of(config: Config) -> tuple[PoolTerms, ...]:
    """Machines of all sites."""
    return tuple(
        PoolTerms(site=name, shape=pool.shape, gpus=_gpus(name, pool), hourly=_hourly(name, pool))
        for name, site in config.sites.items()
        for pool in site.compute
    )


def _gpus(site: str, pool: Compute) -> Told:
    where = f"`compute` of {site}, {pool.shape}"
    if pool.gpus is not None:
        return Told(float(pool.gpus), f"`gpus` in {where}")
    if pool.gpus_of_gres is not None:
        return Told(float(pool.gpus_of_gres), f"`gres` in {where}")
    return Told(source=f"{where} says nothing of `gpus`")


def _hourly(site: str, pool: Compute) -> Told:
    where = f"`compute` of {site}, {pool.shape}"
    if pool.price_per_hour is None:
        return Told(source=f"{where} has no `price_per_hour`")
    return Told(pool.price_per_hour, f"`price_per_hour` in {where}")


def _way(book: PriceBook, stores: dict[str, Store], where: dict[str, Site], store: str, site: str) -> WayTerms:
    way = WayTerms(store=store, site=site, gb=book.gb_bytes, egress_gb=book.gb_bytes)
    found, here = stores.get(store), where.get(site)
    if found is None or here is None:
        why = Told(source=f"{store} is no store of one site: it is read over several lines")
        return msgspec.structs.replace(way, egress=why, retrieval=why, requests=why)
    price, day = found.price, f"price book of {book.as_of}"
    if price.source == UNPRICED:
        retrieval = requests = Told(source=f"the {day} has no row for {price.name} in {price.region}")
    else:
        sure = "" if price.confirmed else ", not confirmed"
        source = f"{price.name} in {price.region}, {day}{sure}"
        retrieval = Told(price.retrieval, source)
        requests = Told(price.read_requests + price.retrieval_requests, source)
    egress, gb = _egress(book, where[found.site], here)
    return msgspec.structs.replace(way, egress=egress, egress_gb=gb, retrieval=retrieval, requests=requests)


def _egress(book: PriceBook, source: Site, target: Site) -> tuple[Told, int]:
    if source.name == target.name:
        return Told(0.0, "none: it is the same site"), book.gb_bytes
    if source.line_per_gb is not None and source.region != target.region:
        return Told(source.line_per_gb, f"`price_per_gb` of the link of {source.name}"), _GB
    try:
        row = book.transfer_price(source.region, target.region)
    except NotFoundError as error:
        return Told(source=error.message), book.gb_bytes
    sure = "" if row.confirmed else ", not confirmed"
    return Told(row.per_gb, f"{source.region} to {target.region} ({row.to}), price book of {book.as_of}{sure}"), (
        book.gb_bytes
    )


def _training(sites: DeclaredSites, vault: Vault, plan: Plan, chosen: Chosen) -> TrainingTerms:
    asset = chosen.asset
    terms = TrainingTerms(asset=asset, step_seconds=_step_seconds(vault, chosen))
    declared_ = sites.config.assets.get(asset)
    service = declared_.service if declared_ is not None else None
    home = _home(plan, asset)
    if service is None or not home or home not in sites.config.sites:
        why = f"no `service` of {asset} is declared" if service is None else f"nobody can tell where {asset} ran"
        return msgspec.structs.replace(
            terms, site=home, machines=Told(source=why), gpus=Told(source=why), hourly=Told(source=why)
        )
    pools = [one for one in sites.config.sites[home].compute if one.shape in service.shapes]
    machines = Told(float(service.machines), f"`machines` of the service of {asset}")
    if len(pools) != 1:
        why = f"{home} has {len(pools)} shapes of machines on which {asset} may have run"
        return msgspec.structs.replace(
            terms, site=home, machines=machines, gpus=Told(source=why), hourly=Told(source=why)
        )
    [pool] = pools
    return msgspec.structs.replace(
        terms, site=home, machines=machines, gpus=_gpus(home, pool), hourly=_hourly(home, pool)
    )


def _home(plan: Plan, asset: str) -> str:
    """The one site where it ran: that was stopped, or fenced, or else could write it. Empty: nobody can tell."""
    for kinds in ((Kind.STOP,), (Kind.FENCE,)):
        found = {step.site for step in plan.steps if step.kind in kinds and step.asset in ("", asset)}
        if len(found) == 1:
            return found.pop()
    writers = plan.writers.get(asset, ())
    return writers[0] if len(writers) == 1 else ""


def _step_seconds(vault: Vault, chosen: Chosen) -> Told:
    try:
        root = vault.find(chosen.snapshot)
    except HoldfastError as error:
        return Told(source=f"the snapshot {chosen.snapshot} cannot be looked at: {error.message}")
    seconds = step_seconds_in(root.meta.get(_INTERVAL, ""))
    if seconds is None:
        return Told(source=f"the snapshot {chosen.snapshot} says no time of a step")
    return Told(seconds, f"measured by the training, in the metadata of {chosen.snapshot}")
