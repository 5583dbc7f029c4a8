"""The files of a snapshot as a tree of names, for those who look at it as a file system."""

from __future__ import annotations

import os

from holdfast.errors import DamageError
from holdfast.vault.files.reading import PartialFile
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.restore import snapshot_entries

__all__ = ["SnapshotTree"]


class SnapshotTree:
    """What a snapshot holds, by path: `/` between names, the empty path is its top. It never changes."""

    def __init__(self, handle: Handle, root: Root) -> None:
        """Reads the manifests. Raises DamageError."""
        self.root = root
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, list[str]] = {"": []}
        self._files: dict[str, PartialFile] = {}
        for entry in snapshot_entries(handle, root):  # a folder comes before what lies in it
            path = "" if entry.path == b"." else os.fsdecode(entry.path)
            self._entries[path] = entry
            if path:
                siblings = self._children.get(path.rpartition("/")[0])
                if siblings is None:
                    raise DamageError(f"snapshot {root.id} has {path!r}, but not the folder that it lies in")
                siblings.append(path)
            if entry.type == "folder":
                self._children.setdefault(path, [])

    def entry(self, path: str) -> Entry | None:
        """The entry at a path; None where there is none (as for the top of a snapshot of one file)."""
        return self._entries.get(path)

    def children(self, path: str) -> list[str] | None:
        """The paths of what lies in a folder; None when it is not one."""
        return self._children.get(path)

    def file(self, path: str) -> PartialFile | None:
        """The file at a path, for reading; None when it is not a file."""
        entry = self._entries.get(path)
        if entry is None or entry.type != "file":
            return None
        return self._files.setdefault(path, PartialFile(entry))
