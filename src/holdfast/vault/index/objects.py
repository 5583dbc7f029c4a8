"""Index objects and packs' footers: what a store says of its packs, read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, UntrustedError
from holdfast.ids import PackId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.trust.suites import Suite
from holdfast.vault.format.documents import body_max, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import INDEX, index_key, pack_key
from holdfast.vault.format.packs import TRAILER_BYTES, PackOpener, footer_bytes, preamble_bytes
from holdfast.vault.format.records import Index, IndexedPack, PackTable, Signer, decode_record, encode_record
from holdfast.vault.index.columns import Columns, check_table

__all__ = ["CheckedIndex", "SignedIndex", "write_index", "read_index", "read_checked", "read_pack_table", "pack_of_key"]


class SignedIndex(NamedTuple):
    """What an index object says, and whose word it is."""

    said: Index
    signer: Signer


class CheckedIndex(NamedTuple):
    """The same with its tables taken apart."""

    signed: SignedIndex
    packs: list[tuple[PackId, Columns]]


def write_index(keys: VaultKeys, packs: Iterable[IndexedPack], created: int, by: str = "") -> tuple[str, bytes]:
    """Key and stored bytes of an index object that lists these packs. `by`: whose word it is, where not one's own.

    Those with the largest tables are left out where it would become too big to be read: their footers tell the same.
    """
    listed = list(packs)
    record = encode_record(Index(created, listed, by))
    while len(record) > body_max(Kind.INDEX):
        listed.remove(max(listed, key=lambda pack: len(pack.table.ids)))
        record = encode_record(Index(created, listed, by))
    data = write_document(keys, Kind.INDEX, INDEX, record)
    return index_key(blake3(data).hexdigest()), data


def read_index(store: Store, keys: VaultKeys, key: str) -> SignedIndex:
    """One index object, and who signed it: perhaps one who was revoked. Raises DamageError, UntrustedError,
    WrongKeyError.
    """
    return read_checked(store, keys, key).signed


def read_checked(store: Store, keys: VaultKeys, key: str) -> CheckedIndex:
    """Like `read_index`."""
    data = store.get(key)
    if key != index_key(blake3(data).hexdigest()):
        raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
    opened = read_document(keys, Kind.INDEX, key, data)
    index = decode_record(opened.body, Index, key)
    packs = []
    for pack in index.packs:
        if len(pack.id) != 32:
            raise DamageError(f"{key} names an impossible pack", object_name=key)
        packs.append((PackId(pack.id.hex()), check_table(pack.table, keys.suite, key, pack.size)))
    return CheckedIndex(SignedIndex(index, _whose_word(keys, index, opened.signer, key)), packs)


def _whose_word(keys: VaultKeys, index: Index, mark: str, key: str) -> Signer:
    signer = keys.trusted_signer(Kind.INDEX, mark, key)
    if not index.by or index.by == mark:
        return signer
    if signer.role != "keeper" or signer.revoked is not None:
        raise UntrustedError(
            f"{key} passes on another's word, but {signer.label!r} is no keeper", hint="ignored", object_name=key
        )
    return keys.trusted_signer(Kind.INDEX, index.by, key)


def read_pack_table(store: Store, keys: VaultKeys, info: ObjectInfo) -> PackTable:
    """The table in a pack's footer, by three short range reads. Raises DamageError."""
    pack = pack_of_key(info.key)
    if pack is None:
        raise DamageError(f"{info.key} is not the name of a pack", object_name=info.key)
    preamble = min(preamble_bytes(keys.suite), info.size)  # a pack of an earlier suite may be smaller than that
    if info.size < preamble_bytes(min(keys.suite, Suite.HYBRID_1)) + TRAILER_BYTES:
        raise DamageError(f"{info.key} is cut short ({info.size} bytes)", object_name=info.key)
    head, trailer = store.get_ranges(info.key, [(0, preamble), (info.size - TRAILER_BYTES, TRAILER_BYTES)])
    length = footer_bytes(info.key, trailer, info.size) + TRAILER_BYTES
    [tail] = store.get_ranges(info.key, [(info.size - length, length)])
    return PackOpener(keys, pack, head).open_footer(tail)


def pack_of_key(key: str) -> PackId | None:
    """The pack that a key names, or None when it names none."""
    pack = key.rsplit("/", 1)[-1]
    if len(pack) != 64 or not set(pack) <= set("0123456789abcdef") or key != pack_key(PackId(pack)):
        return None
    return PackId(pack)
