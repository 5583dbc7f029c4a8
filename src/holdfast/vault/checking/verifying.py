"""Reading a snapshot back: the only thing that earns it `validated`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec
from blake3 import blake3

from holdfast.errors import DamageError, FailedError, ObjectNotFoundError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.believing import Believing
from holdfast.vault.format.names import pack_key
from holdfast.vault.format.records import Check, Part, Root
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key
from holdfast.vault.restoring.reading import Wanted
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.advancing import advance_ref
from holdfast.vault.snapshots.finding import read_root
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.quarantine import mark_of, release
from holdfast.vault.snapshots.refs import VALIDATED, move_ref

__all__ = [
    "Verified",
    "DECODED",
    "STORED_BYTES",
    "snapshot_chunks",
    "verify_decoded",
    "verify_stored_bytes",
    "verify_written",
    "verify_parts",
    "forget_damaged",
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
    files, lengths = snapshot_chunks(handle, root)
    total = sum(lengths.values())
    handle.progress.phase("verifying", total)
    wanted = (Wanted(chunk, length, None) for chunk, length in lengths.items())
    handle.reader().stream(wanted, lambda one, data: handle.progress.advance(len(data)), workers=handle.workers)
    return Verified(DECODED, files, len(lengths), total)


def snapshot_chunks(handle: Handle, root: Root) -> tuple[int, dict[ChunkId, int]]:
    """How many files the snapshot has, and its chunks with their lengths, each once, in the order in which they come
    first. Raises DamageError.
    """
    entries = [entry for entry in snapshot_entries(handle, root) if entry.type == "file"]
    lengths: dict[ChunkId, int] = {}
    for entry in entries:
        for _, length, chunk, _ in entry_chunks(entry):
            if lengths.setdefault(chunk, length) != length:
                raise DamageError(f"snapshot {root.id} gives one chunk two lengths", object_name=root.id)
    return len(entries), lengths


def verify_stored_bytes(handle: Handle, parts: Iterable[Part]) -> Verified:
    """Fetch every pack that the parts reach and compare its bytes with its name: what a writer can check.

    A damaged pack is forgotten; where another one has the same chunks, that one is checked instead. Raises DamageError.
    """
    files = 0
    chunks: set[ChunkId] = set()
    for part in parts:
        for entry in part.entries:
            files += entry.type == "file"
            chunks.update(chunk for _, _, chunk, _ in entry_chunks(entry))
    sound: dict[PackId, int] = {}
    damage: DamageError | None = None
    with ThreadPoolExecutor(handle.workers) as pool:
        while True:
            packs, reached = _reach(handle, chunks, damage)
            fresh = [pack for pack in packs if pack not in sound]
            if not fresh:
                return Verified(STORED_BYTES, files, reached, sum(sound[pack] for pack in packs))
            handle.progress.phase("verifying", sum(packs[pack] for pack in fresh))
            for pack, found in zip(fresh, pool.map(lambda pack: _try_pack(handle, pack), fresh), strict=True):
                if isinstance(found, DamageError):
                    damage = found
                    handle.index.forget_pack(pack)
                else:
                    sound[pack] = found


def verify_written(
    handle: Handle, key: str, root: Root, parts: Iterable[Part], digests: Mapping[str, bytes]
) -> Verified:
    """Read back what a save has just written: the *stored* root, manifests and chunks, not what is still in memory.

    `digests`: BLAKE3 of the bytes written under each key of root and parts; empty where only the object's own checksum
    can tell. Raises DamageError, and with a key that reads UntrustedError, WrongKeyError, ObjectNotFoundError.
    """
    if handle.keys.can_read:
        stored = read_root(handle, key)
        if stored != msgspec.structs.replace(root, writer=stored.writer):  # the reader names the signer
            raise DamageError(f"{key} does not hold what was written", object_name=key)
        return verify_decoded(handle, stored)
    for name, digest in digests.items():
        _verify_document(handle, name, digest)
    return verify_stored_bytes(handle, parts)


def verify_parts(handle: Handle, parts: Sequence[Part], digests: Mapping[str, bytes]) -> Verified:
    """The same of manifests without a root: what one rank of many has stored. `digests`: those of the parts."""
    for name, digest in digests.items():
        _verify_document(handle, name, digest)
    if not handle.keys.can_read:
        return verify_stored_bytes(handle, parts)
    lengths: dict[ChunkId, int] = {}
    files = 0
    for part in parts:
        for entry in part.entries:
            files += entry.type == "file"
            lengths |= {chunk: length for _, length, chunk, _ in entry_chunks(entry)}
    handle.progress.phase("verifying", sum(lengths.values()))
    wanted = (Wanted(chunk, length, None) for chunk, length in lengths.items())
    handle.reader().stream(wanted, lambda one, data: handle.progress.advance(len(data)), workers=handle.workers)
    return Verified(DECODED, files, len(lengths), sum(lengths.values()))


def forget_damaged(handle: Handle, parts: Iterable[Part]) -> None:
    """Forget the packs from which the parts' chunks cannot be had: nothing relies on them then.

    Without a key that reads, `verify_stored_bytes` has done that already.
    """
    if not handle.keys.can_read:
        return
    by_pack: dict[PackId, dict[ChunkId, int]] = {}
    for part in parts:
        for entry in part.entries:
            for _, length, chunk, _ in entry_chunks(entry):
                located = handle.index.find(chunk)
                if located is not None:
                    by_pack.setdefault(located.pack, {})[chunk] = length
    reader = handle.reader()
    damaged = set()
    for pack, chunks in by_pack.items():
        wanted = (Wanted(chunk, length, None) for chunk, length in chunks.items())
        try:
            reader.stream(wanted, lambda one, data: None, workers=handle.workers)
        except (DamageError, WrongKeyError, FailedError) as error:
            damaged.add(pack_of_key(error.object_name) or pack)  # it may be the pack of a base
    for pack in damaged:
        handle.index.forget_pack(pack)


def _reach(handle: Handle, chunks: set[ChunkId], damage: DamageError | None) -> tuple[dict[PackId, int], int]:
    """The packs, with their sizes, that the chunks and their bases lie in; and how many chunks these are."""
    packs: dict[PackId, int] = {}
    believing = Believing(handle.keys)
    seen, waiting = set(chunks), list(chunks)
    while waiting:
        located = next(iter(believing.places(handle.index, waiting.pop())), None)
        if located is None:
            raise damage or DamageError("a chunk of the snapshot is in no pack that the index knows")
        packs[located.pack] = located.pack_size
        base = located.place.base
        if base and base not in seen:
            seen.add(base)
            waiting.append(base)
    return packs, len(seen)


def _try_pack(handle: Handle, pack: PackId) -> int | DamageError:
    try:
        return verify_pack(handle, pack)
    except DamageError as error:
        return error


def _verify_document(handle: Handle, key: str, digest: bytes) -> None:
    try:
        data = handle.store.get(key)
    except ObjectNotFoundError as error:
        raise DamageError(f"{key} is missing from {handle.store.url}", object_name=key) from error
    if not digest:
        scrub_object(key, data)
    elif blake3(data).digest() != digest:
        raise DamageError(f"{key} is damaged: it does not hold what was written", object_name=key)


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

    It does not move to a snapshot with findings or one that was set aside (unless that is accepted, which releases
    it), nor back behind one with newer content (as far as this credential can know that: a writer moves it forward
    from what this machine saved before).
    """
    if root.validation.verdict != "good" and not accept_findings:
        return False
    reason = "read back" if root.validation.verdict == "good" else "read back, findings accepted"
    check = Check(verified.level, verified.bytes, handle.clock.now_ns())
    if handle.keys.can_read and not accept_findings:
        return advance_ref(handle, root, VALIDATED, reason, check)
    if handle.keys.can_read and mark_of(handle, root.asset, root.id) is not None:
        release(handle, root.asset, root.id)
    return bool(move_ref(handle, root.asset, VALIDATED, root.id, reason, check))
