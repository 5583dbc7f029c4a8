"""A new, empty set of stripes for an asset, and the vault in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.control.authority.guarding import guard_creation
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.sets import stores_of_set, stripes_of_set
from holdfast.control.vaults.opening import CreatedVault, create_on
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from holdfast.replication.striping import create_stripes
from holdfast.replication.striping.layout import read_layouts
from holdfast.stores.protocol import Store
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import read_vault_id

__all__ = ["NewSet", "apply_creation", "plan_creation"]


class NewSet(NamedTuple):
    """What `apply_creation` would make. `sharing`: other assets that would lie in the same set. `refusals`: why not."""

    asset: DeclaredAsset
    stores: tuple[str, ...]
    url: str
    sharing: tuple[str, ...]
    refusals: tuple[str, ...]


def plan_creation(sites: DeclaredSites, name: str) -> NewSet:
    """Looks at each store, and changes nothing. Raises UsageError for an asset that is declared as whole copies,
    NotFoundError, RefusedError.
    """
    asset = sites.asset(name)
    if not asset.set_name:
        raise UsageError(
            f"{name} is declared as whole copies: there is no set of stripes to create",
            hint="`holdfast vault create URL` makes the vault at its home; the other sites are filled by themselves",
        )
    store = sites.stripes(asset.set_name)
    names = tuple(stores_of_set(asset.set_name))
    sharing = tuple(one.name for one in sites.assets.values() if one.set_name == asset.set_name and one is not asset)
    refusals = [
        f"{site} is {sites.states[site].condition.value}" for site in asset.placement.sites if site in sites.states
    ]
    members = zip(names, store.sites.members, strict=True)
    refusals += [f"{one}: {found}" for one, member in members if (found := _in_the_way(member.store))]
    if not refusals:
        refusals += _made_before(name, dict(zip(names, (member.store for member in store.sites.members), strict=True)))
    return NewSet(asset, names, store.url, sharing, tuple(refusals))


def apply_creation(sites: DeclaredSites, plan: NewSet, *, encryption: bool, suite: Suite) -> CreatedVault:
    """Make the set, then the vault in it with its keeper's key file. One that was broken off is finished.

    Raises RefusedError when the plan has refusals, and what creating raises.
    """
    if plan.refusals:
        raise RefusedError(plan.refusals[0], object_name=plan.asset.name)
    guard_creation(plan.url, encrypted=encryption, environment=sites.environment)
    store = sites.stripes(plan.asset.set_name)
    stores = [member.store for member in store.sites.members]
    if not all(read_layouts(one) for one in stores):
        create_stripes(stores, stripes_of_set(plan.asset.set_name).k, clock=sites.clock, progress=sites.progress)
    store.sites.forget()
    return create_on(
        store,
        encryption=encryption,
        suite=suite,
        environment=sites.environment,
        clock=sites.clock,
        progress=sites.progress,
    )


def _in_the_way(store: Store) -> str:
    """Why no shard may lie at this store; empty where one may."""
    try:
        if read_layouts(store):
            return ""
        read_vault_id(store)
    except NotFoundError:
        return ""
    except HoldfastError as error:
        return error.message
    return "there is a vault of whole copies; `replicate` brings its snapshots to stripes that lie elsewhere"


def _made_before(name: str, stores: Mapping[str, Store]) -> list[str]:
    """Why the set is not made anew where a vault lies in it already: a site that lost all would count as whole."""
    made = [one for one, store in stores.items() if read_layouts(store)]
    if not any(_has_vault(stores[one]) for one in made):
        return []
    lost = [one.partition("/")[0] for one in stores if one not in made]
    more = f", and {', '.join(lost)} holds nothing of them: `holdfast site rebuild {lost[0]}`" if lost else ""
    return [f"the stripes of {name} are there already{more}"]


def _has_vault(store: Store) -> bool:
    try:
        read_vault_id(store)
    except NotFoundError:
        return False
    return True
