"""Copying a vault object by object, without any key, so that the target is sound at each moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from holdfast.events import SILENT, Progress
from holdfast.replication.objects import ObjectCopier
from holdfast.replication.planning import check_same_vault
from holdfast.replication.pointers import mirror_pointers
from holdfast.replication.replicated import Replicated
from holdfast.replication.thinned import mirror_thinned
from holdfast.replication.trusting import newest_config, sort_generations
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.vault.format.names import INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED

__all__ = ["mirror"]


def mirror(source: Store, target: Store, *, progress: Progress = SILENT) -> Replicated:
    """Copy every object that the vault has now, in the order that keeps the target sound at each moment. Needs no key.

    Of the configuration, only what a keeper signed whom the target's newest generation trusts (or, at a new target, the
    source's oldest). Without keys nobody knows which snapshots need what is damaged at the source: see `_after_damage`.
    Raises RefusedError when the target holds another vault, DamageError for a damaged configuration.
    """
    check_same_vault(source, target)
    copier = ObjectCopier(source, target, progress)
    # What is added while the copying runs is for the next time: its packs may have come after theirs were listed.
    pointers, roots = list(source.list(REFS)), list(source.list(SNAPSHOTS))
    thinned = list(source.list(THINNED))  # before the parts: what is given up after this is there for a while
    copier.copy_config(sort_generations(source, newest_config(target)))
    for prefix in (PACKS, INDEX, PARTS):
        copier.copy_all(prefix)
    mirror_thinned(copier, thinned)
    damaged = {key for key in copier.damaged if key.startswith((PACKS, PARTS))}
    if not damaged:
        copier.copy_listed(SNAPSHOTS, roots)
        mirror_pointers(copier, pointers)
        return _told(copier, [])
    beginning = _after_damage(source, damaged, roots)
    if beginning is not None:
        copier.copy_listed(SNAPSHOTS, [info for info in roots if info.modified_ns >= beginning])
        mirror_pointers(copier, pointers, since_ns=beginning)
    return _told(copier, [info.key for info in roots if info.key not in copier.there(SNAPSHOTS)])


def _after_damage(source: Store, damaged: Collection[str], roots: Iterable[ObjectInfo]) -> int | None:
    """From which time on roots are sent in spite of damage; None: not at all.

    What is damaged was written for the first root after it. That one is withheld, and so are those before it: the times
    prove nothing. The later ones may share what is damaged, and are sent: else no new snapshot would ever arrive.
    """
    times = [info.modified_ns for prefix in (PACKS, PARTS) for info in source.list(prefix) if info.key in damaged]
    if len(times) < len(damaged):
        return None  # something went while we looked; the next run knows better
    after = sorted({info.modified_ns for info in roots if info.modified_ns >= max(times)})
    return after[1] if len(after) > 1 else None


def _told(copier: ObjectCopier, withheld: list[str]) -> Replicated:
    if withheld:
        copier.notes.append(
            f"{len(withheld)} snapshots, and pointers of their time, were not sent: they may need what is damaged; "
            "replicate with a key that reads, which can tell"
        )
    return Replicated(copier.objects, copier.bytes, [], withheld, copier.damaged, copier.notes)
