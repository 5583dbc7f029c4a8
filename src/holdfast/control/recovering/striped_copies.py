"""What a set of stripes still gives when sites are taken for lost: one copy, read from those that are left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.striped import survives
from holdfast.errors import HoldfastError, RefusedError
from holdfast.replication.following.views import View
from holdfast.replication.striping import Survey, adopt_home, survey_stripes
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import content_time, list_roots

__all__ = ["SetCopy", "copy_in_set", "move_set_homes"]

_LOOKED_AT = 32  # of the newest snapshots: whether the others give them; older ones count as not whole


class SetCopy(NamedTuple):
    """`view`: as a store's, called like the set, at the site nearest to the recovery that is left. `broken`: snapshots
    that cannot be read whole without the sites that are taken for lost.
    """

    view: View
    broken: frozenset[str]


def copy_in_set(
    sites: DeclaredSites, own: Handle, asset: DeclaredAsset, lost: Collection[str], to: Sequence[str]
) -> SetCopy:
    """Raises nothing: what is the matter with the set is the view's problem."""
    name = asset.set_name
    left = [site for site in asset.placement.sites if site not in lost and site not in sites.states]
    near = next((site for site in (*to, *left) if site in left), asset.placement.sites[0])
    try:
        store = sites.stripes(name)
        handle = Handle(store, own.keys, own.clock, sites.progress, own.workers)
        roots = {one.root.id: one.root for one in list_roots(handle, asset.name) if one.root is not None}
        gone = [position for position, site in enumerate(asset.placement.sites) if site in lost]
        if len(gone) > 1:
            raise RefusedError(f"{len(gone)} sites of {name} are taken for lost at once", object_name=name)
        broken = _broken(handle, roots.values(), survey_stripes(store), gone[0]) if gone else frozenset[str]()
    except HoldfastError as error:
        return SetCopy(View(name, near, error, {}, {}), frozenset())
    return SetCopy(View(name, near, None, {asset.name: roots}, {}), broken)


def _broken(handle: Handle, roots: Collection[Root], survey: Survey, position: int) -> frozenset[str]:
    newest = sorted(roots, key=lambda root: (content_time(root), root.id), reverse=True)
    if not survey.is_readable_without(position):
        return frozenset(root.id for root in newest)
    kept = {root.id for root in newest[:_LOOKED_AT] if survives(handle, root, survey, position)}
    return frozenset(root.id for root in newest if root.id not in kept)


def move_set_homes(sites: DeclaredSites, fenced: str, reason: str) -> None:
    """Of the sets whose home is a site that counts as failed now: the next sound site of each becomes the home, for
    good, as `site fail` does it. Done already: nothing. Raises what `adopt_home` raises.
    """
    for name in dict.fromkeys(asset.set_name for asset in sites.assets.values() if asset.set_name):
        asset = next(one for one in sites.assets.values() if one.set_name == name)
        if fenced not in asset.placement.sites:
            continue
        store = sites.stripes(name)
        if asset.placement.sites[store.layout.home] != fenced:
            continue
        next_home = next((site for site in asset.placement.sites if site not in sites.states), "")
        if next_home:
            adopt_home(store, asset.placement.sites.index(next_home), reason=reason)
