"""Facts about a new set of stripes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.vaults import created_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.sites import SiteCreated
from holdfast.trust.suites import Suite

if TYPE_CHECKING:
    from holdfast.control.sites.creating import NewSet
    from holdfast.control.vaults.opening import CreatedVault

__all__ = ["site_created_facts"]


def site_created_facts(plan: NewSet, suite: Suite, created: CreatedVault | None = None) -> SiteCreated:
    """`created`: None for a plan that was not carried out."""
    vault = None if created is None else created_facts(created)
    return SiteCreated(
        dry_run=vault is None,
        assets=[clean(name) for name in (plan.asset.name, *plan.sharing)],
        stripes=str(plan.asset.placement.stripes),
        sites=list(plan.stores),
        url=clean(plan.url),
        vault="" if vault is None else vault.vault,
        encrypted=suite is not Suite.PLAIN,
        suite=int(suite),
        key_file="" if vault is None else vault.key_file,
        recipients=[] if vault is None else vault.recipients,
        refusals=[clean(one) for one in plan.refusals],
    )
