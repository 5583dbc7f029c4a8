"""Copying a vault's snapshots to another store: what a root reaches first, the root after it, pointers last.

What arrives is what was written: every object is checked against its name or checksum on the way. An interrupted copy
goes on where it was, because nothing that is there and sound is sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from holdfast.errors import CredentialError, DamageError, NotFoundError, UntrustedError, WrongKeyError
from holdfast.events import SILENT, Progress
from holdfast.fanout.beside import at_once
from holdfast.ids import PackId
from holdfast.replication.copying.arriving import Arrivals
from holdfast.replication.copying.asking import AskedStore
from holdfast.replication.copying.claiming import Claims
from holdfast.replication.copying.lanes import NORMAL, Lane
from holdfast.replication.copying.looking import look_at_both
from holdfast.replication.copying.mirroring import mirror
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.planning import check_same_vault
from holdfast.replication.copying.pointers import copy_pointers, read_pointers_ahead
from holdfast.replication.copying.replicated import Replicated
from holdfast.replication.copying.thinned import ThinnedSides, link_keys
from holdfast.replication.copying.trusting import sort_generations
from holdfast.stores.protocol import Store
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED, Verified, verify_decoded
from holdfast.vault.format.names import INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, pack_key
from holdfast.vault.format.records import IndexedPack, Root
from holdfast.vault.handle import Handle
from holdfast.vault.index import write_index
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.locking.setting import LockSetting, read_setting
from holdfast.vault.snapshots.finding import Listed, list_roots

__all__ = ["Replicated", "replicate", "mirror"]

_AT_ONCE = 8  # snapshots of which is read together what the target has


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
        return _Replication(source, target, asset, lane, priority, progress, carrier).run(recheck, verify, only)


class _Replication:
    """Both stores are seen through an `AskedStore`; `_target` is the target as it is, without that."""

    def __init__(
        self,
        source: Handle,
        target: Store,
        asset: str | None,
        lane: Lane | None,
        priority: int,
        progress: Progress,
        carrier: Carrier | None,
    ) -> None:
        keys = source.keys
        self._here, self._there = AskedStore(source.store), AskedStore(target)
        # A handle that lets replicas stand in for what it cannot read has its own way to read.
        self._source = replace(source, store=self._here) if type(source) is Handle else source
        self._source.refresh()
        source.refresh()
        self._target = Handle(target, keys, source.clock, progress)
        self._seen = Handle(self._there, keys, source.clock, progress)
        self._progress = progress
        self._asset = asset
        below = "" if asset is None else f"{keys.names.asset_key(asset)}/"
        self._scopes = {prefix: f"{prefix}{below}" for prefix in (SNAPSHOTS, THINNED, REFS)}
        self._copier = ObjectCopier(self._here, self._there, progress, lane, priority, carrier, self._scopes)
        self._claims = Claims(self._target, self._look_again)
        self._stored: set[str] | None = None  # keys of packs that can be had at the source, or are at the target
        self._listed: set[PackId] | None = None  # packs that the target's index lists
        self._pointers_read = False

    def run(self, recheck: bool, verify: bool, only: Collection[str] | None) -> Replicated:
        source, copier = self._source, self._copier
        look_at_both(self._here, self._there, self._scopes, recheck=recheck, seen=only is not None)
        check_same_vault(self._here, self._there)
        self._thinned = ThinnedSides(source, self._seen, self._asset, settling=self._target)
        self._arrivals = Arrivals(self._seen, copier, self._thinned)
        copier.copy_config(sort_generations(self._here, source.keys.config))
        with self._claims:
            return self._copy_all(recheck, verify, only)

    def _look_again(self) -> None:
        self._copier.look_again()
        self._there.forget_listings()
        for prefix in (SNAPSHOTS, PARTS):
            self._there.forget_objects(prefix)
        self._arrivals.look_again()
        self._seen.refresh()
        at_once(*self._there.ask([PACKS, INDEX, PARTS, self._scopes[SNAPSHOTS], self._scopes[REFS]]))

    def _copy_all(self, recheck: bool, verify: bool, only: Collection[str] | None) -> Replicated:
        source, copier = self._source, self._copier
        arrived: dict[str, Root] = {}
        left_out: list[str] = []
        clock = source.clock
        began = clock.monotonic()
        listed_roots = [
            one
            for one in reversed(list_roots(source, self._asset))
            if only is None or one.key.rpartition("/")[2] in only
        ]
        self._prepare([one.root for one in listed_roots if one.root and one.key not in copier.there(SNAPSHOTS)])
        for number, listed in enumerate(listed_roots):
            if recheck and number % _AT_ONCE == 0:
                self._read_there(listed_roots[number : number + _AT_ONCE])
            if listed.root is None:
                copier.damaged[listed.key] = listed.error.message if listed.error is not None else "it cannot be read"
            elif self._bring(listed.key, listed.root, recheck):
                arrived[listed.root.id] = listed.root
            else:
                left_out.append(listed.root.id)
        copied = clock.monotonic()
        setting: list[LockSetting | None] = []
        verified, *_ = at_once(
            lambda: self._verify_newest(arrived, left_out) if verify else None,
            self._copy_pointers,
            lambda: setting.append(read_setting(self._target)),
        )
        verifying_s = clock.monotonic() - copied
        if setting[0] is not None:
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

    def _read_there(self, listed: Sequence[Listed]) -> None:
        """What the target has of these snapshots, so that `Arrivals` finds it at hand."""
        for prefix in (SNAPSHOTS, PARTS):
            self._there.forget_objects(prefix)
        there = {one.key: one.root for one in listed if one.root and one.key in self._copier.there(SNAPSHOTS)}
        parts = (part for root in there.values() for part in link_keys(self._thinned.links(root)))
        self._there.get_ahead([*there, *parts])

    def _prepare(self, missing: Sequence[Root]) -> None:
        """Open the lease if there is something to copy, and meanwhile read at the source what is needed first."""
        if missing:
            at_once(self._claims.begin, lambda: self._read_source(missing[0]))

    def _read_source(self, root: Root) -> None:
        """The packs of the source, and the parts of a snapshot there."""
        if self._stored is None:
            self._source.index.add_unlisted(self._here, self._source.keys, self._progress)
            self._stored = {info.key for info in self._here.list(PACKS)}
        self._here.get_ahead(link_keys(self._thinned.links(root)))

    def _copy_snapshot(self, key: str, root: Root) -> bool:
        """Packs, an index of them, parts, what was given up, then the root. False when something needed is damaged."""
        Proofs(self._target).forget(snapshots=[root.id])  # it was read back there, was it? It is not there any more
        copier = self._copier
        if not self._claims.claim(link_keys(self._thinned.links(root))):
            return False
        self._read_source(root)
        packs: list[Iterable[PackId] | None] = []
        at_once(lambda: packs.append(self._copy_packs(key, root)), self._read_listed, self._read_pointers)
        if packs[0] is None:
            return False
        reached = packs[0]
        failed: list[set[str]] = []
        at_once(
            lambda: self._index_packs(reached),
            lambda: failed.append(self._copy_parts(root)),
            lambda: self._here.get_ahead([key]),
        )
        self._here.forget_objects(PARTS)
        if failed[0]:
            return False
        self._thinned.bring(copier, root)
        self._claims.keep()
        return self._arrivals.has_root(key, root) or not copier.copy([key], replace=[key])

    def _copy_parts(self, root: Root) -> set[str]:
        """Those that the target lacks. Returns those that could not be copied."""
        parts = self._arrivals.missing_parts(link_keys(self._thinned.links(root)))
        return self._copier.copy(parts, replace=parts)

    def _read_listed(self) -> None:
        if self._listed is None:
            self._listed = self._seen.index.listed()

    def _read_pointers(self) -> None:
        """What will be asked about the pointers, while packs are on their way."""
        if not self._pointers_read:
            self._pointers_read = True
            there = self._copier.there(REFS)
            read_pointers_ahead(self._here, self._there, self._scopes[REFS], there)

    def _copy_pointers(self) -> None:
        self._read_pointers()
        copy_pointers(self._source, self._target, self._copier, self._asset, self._claims.begin)

    def _copy_packs(self, key: str, root: Root) -> Iterable[PackId] | None:
        """The packs that hold the snapshot's chunks, copied. None when one is damaged and no other holds the same."""
        copier, index = self._copier, self._source.index
        stored = (self._stored or set()) | copier.there(PACKS).keys()
        failed: set[str] = set()
        while True:
            try:
                packs = packs_of(self._source, root, stored, self._thinned.links(root))
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
        listed = self._listed if self._listed is not None else set()
        fresh = [pack for pack in packs if pack not in listed]
        listed.update(fresh)
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
            verified, _ = at_once(lambda: verify_decoded(self._target, root), self._load_index)
            Proofs(self._target).credit_snapshot(newest, DECODED)
            return verified
        except (DamageError, NotFoundError, CredentialError) as error:
            self._copier.damaged[error.object_name or newest] = f"{error.message}, at {self._target.store.url}"
            del arrived[newest]
            left_out.insert(0, newest)
            return None

    def _load_index(self) -> None:
        """While the parts are read; whoever needs it waits for it."""
        _ = self._target.index
