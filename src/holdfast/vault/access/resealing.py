"""Sealing what was written in earlier epochs anew: the packs of a vault move into the newest epoch.

By the means of a collection (`design/003-collecting.md`): live chunks are written into new packs, these are read back
and found good, and the old packs are condemned; `collect` deletes them when nobody can rely on them any more. Until
then, and in every copy of the store that somebody kept, they open with the old keys.

Parts, roots, pointers and thinnings stay in their epochs: a root's signature covers the sealed key, so that only its
signer could seal it anew, and a part's name stands in roots. They tell names, sizes and statistics, but no content.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from holdfast.errors import DamageError, NotFoundError, UsageError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import ObjectInfo
from holdfast.trust.suites import Suite
from holdfast.vault.collecting.invalidating import invalidate
from holdfast.vault.collecting.leases import HeldLease, seen_leases
from holdfast.vault.collecting.marking import Marked, SeenPack, mark
from holdfast.vault.collecting.repacking import Rewriting, rewrite
from holdfast.vault.collecting.safety import FULL, Safety
from holdfast.vault.collecting.superseding import Copies
from holdfast.vault.collecting.trash import condemn, read_trash
from holdfast.vault.format.documents import checked_header
from holdfast.vault.format.header import HEADER_BYTES, Header, Kind
from holdfast.vault.format.names import PACKS, PARTS, REFS, SNAPSHOTS, THINNED, pack_key
from holdfast.vault.handle import Handle
from holdfast.vault.index import read_pack_table
from holdfast.vault.saving.preparing import renew_keys

__all__ = ["Resealed", "reseal", "BATCH_BYTES"]

BATCH_BYTES = 1 << 30  # stored bytes between two condemnations: what an interruption makes the next run do again
_NANOSECONDS = 1_000_000_000
_READERS = 8
_DOCUMENTS = (SNAPSHOTS, PARTS, REFS, THINNED)


@dataclass
class Resealed:
    """Packs are counted with their stored bytes. `packs`, `bytes`: in earlier epochs, with something in them that a
    snapshot needs, and to be sealed anew (or, in a dry run, that would be). `written`: bytes of new packs. `condemned`:
    old packs that `collect` may delete now. `young`: too young to be condemned, so that they wait for another run.
    `left`: keys of packs that could not be read. `documents`, `document_bytes`: what stays in earlier epochs for good.
    """

    epoch: int
    dry_run: bool = False
    packs: int = 0
    bytes: int = 0
    written: int = 0
    condemned: int = 0
    condemned_bytes: int = 0
    young: int = 0
    young_bytes: int = 0
    left: list[str] = field(default_factory=list)
    documents: int = 0
    document_bytes: int = 0


def reseal(
    handle: Handle,
    *,
    dry_run: bool = False,
    after_rotation: bool = False,
    safety: Safety = FULL,
    batch_bytes: int = BATCH_BYTES,
) -> Resealed:
    """Seal the packs of earlier epochs to the newest one. A run that ends early is taken up by the next.

    `after_rotation`, for a dry run: what it would be if there were one more epoch.

    Raises CredentialError (not the keeper), UsageError (the vault is not encrypted), WrongKeyError (there is an epoch
    that this key does not open), RefusedError when it cannot be told what a snapshot needs, ConflictError when the run
    was out of touch with the store for too long, and what the store raises.
    """
    handle.keys.require_keeper("sealing anew")
    handle.keys.require_reader("sealing anew")
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: nothing in it is sealed")
    renew_keys(handle, "sealing anew")
    newest = handle.keys.config.epochs[-1].number
    if newest not in handle.keys.private:
        raise WrongKeyError("the vault has a new epoch, which this key was not opened for", hint="open the vault anew")
    report = Resealed(newest + (dry_run and after_rotation), dry_run)
    _count_documents(handle, report)
    if dry_run:
        _Run(handle, report, safety, None).plan()
        return report
    with HeldLease(handle, "sealing anew") as lease:
        _Run(handle, report, safety, lease).go(batch_bytes)
    handle.refresh()
    return report


class _Run:
    def __init__(self, handle: Handle, report: Resealed, safety: Safety, lease: HeldLease | None) -> None:
        self._handle = handle
        self._report = report
        self._lease = lease
        # In this order, as in a collection: what time it is, who is writing, what is condemned, which roots there are.
        now = handle.clock.now_ns() if lease is None else lease.now_ns()
        leases = [one for one in seen_leases(handle) if lease is None or one.session != lease.session]
        active = [one for one in leases if one.is_active(now, safety.lease, safety.listing)]
        self._oldest_ns = min([now - round(safety.fresh * _NANOSECONDS), *(one.start_ns - 1 for one in active)])
        self._trash = set(read_trash(handle).keys)
        self._marked: Marked = mark(handle)
        self._new = self._packs_of_newest_epoch()

    def plan(self) -> list[SeenPack]:
        """The packs that are to be sealed anew, the oldest first."""
        chosen = []
        for seen in self._marked.packs.values():
            if seen.id in self._new or seen.info.key in self._trash or seen.is_dead:
                continue
            if seen.table is None:
                self._report.left.append(seen.info.key)
            elif seen.info.modified_ns > self._oldest_ns:
                self._report.young += 1
                self._report.young_bytes += seen.info.size
            else:
                chosen.append(seen)
        self._report.packs = len(chosen)
        self._report.bytes = sum(seen.live_bytes for seen in chosen)
        return sorted(chosen, key=lambda seen: seen.info.modified_ns)

    def go(self, batch_bytes: int) -> None:
        chosen = self.plan()
        self._handle.progress.phase("sealing packs anew", self._report.bytes)
        self._condemn(self._already_copied(chosen))
        for batch in _batches([seen for seen in chosen if seen.info.key not in self._trash], batch_bytes):
            self._must_hold()
            assert self._lease is not None
            work = Rewriting(tuple(seen.id for seen in batch), frozenset(), sum(seen.live_bytes for seen in batch), 0)
            done = rewrite(self._handle, self._marked, work, self._lease.keep)
            self._report.written += done.bytes
            self._report.left += [pack_key(pack) for pack in done.left]
            self._take_in(done.names)
            self._condemn(done.emptied)

    def _already_copied(self, chosen: list[SeenPack]) -> list[PackId]:
        """Those whose live chunks an earlier run, which was stopped, wrote into packs of the newest epoch."""
        suite = self._handle.keys.suite
        there: set[ChunkId] = set()
        for pack in self._new:
            there.update(chunk for chunk, _ in self._marked.packs[pack].places(suite))
        return [
            seen.id
            for seen in chosen
            if all(chunk in there for chunk, _ in seen.places(suite) if chunk in self._marked.chunks)
        ]

    def _take_in(self, names: Collection[PackId]) -> None:
        handle = self._handle
        packs = dict(self._marked.packs)
        for name in names:
            info = handle.store.head(pack_key(name))
            packs[name] = SeenPack(name, info, read_pack_table(handle.store, handle.keys, info), info.size)
        self._marked = self._marked._replace(packs=packs)
        self._new |= set(names)

    def _condemn(self, candidates: Collection[PackId]) -> None:
        """Those of them whose live chunks were read and found good elsewhere, in packs that stay."""
        if not candidates:
            return
        handle = self._handle
        handle.refresh()  # the new packs are found by what the store says of them
        going = Copies(handle, self._marked).proven(candidates, self._trash)
        if not going:
            return
        self._must_hold()
        invalidate(handle, frozenset(bytes.fromhex(pack) for pack in going))
        keys = [pack_key(pack) for pack in going]
        condemn(handle, keys)
        self._trash.update(keys)
        self._report.condemned += len(going)
        self._report.condemned_bytes += sum(self._marked.packs[pack].info.size for pack in going)

    def _packs_of_newest_epoch(self) -> set[PackId]:
        infos = {pack: seen.info for pack, seen in self._marked.packs.items()}
        found = _epochs_of(self._handle, list(infos.values()))
        return {pack for pack, info in infos.items() if found.get(info.key) == self._report.epoch}

    def _must_hold(self) -> None:
        assert self._lease is not None
        self._lease.keep()
        self._lease.require()


def _batches(packs: list[SeenPack], size: int) -> Iterator[list[SeenPack]]:
    batch: list[SeenPack] = []
    held = 0
    for seen in packs:
        if batch and held + seen.live_bytes > size:
            yield batch
            batch, held = [], 0
        batch.append(seen)
        held += seen.live_bytes
    if batch:
        yield batch


def _epochs_of(handle: Handle, infos: Collection[ObjectInfo]) -> Mapping[str, int]:
    """By key, the epoch that an object's header names. Those that are gone, or no objects of a vault, are left out."""

    def one(info: ObjectInfo) -> int | None:
        if info.size < HEADER_BYTES:
            return None
        try:
            [head] = handle.store.get_ranges(info.key, [(0, HEADER_BYTES)])
            if info.key.startswith(PACKS):
                return checked_header(info.key, head, Kind.PACK).epoch
            return Header.parse(head, info.key).epoch
        except (DamageError, NotFoundError):
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        found = zip(infos, pool.map(one, infos), strict=True)
        return {info.key: epoch for info, epoch in found if epoch is not None}


def _count_documents(handle: Handle, report: Resealed) -> None:
    infos = {info.key: info for prefix in _DOCUMENTS for info in handle.store.list(prefix)}
    earlier = [key for key, epoch in _epochs_of(handle, list(infos.values())).items() if epoch < report.epoch]
    report.documents = len(earlier)
    report.document_bytes = sum(infos[key].size for key in earlier)
