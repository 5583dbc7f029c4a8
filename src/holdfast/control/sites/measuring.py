"""Measuring what the stores give: a bounded sample of packs from each, and of plain bytes that are verified."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random, SystemRandom
from typing import NamedTuple

from holdfast.config.effective import restore_time
from holdfast.config.words import Tier
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset
from holdfast.control.sites.rates import LEAST_BYTES, Measurement
from holdfast.control.sites.tiers import SiteTiers
from holdfast.economics.storing import ARCHIVE_SECONDS
from holdfast.errors import HoldfastError, UsageError
from holdfast.ids import PackId
from holdfast.stores.protocol import ObjectInfo
from holdfast.units import format_size
from holdfast.vault.checking.verifying import snapshot_chunks, verify_pack
from holdfast.vault.format.names import PACKS
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Sampled", "measure"]


class Sampled(NamedTuple):
    """What was measured of a store (`asset` empty), or of verifying an asset from a store. `why`: why nothing was."""

    store: str
    asset: str
    bytes: int
    seconds: float
    why: str = ""


def measure(
    tiers: SiteTiers,
    at: Sequence[str],
    sample_bytes: int,
    only: Collection[str] = (),
    *,
    probe: bool = False,
    random: Random | None = None,
) -> list[Sampled]:
    """Read up to so many bytes from each store of the chosen assets (or `only` from these), and note what came of it.

    `at`: sites whose machines get from the stores what this one gets. An archive is read only when it is named. With
    `probe`, a few objects are written to a store that holds too little, read, and deleted: an empty one could never
    be measured otherwise. Raises UsageError for sites or stores that are not declared, PermissionDeniedError.
    """
    sites = tiers.sites
    for site in at:
        sites.require_site(site)
    if not at:
        raise UsageError("nobody said at which site this machine is", hint="--at SITE, or HOLDFAST_SITE")
    names = _stores(tiers, only)
    for asset in tiers.chosen:
        guard(tiers.vault, "verify", asset=asset.name)
        for name in _of_asset(asset, names) if probe else ():
            guard(tiers.vault, "replicate", asset=asset.name, to=name.partition("/")[0])
    clock = tiers.vault.handle.clock
    with recorded_on(tiers.vault, "verify", objects={"because": "measuring tiers"}):
        chance = random or SystemRandom()
        read = [_sample_store(tiers, name, sample_bytes, chance, name in only, probe) for name in names]
        verified = [_sample_asset(tiers, asset, names, sample_bytes) for asset in tiers.chosen]
    now = clock.now_ns()
    tiers.rates.here(at)
    tiers.rates.note(
        {
            (one.store, site): Measurement(bytes=one.bytes, seconds=one.seconds, at=now, how="sample")
            for one in read
            if not one.why
            for site in at
        },
        {
            one.asset: Measurement(bytes=one.bytes, seconds=one.seconds, at=now, how="sample")
            for one in verified
            if not one.why
        },
    )
    return read + verified


def _stores(tiers: SiteTiers, only: Collection[str]) -> list[str]:
    near = dict.fromkeys(
        name
        for asset in tiers.chosen
        for site in asset.placement.sites
        for name in (asset.at(site), *asset.beside(site))
    )
    if unknown := sorted(set(only) - near.keys()):
        raise UsageError(f"{', '.join(unknown)} is none of the stores: {', '.join(near)}")
    return [name for name in near if not only or name in only]


def _sample_store(tiers: SiteTiers, name: str, limit: int, random: Random, named: bool, probe: bool) -> Sampled:
    """Whole packs, as a restore of everything reads them."""
    site, _, tier = name.partition("/")
    spec = tiers.sites.config.sites[site].stores[Tier(tier)]
    said = spec.restore is not None or Tier(tier) is Tier.COLD  # what a warm store gives by default is no archive's
    if said and restore_time(Tier(tier), spec).value > ARCHIVE_SECONDS and not named:
        return Sampled(name, "", 0, 0.0, f"it is an archive, which is read only when asked for: --store {name}")
    handle = tiers.handle(name)
    clock = handle.clock
    try:
        packs = _some(list(handle.store.list(PACKS)), limit, random)
        size = sum(one.size for one in packs)
        if size < LEAST_BYTES and probe:
            return _probed(handle, name, random)
        if size < LEAST_BYTES:
            why = f"{format_size(size)} lie there, and {_LEAST} are the least: --probe writes some"
            return Sampled(name, "", size, 0.0, why)
        began = clock.monotonic()
        with ThreadPoolExecutor(handle.workers) as pool:
            read = sum(pool.map(lambda one: verify_pack(handle, PackId(one.key.rpartition("/")[2])), packs))
        return Sampled(name, "", read, clock.monotonic() - began)
    except HoldfastError as error:
        return Sampled(name, "", 0, 0.0, error.message)


def _probed(handle: Handle, name: str, random: Random) -> Sampled:
    """Objects under names that no vault has, of bytes that nothing can compress; they are gone afterwards."""
    store, clock = handle.store, handle.clock
    keys = [f"{_PROBES}{random.getrandbits(64):016x}" for _ in range(_PROBE_COUNT)]
    try:
        for key in keys:
            store.create(key, random.randbytes(LEAST_BYTES))
        began = clock.monotonic()
        with ThreadPoolExecutor(handle.workers) as pool:
            read = sum(map(len, pool.map(store.get, keys)))
        return Sampled(name, "", read, clock.monotonic() - began)
    finally:
        for key in keys:
            store.delete(key)


def _some(packs: list[ObjectInfo], limit: int, random: Random) -> list[ObjectInfo]:
    random.shuffle(packs)
    chosen, size = [], 0
    for one in packs:
        if size + one.size > limit:
            continue
        chosen.append(one)
        size += one.size
    return chosen


def _sample_asset(tiers: SiteTiers, asset: DeclaredAsset, stores: Sequence[str], limit: int) -> Sampled:
    """The beginning of its newest snapshot, fetched, opened, decoded and compared: fetching counts, too, so that what
    comes out is too slow rather than too fast.
    """
    last = "no store that was read has a snapshot"
    for name in _of_asset(asset, stores):
        handle = tiers.handle(name)
        try:
            roots = [one.root for one in list_roots(handle, asset.name) if one.root is not None]
            if not roots:
                continue
            wanted, size = [], 0
            for chunk, length in snapshot_chunks(handle, roots[-1])[1].items():
                if size + length > limit:
                    break
                wanted.append(Wanted(chunk, length, None))
                size += length
            if size < LEAST_BYTES:
                last = f"its newest snapshot has {format_size(size)}, and {_LEAST} are the least"
                break
            return _timed(handle, name, asset.name, wanted, size)
        except HoldfastError as error:
            last = error.message
    return Sampled("", asset.name, 0, 0.0, last)


def _timed(handle: Handle, store: str, asset: str, wanted: list[Wanted[None]], size: int) -> Sampled:
    began = handle.clock.monotonic()
    handle.reader().stream(wanted, lambda one, data: None, workers=handle.workers)
    return Sampled(store, asset, size, handle.clock.monotonic() - began)


def _of_asset(asset: DeclaredAsset, stores: Sequence[str]) -> Iterator[str]:
    for site in asset.placement.sites:
        yield from (name for name in (asset.at(site), *asset.beside(site)) if name in stores)


_LEAST = format_size(LEAST_BYTES)
_PROBES, _PROBE_COUNT = "measuring/", 4
