"""Copying a vault's snapshots to another store: what a root reaches first, the root after it, pointers last.

What arrives is what was written: every object is checked against its name or checksum on the way. An interrupted copy
goes on where it was, because nothing that is there and sound is sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext

from holdfast.errors import CredentialError, DamageError, NotFoundError, UntrustedError, WrongKeyError
from holdfast.events import SILENT, Progress
from holdfast.ids import PackId
from holdfast.replication.copying.arriving import Arrivals
from holdfast.replication.copying.claiming import Claims
from holdfast.replication.copying.lanes import NORMAL, Lane
from holdfast.replication.copying.mirroring import mirror
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.planning import check_same_vault
from holdfast.replication.copying.pointers import copy_pointers
from holdfast.replication.copying.replicated import Replicated
from holdfast.replication.copying.thinned import ThinnedSides, link_keys
from holdfast.replication.copying.trusting import sort_generations
from holdfast.stores.protocol import Store
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED, Verified, verify_decoded
from holdfast.vault.format.names import INDEX, PACKS, SNAPSHOTS, pack_key
from holdfast.vault.format.records import IndexedPack, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.locking.setting import read_setting
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Replicated", "replicate", "mirror"]


def replicate(
    source: Handle,
    target: Store,
    *,
    asset: str | None = None,
    recheck: bool = True,
    verify: bool = False,
    only: Collection[str] | None = None,
    lane: Lane | None = None,
    priority: int = NORMAL,
    carrier: Carrier | None = None,
    progress: Progress = SILENT,
) -> Replicated:
    """Copy all snapshots (of one asset) and what they reach, the newest snapshot first.

    `only`: the ids of those that are to be copied; pointers move as far as what they lead to is there. `lane`: shared
    with the other copies to this target, among which this one has `priority`. `carrier`: who copies the packs, by
    default threads of this process.

    Of a snapshot that is at the target, its root and parts are read there, and its packs looked for by name and size;
    what is damaged or missing is sent again. Without `recheck` such a snapshot is taken as whole: for who has looked a
    moment ago. With `verify` the newest one is read back there, every byte of it: the pointer `validated` of a replica
    is a copy, and says what was read at the source.

    Needs a key that reads. Raises RefusedError when the target holds another vault, CredentialError, and what the
    stores raise; what was copied until then stays, and the next call goes on there.
    """
    source.keys.require_reader("replicating single snapshots")
    with nullcontext() if lane is None else lane.copying(priority):
        return _Replication(source, target, lane, priority, progress, carrier).run(asset, recheck, verify, only)


class _Replication:
    def __init__(
        self,
        source: Handle,
        target: Store,
        lane: Lane | None,
        priority: int,
        progress: Progress,
        carrier: Carrier | None,
    ) -> None:
        self._source = source
        self._target = Handle(target, source.keys, source.clock, progress)
        self._progress = progress
        self._copier = ObjectCopier(source.store, target, progress, lane, priority, carrier)
        self._thinned = ThinnedSides(source, self._target)
        self._arrivals = Arrivals(self._target, self._copier, self._thinned)
        self._listed: set[PackId] = set()
        self._claims = Claims(self._target, self._copier.look_again)

    def run(self, asset: str | None, recheck: bool, verify: bool, only: Collection[str] | None) -> Replicated:
        source, copier = self._source, self._copier
        check_same_vault(source.store, self._target.store)
        source.refresh()
        source.index.add_unlisted(source.store, source.keys, self._progress)
        copier.copy_config(sort_generations(source.store, source.keys.config))
        with self._claims:
            return self._copy_all(asset, recheck, verify, only)

    def _copy_all(self, asset: str | None, recheck: bool, verify: bool, only: Collection[str] | None) -> Replicated:
        source, copier = self._source, self._copier
        self._listed = self._target.index.listed()
        self._stored = {info.key for info in source.store.list(PACKS)} | copier.there(PACKS).keys()
        arrived: dict[str, Root] = {}
        left_out: list[str] = []
        clock = source.clock
        began = clock.monotonic()
        for listed in reversed(list_roots(source, asset)):
            if only is not None and listed.key.rpartition("/")[2] not in only:
                continue
            if listed.root is None:
                copier.damaged[listed.key] = listed.error.message if listed.error is not None else "it cannot be read"
            elif self._bring(listed.key, listed.root, recheck):
                arrived[listed.root.id] = listed.root
            else:
                left_out.append(listed.root.id)
        copied = clock.monotonic()
        verified = self._verify_newest(arrived, left_out) if verify else None
        verifying_s = clock.monotonic() - copied
        copy_pointers(source, copier, asset, self._claims.begin)
        self._lock(arrived.values())
        return Replicated(
            copier.objects,
            copier.bytes,
            list(arrived),
            left_out,
            copier.damaged,
            copier.notes,
            verified,
            copied - began,
            verifying_s,
        )

    def _lock(self, arrived: Iterable[Root]) -> None:
        """Each site locks for as long as its own setting says."""
        if read_setting(self._target) is None:
            return
        self._target.refresh()
        for root in arrived:
            protect_snapshot(self._target, root)

    def _bring(self, key: str, root: Root, recheck: bool) -> bool:
        """Whether the snapshot is whole at the target, or is now."""
        if key in self._copier.there(SNAPSHOTS):
            self._thinned.bring(self._copier, root)
            if not recheck or self._arrivals.is_whole(key, root):
                return True
        return self._copy_snapshot(key, root)

    def _copy_snapshot(self, key: str, root: Root) -> bool:
        """Packs, an index of them, parts, what was given up, then the root. False when something needed is damaged."""
        Proofs(self._target).forget(snapshots=[root.id])  # it was read back there, was it? It is not there any more
        copier, arrivals = self._copier, self._arrivals
        if not self._claims.claim(link_keys(self._thinned.links(root))):
            return False
        packs = self._copy_packs(key, root)
        if packs is None:
            return False
        self._index_packs(packs)
        parts = [part for part in link_keys(self._thinned.links(root)) if not arrivals.has_part(part)]
        if copier.copy(parts, replace=parts):
            return False
        self._thinned.bring(copier, root)
        self._claims.keep()
        return arrivals.has_root(key, root) or not copier.copy([key], replace=[key])

    def _copy_packs(self, key: str, root: Root) -> Iterable[PackId] | None:
        """The packs that hold the snapshot's chunks, copied. None when one is damaged and no other holds the same."""
        copier, index = self._copier, self._source.index
        failed: set[str] = set()
        while True:
            try:
                packs = packs_of(self._source, root, self._stored, self._thinned.links(root))
            except (DamageError, UntrustedError, WrongKeyError) as error:
                if not failed:
                    copier.damaged[error.object_name or key] = error.message
                return None
            if not self._claims.claim(pack_key(pack) for pack in packs):
                return None
            missing = {pack_key(pack): size for pack, size in packs.items() if not copier.has(pack_key(pack), size)}
            self._progress.phase(f"copying {root.id}", sum(missing.values()))
            failed = copier.copy(missing)
            if not failed:
                return packs
            for name in failed:
                index.forget_pack(PackId(name.rpartition("/")[2]))

    def _index_packs(self, packs: Iterable[PackId]) -> None:
        # Index objects list what was written together; the target may get other sets of packs, and gets its own.
        fresh = [pack for pack in packs if pack not in self._listed]
        self._listed.update(fresh)
        tables = [
            IndexedPack(bytes.fromhex(pack), size, table)
            for pack in fresh
            if (size := self._source.index.size_of(pack)) is not None
            and (table := self._source.index.table(pack)) is not None
        ]
        if not tables:
            return
        if self._source.keys.can_write:
            key, data = write_index(self._source.keys, tables, self._source.clock.now_ns())
            if key not in self._copier.there(INDEX):
                self._copier.put(key, data)
        else:
            self._copier.copy_all(INDEX)

    def _verify_newest(self, arrived: dict[str, Root], left_out: list[str]) -> Verified | None:
        """Read the newest snapshot back at the target. One that does not read back has not arrived."""
        if not arrived:
            return None
        newest, root = next(iter(arrived.items()))
        self._target.refresh()
        try:
            verified = verify_decoded(self._target, root)
            Proofs(self._target).credit_snapshot(newest, DECODED)
            return verified
        except (DamageError, NotFoundError, CredentialError) as error:
            self._copier.damaged[error.object_name or newest] = f"{error.message}, at {self._target.store.url}"
            del arrived[newest]
            left_out.insert(0, newest)
            return None
