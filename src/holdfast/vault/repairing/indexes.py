"""Index objects: those that are damaged, lie, or list packs that are gone are replaced; unlisted packs get one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping

from holdfast.errors import CredentialError, DamageError, FailedError, HoldfastError
from holdfast.ids import PackId
from holdfast.vault.collecting.trash import read_trash
from holdfast.vault.format.names import INDEX, PACKS, TRASH, pack_key
from holdfast.vault.format.records import IndexedPack, PackTable
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key, read_index, write_index
from holdfast.vault.repairing.model import FETCHED, INDEXED, REMOVED, Fix
from holdfast.vault.repairing.survey import Survey

__all__ = ["plan_index", "index_objects", "condemned_packs"]

_CHUNKS_AT_ONCE = 1 << 18  # in one index object: below what a reader takes


def plan_index(
    handle: Handle,
    seen: Survey,
    fixes: Mapping[str, Fix],
    mend: Callable[[Fix], None],
    unmended: MutableMapping[str, str],
) -> list[PackId]:
    """Plan to remove index objects that mislead. Returns the packs that new ones are to list.

    One that tells of a damaged pack which nobody can mend stays: without it, what is left of the pack may not be found.
    """
    there = {pack for key in seen.keys(PACKS) if (pack := pack_of_key(key)) is not None}
    fetched = {pack for key in fixes if (pack := pack_of_key(key)) is not None and fixes[key].how == FETCHED}
    broken = {pack for key in seen.bad_keys(PACKS) if (pack := pack_of_key(key)) is not None} - fetched
    listed: set[PackId] = set()
    for key in seen.keys(INDEX):
        why, packs = _judged(handle, seen, key, broken)
        if why:
            mend(Fix(key, REMOVED, "", 0, why))
        else:
            listed.update(packs)
    for key in seen.bad_keys(INDEX):
        mend(Fix(key, REMOVED, "", 0, seen.bad[key]))
    condemned = condemned_packs(handle, unmended)
    relisted = [] if condemned is None else sorted((there | fetched) - listed - condemned)
    if relisted:
        mend(Fix(INDEX, INDEXED, "", 0, f"{len(relisted)} packs are in no index object that is sound"))
    return relisted


def condemned_packs(handle: Handle, unmended: MutableMapping[str, str]) -> set[PackId] | None:
    """What is being collected: it was taken from the index on purpose.

    None, and why in `unmended`, where that cannot be known: packs that no index lists are found by their footers, too.
    """
    try:
        return {pack for key in read_trash(handle).keys if (pack := pack_of_key(key)) is not None}
    except (DamageError, CredentialError, FailedError) as error:
        unmended[error.object_name or TRASH] = error.message
        return None


def index_objects(handle: Handle, packs: Iterable[tuple[PackId, int, PackTable]]) -> list[tuple[str, bytes]]:
    """Key and bytes of the index objects that list these packs (id, size, table)."""
    objects: list[tuple[str, bytes]] = []
    batch: list[IndexedPack] = []
    chunks = 0
    for pack, size, table in packs:
        batch.append(IndexedPack(bytes.fromhex(pack), size, table))
        chunks += len(table.codec)
        if chunks >= _CHUNKS_AT_ONCE:
            objects.append(write_index(handle.keys, batch, handle.clock.now_ns()))
            batch, chunks = [], 0
    if batch:
        objects.append(write_index(handle.keys, batch, handle.clock.now_ns()))
    return objects


def _judged(handle: Handle, seen: Survey, key: str, broken: set[PackId]) -> tuple[str, list[PackId]]:
    """Why the index object misleads (empty: it does not), and the packs that it lists."""
    try:
        said, signer = read_index(handle.store, handle.keys, key)
    except HoldfastError as error:
        return error.message, []
    if signer.revoked is not None:
        return "", []  # nobody believes it; it is evidence
    packs = []
    wrong = ""
    for one in said.packs:
        pack = PackId(one.id.hex())
        size, table = seen.good.size_of(pack), seen.good.table(pack)
        if pack in broken:
            continue
        if table is None:
            wrong = wrong or f"it lists {pack_key(pack)}, which is not there"
        elif size != one.size or table != one.table:
            wrong = wrong or f"it says otherwise than {pack_key(pack)} what is in it"
        packs.append(pack)
    tells_of_broken = any(PackId(one.id.hex()) in broken for one in said.packs)
    return "" if tells_of_broken else wrong, packs
