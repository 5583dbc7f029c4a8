"""Carrying a repair out. It may be interrupted anywhere: what is done is done, and the next run plans the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from holdfast.errors import DamageError, FailedError, HoldfastError, ObjectNotFoundError, StoreUnreachableError
from holdfast.events import SILENT
from holdfast.ids import PackId
from holdfast.vault.checking.judging import judge
from holdfast.vault.codecs import Codec
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.collecting.trash import read_trash, rescue
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, pack_key
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.format.records import PackTable
from holdfast.vault.handle import Handle
from holdfast.vault.index import read_pack_table
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.repairing.indexes import condemned_packs, index_objects
from holdfast.vault.repairing.model import FETCHED, INDEXED, REMOVED, SALVAGED, Fix, PointerMove, Repaired, RepairPlan
from holdfast.vault.repairing.pointers import newest_good
from holdfast.vault.restoring.fallback import Replicas
from holdfast.vault.restoring.reading import ChunkReader
from holdfast.vault.snapshots.refs import move_ref

__all__ = ["apply_repair"]

_OPAQUE = Element(Kind.OPAQUE, 1)


def apply_repair(handle: Handle, plan: RepairPlan, replicas: Replicas) -> Repaired:
    """Write what the plan says: sound copies in place of damaged ones, then index objects, then pointers.

    A copy is fetched and judged again before it replaces anything, and read back after that. What cannot be done is in
    the result; the rest is done all the same. Raises CredentialError, and StoreUnreachableError when the vault's own
    store does not answer.
    """
    handle.keys.require_writer("repairing the vault")
    with HeldLease(handle, "repairing"):  # what is put back is not condemned before something points to it
        return _Applying(handle, plan, replicas).run()


class _Applying:
    def __init__(self, handle: Handle, plan: RepairPlan, replicas: Replicas) -> None:
        self._handle = handle
        self._plan = plan
        self._replicas = replicas
        self._done: list[Fix] = []
        self._failed: dict[str, str] = {}

    def run(self) -> Repaired:
        plan, handle = self._plan, self._handle
        handle.progress.phase("repairing", sum(fix.bytes for fix in plan.fixes))
        fetching = self._claimed([fix for fix in plan.fixes if fix.how == FETCHED])
        for prefix in (CONFIG, PACKS):
            self._fetch(fetching, prefix)
        handle.refresh()
        salvaged: list[tuple[PackId, int, PackTable]] = []
        for fix in (one for one in plan.fixes if one.how == SALVAGED):
            self._try(fix, lambda: self._salvage(salvaged))
        self._index(salvaged)
        for prefix in (INDEX, PARTS, THINNED, SNAPSHOTS, REFS):
            self._fetch(fetching, prefix)
        for fix in plan.fixes:
            if fix.how == REMOVED and not (fix.key.startswith(INDEX) and INDEX in self._failed):
                self._try(fix, partial(self._remove, fix))
        handle.refresh()
        # What could not be put back may be what the pointer would be moved to.
        moves = [] if any(key.startswith((PACKS, PARTS, SNAPSHOTS)) for key in self._failed) else plan.moves
        return Repaired(plan, self._done, [move for move in moves if self._move(move)], self._failed)

    def _claimed(self, fetching: list[Fix]) -> list[Fix]:
        """Take what is needed out of the collections that condemn it. Left out is what one is deleting already."""
        try:
            late = rescue(self._handle, read_trash(self._handle), self._plan.needs)
        except DamageError:
            return fetching  # who cannot know what was condemned deletes nothing either; the plan names the object
        if not late:
            return fetching
        for key in late:
            self._failed[key] = f"{key} is being deleted by a collection: repair again when that is done"
        waiting = [fix for fix in fetching if fix.key in late or fix.key.startswith(SNAPSHOTS)]
        for fix in waiting:
            self._failed.setdefault(fix.key, f"{fix.key} may need what a collection is deleting: repair again after it")
        return [fix for fix in fetching if fix not in waiting]

    def _fetch(self, fixes: list[Fix], prefix: str) -> None:
        for fix in fixes:
            if fix.key.startswith(prefix):
                self._try(fix, partial(self._replace, fix))

    def _replace(self, fix: Fix) -> None:
        store = self._handle.store
        if not fix.key.startswith(PACKS) and self._is_mended(fix.key):
            return  # somebody else did it meanwhile, perhaps from another site
        data = self._sound(fix)
        store.put(fix.key, data)
        if store.get(fix.key) != data:  # a store may take an object of that name for granted
            store.delete(fix.key)
            store.put(fix.key, data)
            if store.get(fix.key) != data:
                raise FailedError(f"{fix.key} does not hold what was written to it", object_name=fix.key)
        self._handle.progress.advance(len(data))

    def _sound(self, fix: Fix) -> bytes:
        wrong: HoldfastError | None = None
        for replica in self._replicas.handles():
            try:
                data = replica.store.get(fix.key)
                judge(self._handle.keys, fix.key, data)
            except HoldfastError as error:
                wrong = wrong or error
                continue
            return data
        if wrong is not None:  # of a replica, whatever it is: the vault's own store may answer
            raise FailedError(wrong.message, hint=wrong.hint, object_name=fix.key)
        raise DamageError(f"no replica has {fix.key} any more", object_name=fix.key)

    def _is_mended(self, key: str) -> bool:
        try:
            judge(self._handle.keys, key, self._handle.store.get(key))
        except StoreUnreachableError:
            raise
        except HoldfastError:
            return False
        return True

    def _remove(self, fix: Fix) -> None:
        # Under a name that is not that of its bytes there may be the right ones by now. Of index objects, which may
        # mislead though they are sound, all that they tell is in new ones.
        if fix.key.startswith(INDEX) or not self._is_mended(fix.key):
            with suppress(ObjectNotFoundError):
                self._handle.store.delete(fix.key)

    def _salvage(self, salvaged: list[tuple[PackId, int, PackTable]]) -> None:
        """A new pack of the chunks that can be read from some site, one by one, and from no whole pack."""
        handle = self._handle
        here = ChunkReader(handle.store, handle.keys, handle.index, SILENT)
        anywhere = ChunkReader(handle.store, handle.keys, handle.index, SILENT, self._replicas)
        builder = PackBuilder(handle.keys, handle.pack_bytes)
        for chunk in self._plan.salvage:
            try:
                here.read([chunk])
                continue  # a pack that was fetched gives it now
            except StoreUnreachableError:
                raise
            except HoldfastError:
                pass
            try:
                data = anywhere.read([chunk])[chunk]
            except StoreUnreachableError:
                raise
            except HoldfastError as error:
                self._failed[f"chunk {chunk.hex()[:16]}…"] = error.message
                continue
            if not builder.fits(len(data)):
                salvaged.append(self._store(builder))
            builder.add(chunk, bytes(data), raw=len(data), codec=Codec.RAW, element=_OPAQUE)
        if len(builder):
            salvaged.append(self._store(builder))

    def _store(self, builder: PackBuilder) -> tuple[PackId, int, PackTable]:
        pack = builder.finish()
        self._handle.store.put(pack.key, pack.data)
        size = len(pack.data)
        self._handle.index.add(pack.id, size, pack.table)
        builder.reset()
        return pack.id, size, pack.table

    def _index(self, salvaged: list[tuple[PackId, int, PackTable]]) -> None:
        fixes = [fix for fix in self._plan.fixes if fix.how == INDEXED]
        if not fixes and not salvaged:
            return

        def write() -> None:
            for key, data in index_objects(self._handle, [*self._relisted(), *salvaged]):
                self._handle.store.put(key, data)

        self._try(fixes[0] if fixes else Fix(INDEX, INDEXED, "", 0, "new packs"), write)

    def _relisted(self) -> Iterator[tuple[PackId, int, PackTable]]:
        handle = self._handle
        condemned = condemned_packs(handle, self._failed)  # also since the repair was planned
        for pack in self._plan.relisted if condemned is not None else ():
            key = pack_key(pack)
            if key not in self._failed and pack not in (condemned or ()):
                info = handle.store.head(key)
                yield pack, info.size, read_pack_table(handle.store, handle.keys, info)

    def _move(self, move: PointerMove) -> bool:
        """Whether the pointer left the snapshot that lost data."""
        if not move.after:
            return False
        handle, hurt = self._handle, {loss.snapshot for loss in self._plan.losses}
        good = newest_good(handle, move.asset, move.name, hurt)
        if good is None:
            return False
        reason = f"repair: {move.before} lost data"
        try:
            moved = move_ref(
                handle,
                move.asset,
                move.name,
                good.target,
                reason,
                good.check,
                unless=lambda ref: ref.target not in hurt,
            )
        except HoldfastError as error:
            self._failed[f"{move.asset}@{move.name}"] = error.message
            return False
        return bool(moved)

    def _try(self, fix: Fix, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreUnreachableError:
            raise
        except HoldfastError as error:
            self._failed[fix.key] = error.message
        else:
            self._done.append(fix)
