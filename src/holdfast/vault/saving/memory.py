"""What this machine remembers of an asset's last save: a cache, safe to lose.

A writer cannot read the vault. From here it knows what it saved last (to share parts, validate against, and name delta
bases), and where the bytes of delta bases still lie on its own disk. The file is as secret as the saved files' names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from holdfast.ids import ChunkId
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import Names
from holdfast.vault.format.records import Part
from holdfast.vault.saving.contents import Content
from holdfast.vault.scratch import bytes_scratch
from holdfast.vault.snapshots.labels import entry_chunks

__all__ = ["Remembered", "LocalFile", "AnchorAge", "recall", "remember", "LocalBases", "memory_path"]

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


def memory_path(keys: VaultKeys, asset: str, environment: Mapping[str, str] | None = None) -> Path:
    """`$XDG_STATE_HOME/holdfast/<vault id>/<asset key>`."""
    environment = os.environ if environment is None else environment
    home = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".local/state")
    return Path(home) / "holdfast" / keys.vault.hex() / keys.names.asset_key(asset)


def recall(path: Path) -> Remembered | None:
    """What was remembered, or None: nothing, or nothing that can be understood."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None


def remember(
    path: Path,
    snapshot: str,
    content: int,
    parts: list[Part],
    contents: list[Content],
    anchors: Mapping[bytes, AnchorAge] | None = None,
) -> None:
    """Keep it, replacing what was there. Never fails the save: a machine without a writable home just forgets."""
    files = {
        content.relative: LocalFile(os.fsencode(content.local_path), content.size, content.mtime_ns)
        for content in contents
        if content.local_path
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.msgpack.encode(Remembered(snapshot, content, parts, files, dict(anchors or {}))))
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


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
        try:
            with Path(os.fsdecode(file.path)).open("rb", buffering=0) as opened:
                now = os.fstat(opened.fileno())
                if (now.st_size, now.st_mtime_ns) != (file.size, file.mtime):
                    return None
                data = bytes_scratch("base", length).data
                if os.preadv(opened.fileno(), [data], offset) != length:
                    return None
        except OSError:
            return None
        return data if self._names.chunk_id(data) == chunk else None
