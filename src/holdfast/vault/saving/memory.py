"""What this machine remembers of an asset's last save: a cache, safe to lose.

A writer cannot read the vault. From here it knows what it saved last (to share parts, validate against, and name delta
bases), and where the bytes of delta bases still lie on its own disk. The file is as secret as the saved files' names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from blake3 import blake3

from holdfast.durable import replace_file
from holdfast.errors import DamageError
from holdfast.homes import state_home
from holdfast.ids import ChunkId
from holdfast.vault.codecs import MAX_RAW_LENGTH
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import Names
from holdfast.vault.format.records import Part
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.history import History
from holdfast.vault.scratch import bytes_scratch
from holdfast.vault.snapshots.labels import entry_chunks
from holdfast.vault.snapshots.manifests import check_part

__all__ = ["Remembered", "LocalFile", "AnchorAge", "recall", "remember", "LocalBases", "memory_path"]

_CHECKSUM_BYTES = 32  # a BLAKE3 hash of what follows
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class LocalFile(msgspec.Struct, frozen=True):
    """Where a saved file lay, and what it looked like."""

    path: bytes
    size: int
    mtime: int


class AnchorAge(msgspec.Struct, frozen=True, array_like=True):
    """How many deltas were stored to an anchor, and their bytes as stored, tags included."""

    deltas: _Natural
    stored: _Natural


class Remembered(msgspec.Struct, frozen=True):
    """The last save of an asset from this machine."""

    snapshot: str
    content: int
    parts: list[Part]
    files: dict[bytes, LocalFile]  # by relative path
    anchors: dict[bytes, AnchorAge] = {}  # by chunk id; those without deltas are left out
    history: History = History()  # of the snapshots before and of this one


def memory_path(keys: VaultKeys, asset: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """`$XDG_STATE_HOME/holdfast/<vault id>/<asset key>`; None where this user has no home."""
    state = state_home(os.environ if environment is None else environment)
    return None if state is None else state / "holdfast" / keys.vault.hex() / keys.names.asset_key(asset)


def recall(path: Path | None) -> Remembered | None:
    """What was remembered, or None: nothing, or nothing that is as it was written."""
    if path is None:
        return None
    try:
        stored = memoryview(path.read_bytes())
        if blake3(stored[_CHECKSUM_BYTES:]).digest() != stored[:_CHECKSUM_BYTES]:
            return None
        remembered = msgspec.msgpack.decode(stored[_CHECKSUM_BYTES:], type=Remembered)
        for part in remembered.parts:
            check_part(part, str(path))
        return remembered
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError, DamageError):
        return None


def remember(
    path: Path | None,
    snapshot: str,
    content: int,
    parts: list[Part],
    contents: list[Content],
    anchors: Mapping[bytes, AnchorAge] | None = None,
    history: History | None = None,
) -> None:
    """Keep it, replacing what was there. Never fails the save: a machine without a writable home just forgets."""
    if path is None:
        return
    files = {
        content.relative: LocalFile(os.fsencode(content.local_path), content.size, content.mtime_ns)
        for content in contents
        if content.local_path
    }
    remembered = Remembered(snapshot, content, parts, files, dict(anchors or {}), history or History())
    record = msgspec.msgpack.encode(remembered)
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, blake3(record).digest() + record, mode=0o600, synced=False)


class LocalBases:
    """Reads chunks of remembered files from this machine's disk. Every chunk is checked against its id."""

    def __init__(self, names: Names, remembered: Remembered | None) -> None:
        self._names = names
        self._places: dict[ChunkId, tuple[LocalFile, int, int]] = {}
        if remembered is None:
            return
        for part in remembered.parts:
            for entry in part.entries:
                file = remembered.files.get(entry.path)
                if file is not None:
                    for offset, length, chunk, _ in entry_chunks(entry):
                        self._places.setdefault(chunk, (file, offset, length))

    def base_bytes(self, chunk: ChunkId) -> memoryview | None:
        """The chunk's bytes if the file still holds them; valid until the thread asks for another."""
        place = self._places.get(chunk)
        if place is None:
            return None
        file, offset, length = place
        if length > min(file.size, MAX_RAW_LENGTH):
            return None
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be a pipe by now
            try:
                now = os.fstat(descriptor)
                if not stat.S_ISREG(now.st_mode) or (now.st_size, now.st_mtime_ns) != (file.size, file.mtime):
                    return None
                data = bytes_scratch("base", length).data
                if os.preadv(descriptor, [data], offset) != length:
                    return None
            finally:
                os.close(descriptor)
        except (OSError, ValueError, OverflowError):  # also a path or an offset that none could be
            return None
        return data if self._names.chunk_id(data) == chunk else None
