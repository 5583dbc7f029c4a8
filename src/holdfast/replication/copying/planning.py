"""What a replication has to copy, found out without writing anything."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import DamageError, NotFoundError, RefusedError, UntrustedError, WrongKeyError
from holdfast.events import SILENT
from holdfast.replication.copying.arriving import Arrivals
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.objects import ObjectCopier, check_same_config
from holdfast.replication.copying.thinned import ThinnedSides, link_keys
from holdfast.replication.copying.trusting import newest_config, sort_generations
from holdfast.stores.protocol import Store
from holdfast.vault.access.configuration import read_vault_id
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, pack_key
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["ReplicationPlan", "plan_replication", "plan_mirror", "packs_of", "check_same_vault"]


class ReplicationPlan(NamedTuple):
    """Objects that the target lacks, and their bytes. Index objects are left out: the target gets one of its own.

    `arriving`: snapshots that the target lacks, newest first; `present`: those that it has. `damaged`: object → what is
    wrong with it at the source, as far as manifests tell; snapshots that need it are in `left_out`.
    """

    objects: int
    bytes: int
    arriving: list[str]
    present: list[str]
    left_out: list[str]
    damaged: dict[str, str]


def plan_replication(source: Handle, target: Store, *, asset: str | None = None) -> ReplicationPlan:
    """What `replicate` would copy. Reads manifests at both sites, no packs. Raises what `replicate` raises before it
    writes.
    """
    source.keys.require_reader("replicating single snapshots")
    check_same_vault(source.store, target)
    source.refresh()
    copier = ObjectCopier(source.store, target, source.progress)
    there = Handle(target, source.keys, source.clock, source.progress)
    thinned = ThinnedSides(source, there)
    arrivals = Arrivals(there, copier, thinned)
    roots = list_roots(source, asset)
    sizes = {info.key: info.size for prefix in (PARTS, SNAPSHOTS, THINNED) for info in source.store.list(prefix)}
    packs_here = {info.key for info in source.store.list(PACKS)}
    plan = ReplicationPlan(0, 0, [], [], [], {})
    wanted = _wanted_config(source, copier, plan) | _wanted_pointers(source, copier, asset)
    for listed in reversed(roots):
        if listed.root is None:
            plan.damaged[listed.key] = listed.error.message if listed.error is not None else "it cannot be read"
            continue
        if arrivals.is_whole(listed.key, listed.root):
            plan.present.append(listed.root.id)
            continue
        links = thinned.links(listed.root)
        try:
            packs = packs_of(source, listed.root, packs_here | copier.there(PACKS).keys(), links)
        except (DamageError, UntrustedError, WrongKeyError) as error:
            plan.damaged[error.object_name or listed.key] = error.message
            plan.left_out.append(listed.root.id)
            continue
        missing = {pack_key(pack): size for pack, size in packs.items() if not copier.has(pack_key(pack), size)}
        gone = missing.keys() - packs_here
        if gone:
            plan.damaged.update({key: f"{key} is missing from {source.store.url}" for key in gone})
            plan.left_out.append(listed.root.id)
            continue
        plan.arriving.append(listed.root.id)
        objects = [key for key in link_keys(links) if not arrivals.has_part(key)]
        objects += thinned.missing(listed.root)
        objects += [] if arrivals.has_root(listed.key, listed.root) else [listed.key]
        # What was deleted since it was read is counted without its size.
        wanted |= missing | {key: sizes.get(key, 0) for key in objects}
    return plan._replace(objects=len(wanted), bytes=sum(wanted.values()))


def plan_mirror(source: Store, target: Store) -> ReplicationPlan:
    """What `mirror` would copy. Needs no key, and so tells no snapshots apart."""
    check_same_vault(source, target)
    copier = ObjectCopier(source, target, SILENT)
    generations = sort_generations(source, newest_config(target))
    for key in generations.counting:
        if copier.has(key, 0):
            check_same_config(source, target, key)
    missing = [
        info.size
        for prefix in (CONFIG, PACKS, INDEX, PARTS, THINNED, SNAPSHOTS, REFS)
        for info in source.list(prefix)
        if info.key not in generations.forged and not copier.has(info.key, info.size)
    ]
    damaged = {key: f"{key} is not signed by a keeper whom this vault trusts" for key in generations.forged}
    return ReplicationPlan(len(missing), sum(missing), [], [], [], damaged)


def check_same_vault(source: Store, target: Store) -> None:
    """Raises RefusedError when the target holds another vault; NotFoundError when the source holds none."""
    here = read_vault_id(source)
    try:
        there = read_vault_id(target)
    except NotFoundError:
        return
    if there != here:
        raise RefusedError(
            f"{target.url} holds another vault ({there}, not {here})", hint="choose an empty place for the replica"
        )


def _wanted_config(source: Handle, copier: ObjectCopier, plan: ReplicationPlan) -> dict[str, int]:
    """Generations that count and that the target lacks. Raises RefusedError when it wrote other ones by itself."""
    generations = sort_generations(source.store, source.keys.config)
    plan.damaged.update({key: f"{key} is not signed by a keeper whom this vault trusts" for key in generations.forged})
    sizes = {info.key: info.size for info in source.store.list(CONFIG)}
    for key in generations.counting:
        if copier.has(key, 0):
            check_same_config(source.store, copier.target, key)
    return {key: sizes.get(key, 0) for key in generations.counting if not copier.has(key, 0)}


def _wanted_pointers(source: Handle, copier: ObjectCopier, asset: str | None) -> dict[str, int]:
    prefix = REFS if asset is None else f"{REFS}{source.keys.names.asset_key(asset)}/"
    return {info.key: info.size for info in source.store.list(prefix) if not copier.has(info.key, info.size)}
