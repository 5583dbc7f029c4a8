"""The snapshot that a new one is compared with and delta-coded against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.errors import DamageError, NotFoundError, UntrustedError, WrongKeyError
from holdfast.ids import ChunkId
from holdfast.vault.format.records import Entry, Part
from holdfast.vault.handle import Handle
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.memory import LocalBases, Remembered
from holdfast.vault.snapshots.finding import read_parts, resolve

__all__ = ["Parent", "find_parent", "Bases"]


class Parent(NamedTuple):
    """Id (empty when there is none), content time (ns), and the files of the parent snapshot by path."""

    snapshot: str
    content: int
    files: dict[bytes, Entry]

    def matched(self, source: str, contents: Sequence[Content]) -> Parent:
        """The same, with its only file under the name of the only one of a new `source`: a single file may be called
        `step-1.pt` today and `step-2.pt` tomorrow.
        """
        if source != "file" or len(contents) != 1 or len(self.files) != 1:
            return self
        [known] = self.files.values()
        return self._replace(files={contents[0].relative: known})


_NO_PARENT = Parent("", 0, {})


class Bases:
    """Bytes of delta bases: from this machine's disk where they still lie there, else from the vault if it can be
    read.
    """

    def __init__(self, handle: Handle, local: LocalBases) -> None:
        self._local = local
        self._reader = handle.reader() if handle.keys.can_read else None

    def base_bytes(self, chunk: ChunkId) -> bytes | bytearray | memoryview | None:
        data = self._local.base_bytes(chunk)
        if data is None and self._reader is not None:
            return self._reader.read([chunk])[chunk]
        return data


def find_parent(handle: Handle, asset: str, remembered: Remembered | None) -> tuple[Parent, Bases]:
    """The asset's latest snapshot, as the vault (or for a writer, this machine) knows it.

    A parent that is damaged is left aside with a note: the save then stands on its own.
    """
    bases = Bases(handle, LocalBases(handle.keys.names, remembered))
    if not handle.keys.can_read:
        if remembered is None:
            return _NO_PARENT, bases
        return Parent(remembered.snapshot, remembered.content, _files(remembered.parts)), bases
    try:
        root = resolve(handle, f"{asset}@latest")
        if remembered is not None and remembered.snapshot == root.id:
            return Parent(root.id, root.content, _files(remembered.parts)), bases
        return Parent(root.id, root.content, _files(read_parts(handle, root))), bases
    except NotFoundError:
        return _NO_PARENT, bases
    except (DamageError, UntrustedError, WrongKeyError) as error:
        handle.progress.note(f"saved without a parent: {error.message}")
        return _NO_PARENT, bases


def _files(parts: list[Part]) -> dict[bytes, Entry]:
    return {entry.path: entry for part in parts for entry in part.entries if entry.type == "file"}
