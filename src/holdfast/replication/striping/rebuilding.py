"""A new site in the place of a lost one."""

from __future__ import annotations

from holdfast.errors import NotFoundError, RefusedError, StoreUnreachableError, UsageError
from holdfast.replication.striping.healing import Healed, heal_stripes, record_layout
from holdfast.replication.striping.owing import HealingPlan, plan_healing
from holdfast.replication.striping.store import StripedStore
from holdfast.vault.access.configuration import read_vault_id

__all__ = ["plan_rebuild", "rebuild_site"]


def plan_rebuild(store: StripedStore, position: int) -> HealingPlan:
    """What `rebuild_site` would read at the other sites and write at this one. Raises what that raises at first."""
    _check_fresh(store, position)
    return plan_healing(store, [position])


def rebuild_site(store: StripedStore, position: int, *, read_back: bool = True) -> Healed:
    """Give a new, empty site at `position` everything that the lost one had.

    Make `store` with the new site in the lost one's place. May be interrupted and called again: what is there is not
    sent again. Each pack's id is checked before a shard of it is written and, with `read_back`, each shard afterwards.
    The site is one of the set (and, in the home's place, the home) when everything is there, and not before. Raises
    RefusedError for a store that holds something else, StoreUnreachableError when fewer than k other sites answer.
    """
    _check_fresh(store, position)
    done = heal_stripes(store, [position], read_back=read_back)
    if done.is_complete:
        record_layout(store, [store.sites.members[position]])
        store.sites.forget()
    return done


def _check_fresh(store: StripedStore, position: int) -> None:
    """The new site answers, is no member of any set, and holds no other vault."""
    sites = store.sites
    sites.forget()
    layout = sites.layout
    if not 0 <= position < layout.n:
        raise UsageError(f"there is no site {position} among {layout.n}")
    fresh = sites.members[position]
    if fresh.trouble:
        raise StoreUnreachableError(f"{fresh.name} cannot be rebuilt: it {fresh.trouble}")
    if not fresh.vacant:
        raise RefusedError(f"{fresh.name} is whole, or was rebuilt already", hint="heal the stripes instead")
    try:
        vault = read_vault_id(fresh.store)
    except NotFoundError:
        return
    if read_vault_id(store) != vault:
        raise RefusedError(f"{fresh.name} holds another vault", hint="choose an empty place")
