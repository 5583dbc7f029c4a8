"""Copying pointers: whole series of generations, and only where the snapshot that they lead to has arrived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from holdfast.errors import CredentialError, DamageError, NotFoundError
from holdfast.fanout.beside import at_once, for_each
from holdfast.ids import SnapshotId
from holdfast.replication.copying.asking import AskedStore
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.names import REFS, SNAPSHOTS, generation_of
from holdfast.vault.format.records import Ref
from holdfast.vault.format.series import series_of
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.advancing import advance_ref
from holdfast.vault.snapshots.finding import read_root
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, move_ref, read_newest_ref, read_ref

__all__ = ["copy_pointers", "mirror_pointers", "read_pointers_ahead", "refs_of"]


def copy_pointers(
    source: Handle, target: Handle, copier: ObjectCopier, asset: str | None, begin: Callable[[], None]
) -> None:
    """The pointers (of one asset) whose snapshots are at the target. What both sites moved is settled there.

    `target`: as it is now, for settling. `begin` opens the copy's lease there: called before a series is written from
    its end.
    """

    def one(generations: list[str]) -> None:
        try:
            _copy_pointer(source, target, copier, generations, begin)
        except (DamageError, NotFoundError, CredentialError) as error:
            copier.damaged.setdefault(error.object_name or generations[-1], error.message)

    for_each(one, _series(copier.source.list(refs_of(source, asset))))


def refs_of(handle: Handle, asset: str | None) -> str:
    """The prefix of all pointers (of one asset)."""
    return REFS if asset is None else f"{REFS}{handle.keys.names.asset_key(asset)}/"


def read_pointers_ahead(source: AskedStore, target: AskedStore, prefix: str, there: Collection[str]) -> None:
    """What copying these pointers reads: the newest generation of each, and the newest that both sites have.

    `there`: keys at the target.
    """
    newest, common = [], []
    for generations in _series(source.list(prefix)):
        newest.append(generations[-1])
        common.extend([key for key in generations if key in there][-1:])
    at_once(lambda: source.get_ahead([*newest, *common]), lambda: target.get_ahead(common))


def mirror_pointers(copier: ObjectCopier, listed: Sequence[ObjectInfo], *, since_ns: int | None = None) -> None:
    """These pointers, without any key: what both sites moved stays as it is at each of them.

    `since_ns`: only those that were moved since; older generations of theirs may lead to roots that are withheld.
    """
    copier.progress.phase("copying refs", None)
    moved_ns = {info.key: info.modified_ns for info in listed}
    for generations in _series(listed):
        if since_ns is not None and moved_ns[generations[-1]] < since_ns:
            continue
        if not copier.copy_series(generations, newest_first=since_ns is not None):
            copier.notes.append(f"{generations[-1]} was written at both sites; replicate with a key that reads")


def _series(listed: Iterable[ObjectInfo]) -> Iterator[list[str]]:
    """The keys of each pointer's generations, oldest first."""
    series: dict[str, list[str]] = {}
    for info in listed:
        if generation_of(info.key) is not None:
            series.setdefault(info.key.rpartition("/")[0], []).append(info.key)
    for prefix, keys in series.items():
        if counting := series_of(keys, f"{prefix}/").keys:
            yield counting


def _copy_pointer(
    source: Handle, target: Handle, copier: ObjectCopier, generations: list[str], begin: Callable[[], None]
) -> None:
    """The whole series, without gaps, if the snapshot that it leads to has arrived.

    Older generations may name snapshots that were dropped, and never arrive. As the newest one at the target may lead
    nowhere not even for a moment, such a series is written from its end. Broken off, that leaves a gap, which the
    next copy fills; until then the lease tells `check` what it is.
    """
    ref = read_ref(source, generations[-1])
    if not _has_arrived(source, copier, ref):
        copier.notes.append(f"{ref.name!r} of {ref.asset!r} was not moved: its snapshot {ref.target} did not arrive")
        return
    older = [key for key in generations[:-1] if key not in copier.there(REFS)]
    newest_first = any(_leads_nowhere(source, copier, key) for key in older)
    if newest_first:
        begin()
        # What somebody moved there since the listing would be history at once, as if it had been moved before.
        copier.saw(target.store.list(generations[-1][:-10]))
    was_there = generations[-1] in copier.there(REFS)
    copied = copier.copy_series(generations, newest_first=newest_first)
    if not copied or not _is_newest(copier, generations[-1], written=not was_there):
        _settle(target, copier, ref)


def _is_newest(copier: ObjectCopier, key: str, *, written: bool) -> bool:
    """Whether the target's newest generation of a pointer is this one of the source. `written`: by this copy."""
    prefix = key[:-10]
    there = series_of((other for other in list(copier.there(REFS)) if other.startswith(prefix)), prefix).keys
    return there[-1:] == [key] and (written or copier.source.get(key) == copier.target.get(key))


def _leads_nowhere(source: Handle, copier: ObjectCopier, key: str) -> bool:
    try:
        return not _has_arrived(source, copier, read_ref(source, key))
    except (DamageError, NotFoundError, CredentialError):
        return True  # copying it tells what is wrong with it


def _has_arrived(source: Handle, copier: ObjectCopier, ref: Ref) -> bool:
    return not ref.target or _root_key(source, ref) in copier.there(SNAPSHOTS)


def _settle(target: Handle, copier: ObjectCopier, ref: Ref) -> None:
    """Where both sites moved a pointer: for `latest` and `validated` the newest content wins, else the later move."""
    there = read_newest_ref(target, ref.asset, ref.name)
    if there is None or there.target == ref.target:
        return
    reason = f"{ref.reason} (replicated)"
    try:
        if ref.name in (LATEST, VALIDATED) and ref.target:
            advance_ref(target, read_root(target, _root_key(target, ref)), ref.name, reason, ref.check)
        elif there.created < ref.created:
            move_ref(target, ref.asset, ref.name, ref.target, reason, ref.check)
    except CredentialError:
        copier.notes.append(f"{ref.name!r} of {ref.asset!r} differs at the target, and this key may not move it")


def _root_key(handle: Handle, ref: Ref) -> str:
    return handle.keys.names.snapshot_key(ref.asset, SnapshotId(ref.target))
