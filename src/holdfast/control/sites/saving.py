"""Saving an asset as `holdfast.yaml` declares it: at its home, and at as many sites as it owes before it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.errors import RefusedError, StoreUnreachableError
from holdfast.replication.following.quorum import Quorum, copy_to_quorum
from holdfast.vault.format.records import Root
from holdfast.vault.vault import Vault

__all__ = ["DeclaredSave", "declared_save"]


_URGENT = 9  # somebody waits for it


class DeclaredSave(NamedTuple):
    """The opened home of an asset. `committed`: for `Vault.save`: waits for the quorum, and looks whether the home is
    still what it was.

    `reached`: filled while saving: which sites had the snapshot when the save was let go on.
    """

    vault: Vault
    asset: DeclaredAsset
    committed: Callable[[Root], None]
    reached: list[Quorum]


def declared_save(sites: DeclaredSites, asset: str) -> DeclaredSave:
    """Everything for saving `asset`, as the stores say now which sites have failed.

    Raises NotFoundError (it is not declared), RefusedError (no site of it is sound), PermissionDeniedError, and what
    opening its home raises: a save that could be found at its home only by luck is not begun elsewhere.
    """
    sites.learn()
    declared = sites.asset(asset)
    declared.require_sound()
    vault = sites.open_at(declared.home)
    reached: list[Quorum] = []
    quorum = declared.placement.quorum
    if declared.set_name:
        _require_whole(sites, declared)
    # A write to stripes waits for all sites by itself.
    waits = quorum > 1 and not declared.set_name
    targets = [sites.store(declared.at(site), _URGENT) for site in declared.synchronous] if waits else []
    for target in targets:
        guard(vault, "replicate", asset=asset, to=target.site)

    def committed(root: Root) -> None:
        if waits:
            reached.append(
                copy_to_quorum(vault.handle, declared.home_site, root, targets, quorum, progress=sites.progress)
            )
        _require_still_home(sites, declared)

    return DeclaredSave(vault, declared, committed, reached)


def _require_still_home(sites: DeclaredSites, declared: DeclaredAsset) -> None:
    """No pointer moves at a home that was said to have failed while the save ran. Raises RefusedError."""
    sites.learn()
    state = sites.states.get(declared.home_site)
    if state is not None:
        raise RefusedError(
            f"while this was saved, its home changed: {declared.home_site} is {state}; no pointer moves there",
            hint=f"save again: {declared.name} has another home now; what lies at {declared.home_site} comes to the "
            f"others by `holdfast site rebuild {declared.home_site}`",
            object_name=declared.name,
        )


def _require_whole(sites: DeclaredSites, asset: DeclaredAsset) -> None:
    """Nothing is saved while a site of the set is empty or away: the snapshot could not lose another one.

    Raises RefusedError (a site answers, and holds nothing of the set), StoreUnreachableError (it does not answer). Who
    made a set with fewer `spares` chose that saves go on without some of its sites.
    """
    found = sites.stripes(asset.set_name).sites
    members = list(zip(asset.placement.sites, found.members, strict=True))
    empty = [site for site, member in members if member.vacant]
    failed = sites.failed_of(asset.set_name)
    away = [f"{site} {member.trouble}" for site, member in members if member.trouble and site not in failed]
    away += [f"{site} is taken for lost" for site in failed]
    if empty:
        raise RefusedError(
            f"{', '.join(empty)} answers, and holds nothing of the stripes of {asset.name}: nothing is saved so",
            hint=f"`holdfast site rebuild {empty[0]}` fills it",
            object_name=asset.name,
        )
    if len(away) > found.layout.n - found.layout.k - found.layout.spares:
        raise StoreUnreachableError(
            f"a save to the stripes of {asset.name} waits for all of its sites: {'; '.join(away)}",
            hint="wait for it, or put an empty store in its place and `holdfast site rebuild` it",
            object_name=asset.name,
        )
