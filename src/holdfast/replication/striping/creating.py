"""A new set of stripes, and another home for one whose home is lost."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, StoreUnreachableError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.striping.erasure import check_code
from holdfast.replication.striping.healing import bring_whole_objects
from holdfast.replication.striping.layout import Layout, highest, layout_key, read_layouts
from holdfast.replication.striping.sites import Member
from holdfast.replication.striping.store import StripedStore
from holdfast.stores.protocol import Store
from holdfast.vault.access.configuration import read_vault_id
from holdfast.vault.format.series import create_once

__all__ = ["adopt_home", "create_stripes"]


def create_stripes(
    stores: Sequence[Store],
    k: int,
    *,
    home: int = 0,
    spares: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> StripedStore:
    """Make a set of stripes of these sites, any k of which will give everything. One that was begun is finished.

    `home` orders what must be ordered. `spares`: how many sites may be lost after a write was acknowledged, by default
    n − k, so that each write needs every site; 1 lets a 4+2 set go on while a site is away; 0 gives up all redundancy
    for that time, and is never chosen for you. The home may hold a vault: `stripe_packs` cuts its packs.

    Raises UsageError, RefusedError (stripes are there already, or another vault), and what the stores raise.
    """
    n = len(stores)
    check_code(k, n)
    chosen = n - k if spares is None else spares
    if not 0 <= home < n or not 0 <= chosen <= n - k:
        raise UsageError(f"home {home} or spares {chosen} do not fit stripes of {k}+{n - k}")
    _check_one_vault(stores)
    said = {position: read_layouts(store) for position, store in enumerate(stores)}
    begun = [layout for records in said.values() for layout in records.values()]
    first = begun[0].at(0) if begun else None
    layout = Layout(1, os.urandom(16).hex(), 1, k, n, chosen, home, 0, clock.now_ns(), "created")
    if first is not None:
        same = msgspec.structs.replace(layout, set=first.set, created=first.created) == first
        placed = all(one.at(0) == first and one.position == place for place, r in said.items() for one in r.values())
        if not (same and placed) or all(said.values()):
            raise RefusedError(
                f"{stores[begun[0].position if begun[0].position < n else 0].url} belongs to a set of stripes already",
                hint="open that set; or choose empty places",
            )
        layout = first
    for position, store in enumerate(stores):
        _write(store, layout.at(position))
    return StripedStore(stores, clock=clock, progress=progress)


def adopt_home(store: StripedStore, new_home: int, *, reason: str = "") -> Layout:
    """Make another site the home of a set whose home is lost. Returns what is recorded at all sites that answer.

    First everything that any site holds whole is brought to the new home. Refused while the old home answers: two homes
    would create the same names. Whoever else writes to the set notices within a minute; where someone can still reach
    the old home when you cannot, stop him first. Raises RefusedError, UsageError, StoreUnreachableError.
    """
    sites = store.sites
    sites.forget()
    layout = sites.layout
    if not 0 <= new_home < layout.n:
        raise UsageError(f"there is no site {new_home} among {layout.n}")
    if new_home == layout.home:
        raise RefusedError(f"site {new_home} is the home already")
    old = sites.home
    if not old.trouble and not old.vacant:
        raise RefusedError(
            f"the home, {old.name}, answers: two homes would decide differently about the same names",
            hint="adopt another home only when this one is lost; to empty it, take it out of service first",
        )
    chosen = sites.members[new_home]
    if chosen.trouble or chosen.vacant:
        raise StoreUnreachableError(f"{chosen.name} cannot be the home: it {chosen.trouble or 'holds nothing yet'}")
    members = [member for member in sites.ready() if not member.vacant]
    if len(members) < layout.k:
        raise StoreUnreachableError(f"only {len(members)} sites answer, and {layout.k} must know of the new home")
    bring_whole_objects(store, new_home)
    said = {member.position: read_layouts(member.store) for member in members}
    fresh = msgspec.structs.replace(
        layout,
        generation=highest(said) + 1,
        home=new_home,
        created=sites.clock.now_ns(),
        reason=reason or f"site {layout.home} was lost",
    )
    _write_enough(members, fresh)
    sites.forget()
    return sites.layout


def _write_enough(members: Sequence[Member], layout: Layout) -> None:
    written, errors = 0, []
    for member in members:
        try:
            _write(member.store, layout.at(member.position))
            written += 1
        except HoldfastError as error:
            errors.append(f"{member.name}: {error}")
    if written < layout.k:
        raise StoreUnreachableError(
            f"only {written} sites know of the new home, and {layout.k} must: {'; '.join(errors)}", hint="adopt again"
        )


def _write(store: Store, layout: Layout) -> None:
    key = layout_key(layout.generation)
    if not create_once(store, key, layout.to_bytes()):
        raise RefusedError(f"{key} was written by somebody else at {store.url}", hint="look at the set, and try again")


def _check_one_vault(stores: Sequence[Store]) -> None:
    vaults = {}
    for store in stores:
        try:
            vaults[store.url] = read_vault_id(store)
        except NotFoundError:
            continue
    if len(set(vaults.values())) > 1:
        raise RefusedError(f"different vaults lie at {' and '.join(vaults)}", hint="choose empty places")
