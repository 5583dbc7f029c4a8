"""Machines of sites, as facts of a plan: what is there now, and how long getting some takes, by what past runs took."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from holdfast.config.compute_model import Compute as Declared
from holdfast.config.compute_model import Service
from holdfast.control.recovering.history_compute import ComputePast
from holdfast.control.recovering.standby import standby_folder, standing_in
from holdfast.control.recovering.trying import each_at_once
from holdfast.control.sites.declared import DeclaredSites
from holdfast.ids import SnapshotId
from holdfast.infra.compute.pools import pool_at
from holdfast.infra.compute.port import Probed
from holdfast.recovery.estimates import UNKNOWN, Estimate, Source
from holdfast.recovery.facts import Asset, Compute

__all__ = ["probe_compute", "probe_pools", "standing_at", "with_service"]


def probe_pools(sites: DeclaredSites, names: Iterable[str]) -> tuple[dict[str, Probed], dict[str, str]]:
    """`site/shape` → what is there, and why others said nothing in time. All are asked at once; nothing is changed."""
    wanted = {
        f"{name}/{one.shape}": (name, one.shape)
        for name in names
        if name in sites.config.sites
        for one in sites.config.sites[name].compute
    }

    def ask(pool: tuple[str, str]) -> Probed:
        site, shape = pool
        config = sites.config
        return pool_at(
            config.organisation, site, config.sites[site].compute, shape, sites.environment, sites.clock
        ).probe()

    if not wanted:
        return {}, {}
    answers, problems = each_at_once(wanted, ask)
    return answers, {name: error.message for name, error in problems.items()}


def probe_compute(
    sites: DeclaredSites, names: Iterable[str], past: ComputePast
) -> tuple[dict[str, tuple[Compute, ...]], dict[str, str]]:
    """Site → its machines, as far as they were probed now; and why not."""
    answers, problems = probe_pools(sites, names)
    found: dict[str, list[Compute]] = {}
    for name, probed in answers.items():
        site, _, shape = name.partition("/")
        declared = next(one for one in sites.config.sites[site].compute if one.shape == shape)
        found.setdefault(site, []).append(
            Compute(
                shape=shape,
                ready=probed.ready,
                free=probed.free,
                probed=probed.at,
                getting=getting_of(declared, probed, past.getting.get((site, shape), UNKNOWN)),
            )
        )
    return {site: tuple(several) for site, several in found.items()}, problems


def getting_of(declared: Declared, probed: Probed, measured: Estimate) -> Estimate:
    """By past runs; else as the pool foresees it, or as is declared, whichever is longer."""
    if measured.known:
        return measured
    if declared.getting is not None:
        seconds = max(declared.getting, probed.getting or 0.0)
        return Estimate(seconds=seconds, source=Source.DECLARED, why="`getting` of the site's `compute`")
    if probed.getting is not None:
        return Estimate(seconds=probed.getting, source=Source.ASSUMED, why=f"as {declared.kind} foresees it")
    return UNKNOWN


def with_service(asset: Asset, service: Service | None, past: ComputePast) -> Asset:
    """The asset with the machines that its service needs, and what past runs say of it."""
    asset = replace(asset, saving=past.saving.get(asset.name, UNKNOWN))
    if service is None:
        return asset
    return replace(
        asset,
        needs=service.machines,
        least=service.least,
        shapes=service.shapes,
        traffic=service.traffic is not None,
        starting=past.starting.get(asset.name, UNKNOWN),
    )


def standing_at(sites: DeclaredSites, site: str, assets: Iterable[str]) -> dict[str, SnapshotId]:
    """Asset → what stands restored there, as far as this machine sees it: hot standbys."""
    found: dict[str, SnapshotId] = {}
    for asset in assets:
        folder = standby_folder(sites, asset, site)
        standing = standing_in(folder, asset) if folder is not None else None
        if standing is not None:
            found[asset] = standing.snapshot
    return found
