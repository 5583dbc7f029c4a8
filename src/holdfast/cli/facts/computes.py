"""Facts about machines of sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.computes import SiteCompute, SitePool, SiteStandby
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.recovering.standby import Standing
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.infra.compute.port import Probed

__all__ = ["site_compute_facts", "site_standby_facts"]


def site_compute_facts(
    sites: DeclaredSites, names: list[str], probed: Mapping[str, Probed], problems: Mapping[str, str]
) -> SiteCompute:
    """`probed`, `problems`: by `site/shape`."""
    from holdfast.control.recovering.probing_compute import getting_of
    from holdfast.recovery.estimates import UNKNOWN

    pools = []
    for name in names:
        for declared in sites.config.sites[name].compute:
            found = probed.get(f"{name}/{declared.shape}")
            getting = UNKNOWN if found is None else getting_of(declared, found, UNKNOWN)
            pools.append(
                SitePool(
                    site=name,
                    shape=declared.shape,
                    kind=declared.kind,
                    declared=declared.machines,
                    ready=None if found is None else found.ready,
                    free=None if found is None else found.free,
                    taken=None if found is None else found.taken,
                    taken_by=[clean(one) for one in found.taken_by] if found is not None else [],
                    getting=getting.seconds if getting.known else None,
                    getting_source=clean(f"{getting.source}: {getting.why}"),
                    problem=clean(problems.get(f"{name}/{declared.shape}", "")),
                )
            )
    return SiteCompute(config=clean(str(sites.loaded.path)), at=to_rfc3339(sites.clock.now_ns()), pools=pools)


def site_standby_facts(sites: DeclaredSites, site: str, standing: Standing, refreshed: bool) -> SiteStandby:
    """`refreshed`: it was put there just now."""
    from holdfast.control.recovering.standby import standby_folder

    return SiteStandby(
        asset=clean(standing.asset),
        site=site,
        folder=clean(str(standby_folder(sites, standing.asset, site))),
        snapshot=standing.snapshot,
        at=to_rfc3339(standing.at),
        refreshed=refreshed,
    )
