"""What collections, leases and retention leave on a store, and the plans and notes beside it."""

from __future__ import annotations

from fuzz import world
from fuzz.model import Target
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.stores.memory import MemoryStore
from holdfast.vault.collecting.leases import seen_leases
from holdfast.vault.collecting.trash import read_trash
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import LEASES, TRASH
from holdfast.vault.format.records import Condemned, Lease, Thinned, decode_record, encode_record
from holdfast.vault.retaining.planning import decode_plan
from holdfast.vault.snapshots.restores import _read as read_notes
from holdfast.vault.snapshots.thinning import read_thinned_generation

__all__ = ["TARGETS"]

_SNAPSHOT = "01hf7yat00000g40r40m30e209"
_NUMBERS = (b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\x91" * 2000, b"\xc4\x00", b"\xc0")
_NAME = "00112233aabbccdd"


def _lease(data: bytes) -> None:
    lease = decode_record(data, Lease, "leases/x")
    store = MemoryStore()
    key = f"{LEASES}{_NAME}/0000000001"
    store.put(key, world.resealed(Kind.LEASE, key, encode_record(lease)))
    for seen in seen_leases(world.vault(store, False).handle):
        seen.is_active(1)


def _trash(data: bytes) -> None:
    decode_record(data, Condemned, "trash/x")
    store = MemoryStore()
    key = f"{TRASH}{_NAME}/0000000001"
    store.put(key, world.resealed(Kind.TRASH, key, data))
    trash = read_trash(world.vault(store, False).handle)
    if trash.keys - set(decode_record(data, Condemned, key).keys):
        raise AssertionError("more is condemned than was said")


def _thinned(data: bytes) -> None:
    record = decode_record(data, Thinned, "thinned/x")
    if not is_snapshot_id(record.snapshot):
        return
    store = MemoryStore()
    key = f"{world.keys(False).names.thinned_prefix(record.asset, SnapshotId(record.snapshot))}0000000001"
    store.put(key, world.resealed(Kind.THINNED, key, data))
    read_thinned_generation(world.vault(store, False).handle, key)


def _plan(data: bytes) -> None:
    """Nothing is planned here, so all but the empty object must be refused."""
    if data != b"{}":
        decode_plan(data)


def _notes(data: bytes) -> None:
    path = world.scratch() / "notes"
    path.write_bytes(data)
    read_notes(path)


TARGETS = [
    Target(
        "lease",
        "`decode_record(Lease)`, `seen_leases`",
        _lease,
        lambda: [encode_record(Lease("s", "save", "keeper", "open", 1))],
        _NUMBERS,
    ),
    Target(
        "trash",
        "`decode_record(Condemned)`, `read_trash`",
        _trash,
        lambda: [
            encode_record(Condemned(_NAME, state, ["packs/a", "parts/b"], 1)) for state in ("condemned", "closed")
        ],
        (*_NUMBERS, b"condemned", b"rescued", b"closed", b"packs/", b"parts/"),
    ),
    Target(
        "thinned",
        "`decode_record(Thinned)`, `read_thinned_generation`",
        _thinned,
        lambda: [encode_record(Thinned(_SNAPSHOT, world.ASSET, [bytes(32)], ["optimizer"], "policy", 1))],
        _NUMBERS,
    ),
    Target(
        "retention-plan",
        "`decode_plan`",
        _plan,
        lambda: [b"{}", b'{"format":1,"digest":"","facts":[]}'],
        (b'"format"', b'"\xff"', b"[" * 2000, b"1e400", b"null"),
    ),
    Target(
        "restore-notes",
        "`restores._read`",
        _notes,
        lambda: [b'{"snapshot":"x","at":1}\n'],
        (b"\n", b'"\xff":1', b'{"z":' + b"[" * 2000, b'{"snapshot":"\xff"}', b"null"),
    ),
]
