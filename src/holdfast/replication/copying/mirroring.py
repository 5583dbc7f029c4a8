"""Copying a vault object by object, without any key, so that the target is sound at each moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from holdfast.events import SILENT, Progress
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.planning import check_same_vault
from holdfast.replication.copying.pointers import mirror_pointers
from holdfast.replication.copying.replicated import Replicated
from holdfast.replication.copying.thinned import mirror_thinned
from holdfast.replication.copying.trusting import newest_config, sort_generations
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.vault.format.names import INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED

__all__ = ["mirror"]

_ATTEMPTS = 5


def mirror(source: Store, target: Store, *, carrier: Carrier | None = None, progress: Progress = SILENT) -> Replicated:
    """Copy every object that the vault has now, in the order that keeps the target sound at each moment. Needs no key.

    Of the configuration, only what a keeper signed whom the target's newest generation trusts (or, at a new target, the
    source's oldest). Without keys nobody knows which snapshots need what is damaged at the source: see `_after_damage`.
    `carrier`: who copies the packs, by default threads of this process. Raises RefusedError when the target holds
    another vault, DamageError for a damaged configuration.
    """
    check_same_vault(source, target)
    copier = ObjectCopier(source, target, progress, carrier=carrier)
    # What is added while the copying runs is for the next time: its packs may have come after theirs were listed.
    pointers, roots = list(source.list(REFS)), list(source.list(SNAPSHOTS))
    thinned = list(source.list(THINNED))  # before the parts: what is given up after this is there for a while
    copier.copy_config(sort_generations(source, newest_config(target)))
    if not _copy_what_roots_need(copier):
        copier.notes.append("the source is being collected: snapshots and pointers are sent the next time")
        return _told(copier, [])._replace(left_out=_lacking(copier, roots))
    mirror_thinned(copier, thinned)
    damaged = {key for key in copier.damaged if key.startswith((PACKS, PARTS))}
    if not damaged:
        _copy_roots(copier, roots, pointers)
        return _told(copier, [])
    beginning = _after_damage(source, damaged, roots)
    if beginning is not None:
        _copy_roots(copier, [info for info in roots if info.modified_ns >= beginning], pointers, since_ns=beginning)
    return _told(copier, _lacking(copier, roots))


def _copy_what_roots_need(copier: ObjectCopier) -> bool:
    """Packs, index and parts, all that there are at one time. False when some went whenever they were to be read.

    A pack that is collected may have been rewritten: what holds its chunks now was perhaps not listed before.
    """
    for _ in range(_ATTEMPTS):
        gone = [copier.copy_all(prefix) for prefix in (PACKS, INDEX, PARTS)]
        if not any(gone):
            return True
    return False


def _copy_roots(
    copier: ObjectCopier, roots: Iterable[ObjectInfo], pointers: Sequence[ObjectInfo], *, since_ns: int | None = None
) -> None:
    """Pointers only if no root was dropped meanwhile: they may lead to that one."""
    if copier.copy_listed(SNAPSHOTS, roots):
        copier.notes.append("a snapshot was dropped meanwhile: pointers are sent the next time")
        return
    mirror_pointers(copier, pointers, since_ns=since_ns)


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


def _lacking(copier: ObjectCopier, roots: Iterable[ObjectInfo]) -> list[str]:
    return [info.key for info in roots if info.key not in copier.there(SNAPSHOTS)]


def _told(copier: ObjectCopier, withheld: list[str]) -> Replicated:
    if withheld:
        copier.notes.append(
            f"{len(withheld)} snapshots, and pointers of their time, were not sent: they may need what is damaged; "
            "replicate with a key that reads, which can tell"
        )
    return Replicated(copier.objects, copier.bytes, [], withheld, copier.damaged, copier.notes)
