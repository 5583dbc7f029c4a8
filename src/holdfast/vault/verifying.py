"""Reading a snapshot back: the only thing that earns it `validated`."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, ObjectNotFoundError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.advancing import advance_ref
from holdfast.vault.handle import Handle
from holdfast.vault.labels import entry_chunks
from holdfast.vault.names import pack_key
from holdfast.vault.reading import Wanted
from holdfast.vault.records import Check, Part, Root
from holdfast.vault.refs import VALIDATED, move_ref
from holdfast.vault.restoring import snapshot_entries

__all__ = [
    "Verified",
    "DECODED",
    "STORED_BYTES",
    "verify_decoded",
    "verify_stored_bytes",
    "move_validated",
    "verify_pack",
]

DECODED, STORED_BYTES = "decoded", "stored-bytes"


class Verified(NamedTuple):
    """What was read back: plaintext bytes for `decoded`, bytes of packs for `stored-bytes`."""

    level: str
    files: int
    chunks: int
    bytes: int


def verify_decoded(handle: Handle, root: Root) -> Verified:
    """Fetch, open and decode every chunk of the snapshot and compare it with its id. Raises DamageError."""
    entries = [entry for entry in snapshot_entries(handle, root) if entry.type == "file"]
    lengths: dict[ChunkId, int] = {}
    for entry in entries:
        for _, length, chunk, _ in entry_chunks(entry):
            if lengths.setdefault(chunk, length) != length:
                raise DamageError(f"snapshot {root.id} gives one chunk two lengths", object_name=root.id)
    total = sum(lengths.values())
    handle.progress.phase("verifying", total)
    wanted = (Wanted(chunk, length, None) for chunk, length in lengths.items())
    handle.reader().stream(wanted, lambda one, data: handle.progress.advance(len(data)), workers=handle.workers)
    return Verified(DECODED, len(entries), len(lengths), total)


def verify_stored_bytes(handle: Handle, parts: Iterable[Part]) -> Verified:
    """Fetch every pack that the parts reach and compare its bytes with its name: what a writer can check.

    Raises DamageError.
    """
    files = 0
    chunks: set[ChunkId] = set()
    for part in parts:
        for entry in part.entries:
            files += entry.type == "file"
            chunks.update(chunk for _, _, chunk, _ in entry_chunks(entry))
    packs: dict[PackId, int] = {}
    waiting = list(chunks)
    while waiting:
        located = handle.index.find(waiting.pop())
        if located is None:
            raise DamageError("a chunk of the snapshot is in no pack that the index knows")
        packs[located.pack] = located.pack_size
        if located.place.base and located.place.base not in chunks:
            chunks.add(located.place.base)
            waiting.append(located.place.base)
    handle.progress.phase("verifying", sum(packs.values()))
    with ThreadPoolExecutor(handle.workers) as pool:
        total = sum(pool.map(lambda pack: verify_pack(handle, pack), packs))
    return Verified(STORED_BYTES, files, len(chunks), total)


def verify_pack(handle: Handle, pack: PackId) -> int:
    """Compare the stored bytes of a pack with its name. Returns its size. Raises DamageError."""
    key = pack_key(pack)
    try:
        data = handle.store.get(key)
    except ObjectNotFoundError as error:
        raise DamageError(f"{key} is missing from {handle.store.url}", object_name=key) from error
    if blake3(data).hexdigest() != pack:
        raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
    handle.progress.advance(len(data))
    return len(data)


def move_validated(handle: Handle, root: Root, verified: Verified, *, accept_findings: bool = False) -> bool:
    """Point `validated` to a snapshot that was just read back. Returns whether it moved.

    It does not move to a snapshot with findings (unless they are accepted), nor back behind one with newer content
    (as far as this credential can know that: a writer moves it forward from what this machine saved before).
    """
    if root.validation.verdict != "good" and not accept_findings:
        return False
    reason = "read back" if root.validation.verdict == "good" else "read back, findings accepted"
    check = Check(verified.level, verified.bytes, handle.clock.now_ns())
    if handle.keys.can_read and not accept_findings:
        return advance_ref(handle, root, VALIDATED, reason, check)
    return bool(move_ref(handle, root.asset, VALIDATED, root.id, reason, check))
