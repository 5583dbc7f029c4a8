"""Keys of objects and keyed names. `docs/format/vault-1.md`, "Objects" and "Names"."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from blake3 import blake3

from holdfast.errors import UsageError
from holdfast.ids import ChunkId, PackId, PartId, SnapshotId

__all__ = [
    "CONFIG",
    "PACKS",
    "INDEX",
    "PARTS",
    "SNAPSHOTS",
    "REFS",
    "LEASES",
    "TRASH",
    "THINNED",
    "SAVES",
    "AUDIT",
    "SITES",
    "BESIDE",
    "Names",
    "announcement_key",
    "config_key",
    "generation_of",
    "index_key",
    "normalised",
    "pack_key",
    "part_key",
]

CONFIG, PACKS, INDEX, PARTS, SNAPSHOTS, REFS = "config/", "packs/", "index/", "parts/", "snapshots/", "refs/"
LEASES, TRASH, THINNED, SAVES = "leases/", "trash/", "thinned/", "saves/"
SITES = "sites/"  # what became of sites: `vault/access/site_notices.py`
BESIDE = ("runs/", "evidence/", "incidents/", "observations/", "automatic/")  # what `control` keeps beside snapshots
AUDIT = "audit/"  # the audit log, of which this package knows no more: docs/format/audit-1.md
_NAME_BYTES_MAX = 1024


def config_key(generation: int) -> str:
    return f"{CONFIG}{generation:010d}"


def pack_key(pack: PackId) -> str:
    return f"{PACKS}{pack[:2]}/{pack}"


def index_key(index: str) -> str:
    return f"{INDEX}{index}"


def part_key(part: PartId) -> str:
    return f"{PARTS}{part}"


def announcement_key(save: str, rank: int) -> str:
    return f"{SAVES}{save}/{rank:010d}"


def generation_of(key: str) -> int | None:
    """The generation at the end of a config's or ref's key, or None when it is none."""
    last = key.rsplit("/", 1)[-1]
    return int(last) if len(last) == 10 and last.isascii() and last.isdigit() and int(last) > 0 else None


def normalised(name: str) -> str:
    """Names that look alike are alike: Unicode form NFC."""
    return unicodedata.normalize("NFC", name)


def _checked(name: str, what: str) -> bytes:
    text = normalised(name)
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} {name!r} is not valid Unicode") from error
    if not data or len(data) > _NAME_BYTES_MAX or any(ord(character) < 32 for character in text):
        raise UsageError(f"{what} {name!r} must have 1 to {_NAME_BYTES_MAX} bytes and no control characters")
    return data


class Names:
    """Names that need the vault's chunk-id key: chunk and part ids, asset and ref keys."""

    def __init__(self, chunk_id_key: bytes) -> None:
        def subkey(purpose: str) -> bytes:
            return blake3(b"holdfast 1 " + purpose.encode(), key=chunk_id_key).digest()

        self._chunk, self._part, self._name = subkey("chunk"), subkey("part"), subkey("name")

    def chunk_id(self, plaintext: bytes | bytearray | memoryview) -> ChunkId:
        return ChunkId(blake3(plaintext, key=self._chunk).digest())

    def part_id(self, record: bytes) -> PartId:
        return PartId(blake3(record, key=self._part).hexdigest())

    def asset_key(self, asset: str) -> str:
        return blake3(b"asset\0" + _checked(asset, "the asset name"), key=self._name).hexdigest(16)

    def ref_key(self, name: str) -> str:
        return blake3(b"ref\0" + _checked(name, "the tag"), key=self._name).hexdigest(16)

    def announced_hash(self, asset: str, records: Iterable[bytes]) -> bytes:
        """32 bytes that follow from what the ranks of a save announced, in their order: the snapshot's id does, too."""
        hashed = blake3(b"save\0" + _checked(asset, "the asset name") + b"\0", key=self._name)
        for record in records:
            hashed.update(blake3(record).digest())
        return hashed.digest()

    def snapshot_key(self, asset: str, snapshot: SnapshotId) -> str:
        return f"{SNAPSHOTS}{self.asset_key(asset)}/{snapshot}"

    def thinned_prefix(self, asset: str, snapshot: SnapshotId) -> str:
        return f"{THINNED}{self.asset_key(asset)}/{snapshot}/"

    def ref_prefix(self, asset: str, name: str) -> str:
        return f"{REFS}{self.asset_key(asset)}/{self.ref_key(name)}/"
