"""Checking a whole vault: every object opened, every reference followed, and, if asked, every byte read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

from blake3 import blake3

from holdfast.errors import CredentialError, DamageError, FailedError, HoldfastError, NotFoundError, UntrustedError
from holdfast.ids import ChunkId, PackId, PartId, SnapshotId
from holdfast.stores.protocol import ObjectInfo
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.configuration import load_config
from holdfast.vault.access.generations import read_generation
from holdfast.vault.checking.proofs import Proofs, least_proven
from holdfast.vault.checking.report import CheckReport, Damage
from holdfast.vault.collecting.leases import COPYING, seen_leases
from holdfast.vault.format.names import (
    AUDIT,
    BESIDE,
    CONFIG,
    INDEX,
    LEASES,
    PACKS,
    PARTS,
    REFS,
    SAVES,
    SITES,
    SNAPSHOTS,
    THINNED,
    TRASH,
    generation_of,
    pack_key,
    part_key,
)
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.records import Root
from holdfast.vault.format.series import Series, series_of
from holdfast.vault.handle import Handle
from holdfast.vault.index import ChunkIndex, NoIndexError, pack_of_key, read_index, read_pack_table
from holdfast.vault.locking.setting import LOCKS
from holdfast.vault.locking.setting import read_generation as read_lock_setting
from holdfast.vault.restoring.reading import ChunkReader
from holdfast.vault.snapshots.finding import read_part, read_root
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.refs import read_ref
from holdfast.vault.snapshots.thinning import Thinnings, read_thinned_generation

__all__ = ["Damage", "CheckReport", "check_vault"]

_KNOWN = (CONFIG, PACKS, INDEX, PARTS, SNAPSHOTS, REFS)
_RESERVED = (LEASES, TRASH, THINNED, SAVES, AUDIT, LOCKS, SITES, *BESIDE)


def check_vault(
    handle: Handle, *, read_data: bool = False, sample: float = 1.0, seed: int | None = None
) -> CheckReport:
    """Open every small object, follow roots to packs, compare sizes; with `read_data` read (a share of) the packs.

    Of a pack that is read, the bytes are compared with its name, and every chunk is decoded and compared with its id.
    `sample` is the share of packs to read: those that this machine never proved first, then those that it proved
    longest ago (`proofs.py`); `seed` settles who comes first among equals. Damage is returned, not raised; FailedError
    says that this machine has no room for what the check keeps track of.
    """
    try:
        return _Check(handle).run(read_data, sample, seed)
    except NoIndexError as error:
        raise FailedError(error.message, hint=error.hint) from error


class _Check:
    def __init__(self, handle: Handle) -> None:
        handle.keys.require_reader("checking the vault")
        self._handle = handle
        self._damages: dict[str, str] = {}
        self._hurt: dict[str, set[str]] = {}
        self._notes: list[str] = []
        self._wrong: dict[tuple[PackId, ChunkId], str] = {}  # blobs that do not give their chunk → the damaged object
        self._objects = 0
        self._proofs = Proofs(handle)

    def run(self, read_data: bool, sample: float, seed: int | None) -> CheckReport:
        handle = self._handle
        handle.refresh()
        handle.progress.phase("checking structure", None)
        self._check_config()
        self._check_locks()
        packs = self._list_packs()
        index = self._check_index(packs)
        roots = self._check_roots()
        self._check_parts_and_refs(roots)
        for root in roots:
            self._follow(root, index)
        chosen = self._choose(packs, sample, seed) if read_data else []
        known = set(self._damages)
        bytes_read = self._read_packs(chosen, packs, index)
        self._trace_wrong_chunks(roots, index, known)
        self._note_strays()
        damages = [Damage(name, why, sorted(self._hurt.get(name, ()))) for name, why in sorted(self._damages.items())]
        self._proofs.forget(snapshots={snapshot for one in damages for snapshot in one.snapshots})
        proof = self._proofs.age(packs)
        return CheckReport(self._objects, len(roots), len(packs), len(chosen), bytes_read, damages, self._notes, proof)

    def _damage(self, error: HoldfastError, name: str, snapshot: str = "") -> None:
        name = error.object_name or name
        self._damages.setdefault(name, error.message)
        if snapshot:
            self._hurt.setdefault(name, set()).add(snapshot)

    def _guard(self, name: str, work: Callable[[], object], snapshot: str = "") -> bool:
        try:
            work()
        except (DamageError, NotFoundError, CredentialError, FailedError) as error:
            # Untrusted is a kind of credential error; a medium that fails to read is one of failed.
            self._damage(error, name, snapshot)
            return False
        return True

    def _each(self, prefix: str, work: Callable[[ObjectInfo], object]) -> None:
        infos = list(self._handle.store.list(prefix))
        self._objects += len(infos)
        with ThreadPoolExecutor(self._handle.workers) as pool:
            list(pool.map(lambda info: self._guard(info.key, lambda: work(info)), infos))

    def _check_config(self) -> None:
        store, keys = self._handle.store, self._handle.keys
        keepers = {fingerprint(one.public): one.public for one in keys.config.signers if one.role == "keeper"}

        def generation(info: ObjectInfo) -> None:
            stored, verify_signature = read_generation(store, info.key)
            if stored.vault != keys.vault:
                raise DamageError(f"{info.key} belongs to another vault ({stored.vault.hex()})", object_name=info.key)
            if stored.signer not in keepers:
                raise UntrustedError(f"{info.key} is signed by nobody who is a keeper now", object_name=info.key)
            verify_signature(keepers[stored.signer])

        self._each(CONFIG, generation)
        self._find_gaps(info.key for info in store.list(CONFIG))
        self._guard(CONFIG, lambda: load_config(store, list(keepers)))

    def _find_gaps(self, keys: Iterable[str]) -> None:
        """Generations are written one after the other and never deleted: one that is missing was lost, or is still to
        be copied here. (A copy writes a pointer from its end where its past leads to what was dropped.)
        """
        for series in _all_series(keys):
            for before, after in pairwise([0, *series.generations]):
                if after - before > 1:
                    key = f"{series.prefix}{before + 1:010d}"
                    later = f"{series.prefix}{after:010d}"
                    if series.prefix.startswith(REFS) and self._is_copied_to():
                        self._notes.append(f"{key} did not arrive yet: a copy to here goes on, or was broken off")
                        continue
                    self._damages.setdefault(key, f"{key} is missing, though the later {later} is there")
            for key in series.leap_keys:
                self._damages.setdefault(key, f"{key} is too high a generation to have been reached; it is ignored")

    def _is_copied_to(self) -> bool:
        try:
            leases = seen_leases(self._handle)
        except HoldfastError:
            return False
        return any(one.record is not None and one.record.purpose == COPYING and not one.is_over for one in leases)

    def _check_locks(self) -> None:
        """The lock setting. What is locked until when is another question, for the store: `vault.locking.state`."""
        self._each(LOCKS, lambda info: read_lock_setting(self._handle, info.key))
        self._find_gaps(info.key for info in self._handle.store.list(LOCKS))

    def _list_packs(self) -> dict[PackId, int]:
        packs = {}
        for info in self._handle.store.list(PACKS):
            self._objects += 1
            pack = pack_of_key(info.key)
            if pack is None:
                self._damages[info.key] = f"{info.key} is not the name of a pack"
            else:
                packs[pack] = info.size
        return packs

    def _check_index(self, packs: dict[PackId, int]) -> ChunkIndex:
        """An index of what the packs' own footers say; what index objects say is compared with it."""
        handle = self._handle
        index = ChunkIndex(handle.keys.suite)

        def take(pack: PackId) -> None:
            info = ObjectInfo(pack_key(pack), packs[pack], 0)
            table = read_pack_table(handle.store, handle.keys, info)
            places_of(table, handle.keys.suite, info.key, info.size)
            index.add(pack, packs[pack], table)

        with ThreadPoolExecutor(handle.workers) as pool:
            list(pool.map(lambda pack: self._guard(pack_key(pack), lambda: take(pack)), packs))
        self._compare_index(packs, index)
        return index

    def _compare_index(self, packs: dict[PackId, int], index: ChunkIndex) -> None:
        handle = self._handle
        listed: set[PackId] = set()
        revoked: list[str] = []

        def compare(info: ObjectInfo) -> None:
            said, signer = read_index(handle.store, handle.keys, info.key)
            if signer.revoked is not None:
                revoked.append(info.key)
                return
            for pack in said.packs:
                pack_id, name = PackId(pack.id.hex()), pack_key(PackId(pack.id.hex()))
                listed.add(pack_id)
                own = index.table(pack_id)
                if packs.get(pack_id, pack.size) != pack.size and own is None:
                    message = f"{name} has {packs[pack_id]} bytes, {info.key} says {pack.size}"
                    raise DamageError(message, object_name=name)
                if own is not None and (packs[pack_id], own) != (pack.size, pack.table):
                    raise DamageError(f"{info.key} says otherwise than {name} what is in it", object_name=info.key)

        self._each(INDEX, compare)
        if revoked:
            self._notes.append(f"{len(revoked)} index objects are signed with keys that were revoked, and ignored")
        if packs.keys() - listed:
            self._notes.append(f"{len(packs.keys() - listed)} packs are in no index; they are found by their footers")
        if listed - packs.keys():
            self._notes.append(f"{len(listed - packs.keys())} packs that an index lists are not there")

    def _check_roots(self) -> list[Root]:
        roots: list[Root] = []
        self._each(THINNED, lambda info: read_thinned_generation(self._handle, info.key))
        self._thinned = Thinnings(self._handle)
        self._each(SNAPSHOTS, lambda info: roots.append(read_root(self._handle, info.key)))
        return sorted(roots, key=lambda root: root.id)

    def _check_parts_and_refs(self, roots: list[Root]) -> None:
        handle = self._handle

        def part(info: ObjectInfo) -> None:
            name = info.key.removeprefix(PARTS)
            if len(name) != 64:
                raise DamageError(f"{info.key} is not the name of a part", object_name=info.key)
            read_part(handle, PartId(name))

        self._each(PARTS, part)
        ids = {root.id for root in roots}
        keys = [info.key for info in handle.store.list(REFS)]
        self._find_gaps(keys)
        newest = {series.keys[-1] for series in _all_series(keys) if series.keys}

        def ref(info: ObjectInfo) -> None:
            if generation_of(info.key) is None:
                raise DamageError(f"{info.key} is not the name of a ref", object_name=info.key)
            target = read_ref(handle, info.key)
            if info.key in newest and target.target and target.target not in ids:
                missing = handle.keys.names.snapshot_key(target.asset, SnapshotId(target.target))
                message = f"{missing}, to which {target.name!r} of {target.asset!r} points, is missing or unreadable"
                raise DamageError(message, object_name=missing)

        self._each(REFS, ref)

    def _follow(self, root: Root, index: ChunkIndex) -> None:
        for link in self._thinned.links(root):
            part_id = PartId(link.id.hex())
            self._guard(part_key(part_id), partial(self._follow_part, root, part_id, index), root.id)

    def _follow_part(self, root: Root, part: PartId, index: ChunkIndex) -> None:
        for entry in read_part(self._handle, part).entries:
            for _, length, chunk, _ in entry_chunks(entry):
                self._follow_chunk(root, index, chunk, length)

    def _follow_chunk(self, root: Root, index: ChunkIndex, chunk: ChunkId, length: int) -> None:
        for _ in range(9):
            located = index.find(chunk)
            if located is None:
                known = self._handle.index.find(chunk)
                name = pack_key(known.pack) if known else f"chunk {chunk.hex()[:16]}…"
                why = f"{name} is missing or unreadable" if known else f"{name} is in no pack"
                self._damage(DamageError(why, object_name=name), name, root.id)
                return
            if located.place.raw != length:
                name = pack_key(located.pack)
                self._damage(DamageError(f"{name} holds a chunk of another length", object_name=name), name, root.id)
            self._hurt.setdefault(pack_key(located.pack), set()).add(root.id)
            if not located.place.base:
                return
            chunk = located.place.base

    def _choose(self, packs: dict[PackId, int], sample: float, seed: int | None) -> list[PackId]:
        names = sorted(packs)
        if sample >= 1:
            return names
        count = min(len(names), max(1, round(len(names) * sample)))
        return least_proven(names, self._proofs.packs(), count, seed)

    def _read_packs(self, chosen: list[PackId], packs: dict[PackId, int], index: ChunkIndex) -> int:
        handle = self._handle
        reader = ChunkReader(handle.store, handle.keys, index)
        if chosen:
            handle.progress.phase("reading packs", sum(packs[pack] for pack in chosen))

        def work(pack: PackId) -> None:
            key = pack_key(pack)
            data = handle.store.get(key)
            if blake3(data).hexdigest() != pack:
                raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
            for chunk, error in reader.check_pack(pack, data).items():
                self._damage(error, key)
                self._wrong[pack, chunk] = error.object_name or key
            handle.progress.advance(len(data))

        with ThreadPoolExecutor(handle.workers) as pool:
            sound = list(pool.map(lambda pack: self._guard(pack_key(pack), lambda: work(pack)), chosen))
        bad = {pack for pack, _ in self._wrong} | {
            pack for pack, is_sound in zip(chosen, sound, strict=True) if not is_sound
        }
        self._proofs.credit_packs(pack for pack in chosen if pack not in bad)
        self._proofs.forget(bad)
        return sum(packs[pack] for pack in chosen)

    def _trace_wrong_chunks(self, roots: list[Root], index: ChunkIndex, known: set[str]) -> None:
        """Which snapshots need a chunk that is not what its id says, and that no other pack holds.

        `known`: objects that were damaged as a whole; for the others, who needs only sound chunks of them restores.
        """
        for name in {pack_key(pack) for pack, _ in self._wrong} - known:
            self._hurt.pop(name, None)
        wrong = {
            chunk: name
            for (_, chunk), name in self._wrong.items()
            if all((place.pack, chunk) in self._wrong for place in index.places(chunk))
        }
        for root in roots if wrong else ():
            for link in self._thinned.links(root):
                self._guard(root.id, partial(self._trace_part, root, PartId(link.id.hex()), wrong))
        self._excuse_missing_bases()

    def _excuse_missing_bases(self) -> None:
        """An interrupted copy leaves packs whose delta bases have not arrived yet, and no root that needs them."""
        missing = [name for name in self._damages if "/" not in name and not self._hurt.get(name)]  # a chunk's id
        for name in missing:
            self._notes.append(f"{self._damages.pop(name)}; a delta that no snapshot needs is based on it")

    def _trace_part(self, root: Root, part: PartId, wrong: dict[ChunkId, str]) -> None:
        for entry in read_part(self._handle, part).entries:
            for _, _, chunk, _ in entry_chunks(entry):
                if chunk in wrong:
                    self._hurt.setdefault(wrong[chunk], set()).add(root.id)

    def _note_strays(self) -> None:
        for info in self._handle.store.list(""):
            if not info.key.startswith(_KNOWN + _RESERVED):
                self._notes.append(f"{info.key} does not belong to the vault")


def _all_series(keys: Iterable[str]) -> list[Series]:
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key[: key.rfind("/") + 1], []).append(key)
    return [series_of(members, prefix) for prefix, members in folders.items()]
