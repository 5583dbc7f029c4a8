"""Copying a vault to another store: what a root reaches first, the root after it, pointers last.

What arrives is what was written: every object is checked against its name or checksum on the way, without any key. An
interrupted copy goes on where it was, because nothing that is there already is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import ConflictError, CredentialError, DamageError, NotFoundError, RefusedError
from holdfast.events import SILENT, Progress
from holdfast.ids import PackId, PartId
from holdfast.replication.planning import check_same_vault, packs_of
from holdfast.stores.protocol import Store
from holdfast.vault.handle import Handle
from holdfast.vault.index import ChunkIndex, write_index
from holdfast.vault.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, pack_key, part_key
from holdfast.vault.records import IndexedPack, Ref, Root
from holdfast.vault.refs import move_ref, read_newest_ref, read_ref
from holdfast.vault.scrubbing import scrub_object
from holdfast.vault.series import create_once
from holdfast.vault.snapshots import list_roots

__all__ = ["Replicated", "replicate", "mirror"]

_STREAMS = 4  # objects on their way at a time: what keeps a link busy while one waits for its answer


class Replicated(NamedTuple):
    """What a replication did. `arrived`: snapshots that are now whole at the target, newest first.

    `damaged`: object → what is wrong with it at the source; snapshots that need it are in `left_out`.
    """

    objects: int
    bytes: int
    arrived: list[str]
    left_out: list[str]
    damaged: dict[str, str]
    notes: list[str]


def replicate(source: Handle, target: Store, *, asset: str | None = None, progress: Progress = SILENT) -> Replicated:
    """Copy all snapshots (of one asset) and what they reach, the newest snapshot first.

    Needs a key that reads. Raises RefusedError when the target holds another vault, CredentialError, and what the
    stores raise; what was copied until then stays, and the next call goes on there.
    """
    source.keys.require_reader("replicating single snapshots")
    return _Replication(source, target, progress).run(asset)


def mirror(source: Store, target: Store, *, progress: Progress = SILENT) -> Replicated:
    """Copy every object of the vault, in the order that keeps the target sound at each moment. Needs no key."""
    check_same_vault(source, target)
    copier = _Copier(source, target, progress)
    copier.copy_all(CONFIG)
    for prefix in (PACKS, INDEX, PARTS, SNAPSHOTS, REFS):
        copier.copy_all(prefix)
        if copier.damaged and prefix == PARTS:
            break  # without keys nobody knows which roots need what is damaged: none is sent
    return Replicated(copier.objects, copier.bytes, [], [], copier.damaged, copier.notes)


class _Copier:
    """Copies single objects, checked, and counts."""

    def __init__(self, source: Store, target: Store, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._present: dict[str, set[str]] = {}
        self.objects = 0
        self.bytes = 0
        self.damaged: dict[str, str] = {}
        self.notes: list[str] = []

    def there(self, prefix: str) -> set[str]:
        """Keys with that prefix at the target, listed once."""
        if prefix not in self._present:
            self._present[prefix] = {info.key for info in self._target.list(prefix)}
        return self._present[prefix]

    def copy_all(self, prefix: str) -> None:
        infos = list(self._source.list(prefix))
        missing = [info.key for info in infos if info.key not in self.there(prefix)]
        self._progress.phase(f"copying {prefix.rstrip('/')}", sum(i.size for i in infos if i.key in set(missing)))
        self.copy(missing)

    def copy(self, keys: Iterable[str]) -> set[str]:
        """Copy these objects. Returns those that could not be, because they are damaged or gone at the source."""
        failed: set[str] = set()

        def one(key: str) -> None:
            try:
                size = self._copy_one(key)
            except (DamageError, NotFoundError) as error:
                self.damaged[key] = error.message
                failed.add(key)
                return
            self._progress.advance(size, size)

        with ThreadPoolExecutor(_STREAMS) as pool:
            list(pool.map(one, keys))
        return failed

    def _copy_one(self, key: str) -> int:
        data = self._source.get(key)
        scrub_object(key, data)
        if key.startswith((PACKS, INDEX)):
            self._target.put(key, data)
        elif not create_once(self._target, key, data) and not key.startswith(PARTS):
            raise ConflictError(f"{key} differs at {self._target.url}", object_name=key)
        self.objects += 1
        self.bytes += len(data)
        self._present.setdefault(key.split("/", 1)[0] + "/", set()).add(key)
        return len(data)


class _Replication:
    def __init__(self, source: Handle, target: Store, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._copier = _Copier(source.store, target, progress)
        self._listed: set[PackId] = set()

    def run(self, asset: str | None) -> Replicated:
        check_same_vault(self._source.store, self._target)
        self._source.refresh()
        copier = self._copier
        self._copy_config()
        self._listed = set(ChunkIndex.load(self._target, self._source.keys).packs())
        roots = list_roots(self._source, asset)
        for listed in roots:
            if listed.error is not None:
                copier.damaged[listed.key] = listed.error.message
        arrived, left_out = [], []
        newest_first = [listed for listed in reversed(roots) if listed.root is not None]
        for listed in newest_first:
            if listed.root is None:
                continue
            if listed.key in copier.there(SNAPSHOTS) or self._copy_snapshot(listed.key, listed.root):
                arrived.append(listed.root.id)
            else:
                left_out.append(listed.root.id)
        if not left_out:
            self._copy_refs(asset)
        else:
            copier.notes.append("pointers were not moved, because some snapshots did not arrive")
        return Replicated(copier.objects, copier.bytes, arrived, left_out, copier.damaged, copier.notes)

    def _copy_config(self) -> None:
        try:
            self._copier.copy_all(CONFIG)
        except ConflictError as error:
            raise RefusedError(
                f"the vault at {self._target.url} was configured by itself ({error.object_name} differs)",
                hint="replicate the other way round first, or choose another target",
            ) from error
        if self._copier.damaged:
            raise DamageError(next(iter(self._copier.damaged.values())), object_name=next(iter(self._copier.damaged)))

    def _copy_snapshot(self, key: str, root: Root) -> bool:
        """Packs, an index of them, parts, then the root. False when something that it needs is damaged."""
        copier = self._copier
        parts = [part_key(PartId(link.id.hex())) for link in root.parts]
        try:
            packs = packs_of(self._source, root)
        except DamageError as error:
            copier.damaged[error.object_name or key] = error.message
            return False
        missing = [pack_key(pack) for pack in packs if pack_key(pack) not in copier.there(PACKS)]
        index = self._source.index
        self._progress.phase(
            f"copying {root.id}", sum(index.packs()[pack] for pack in packs if pack_key(pack) in missing)
        )
        if copier.copy(missing):
            return False
        self._index_packs(packs)
        if copier.copy(part for part in parts if part not in copier.there(PARTS)):
            return False
        return not copier.copy([key])

    def _index_packs(self, packs: Iterable[PackId]) -> None:
        # Index objects list what was written together; the target may get other sets of packs, and gets its own.
        fresh = [pack for pack in packs if pack not in self._listed]
        self._listed.update(fresh)
        tables = [
            IndexedPack(bytes.fromhex(pack), size, table)
            for pack in fresh
            if (size := self._source.index.packs().get(pack)) is not None
            and (table := self._source.index.table(pack)) is not None
        ]
        if not tables:
            return
        if self._source.keys.can_write:
            key, data = write_index(self._source.keys, tables, self._source.clock.now_ns())
            if key not in self._copier.there(INDEX):
                self._target.put(key, data)
                self._copier.objects += 1
                self._copier.bytes += len(data)
        else:
            self._copier.copy_all(INDEX)

    def _copy_refs(self, asset: str | None) -> None:
        prefix = REFS if asset is None else f"{REFS}{self._source.keys.names.asset_key(asset)}/"
        newest: dict[str, str] = {}
        for info in self._source.store.list(prefix):
            newest[info.key.rsplit("/", 1)[0]] = info.key
            if info.key in self._copier.there(REFS):
                continue
            try:
                self._copier.copy([info.key])
            except ConflictError:
                self._copier.notes.append(f"{info.key} was written at both sites")
        target = Handle(self._target, self._source.keys, self._source.clock)
        for key in newest.values():
            self._settle_ref(target, read_ref(self._source, key))

    def _settle_ref(self, target: Handle, ref: Ref) -> None:
        """Where both sites moved a pointer, the later move wins, as a new generation."""
        there = read_newest_ref(target, ref.asset, ref.name)
        if there is None or there == ref or there.created >= ref.created:
            return
        try:
            move_ref(target, ref.asset, ref.name, ref.target, f"{ref.reason} (replicated)", ref.check)
        except CredentialError:
            self._copier.notes.append(
                f"{ref.name!r} of {ref.asset!r} differs at the target, and this key may not move it"
            )
