"""What saving a file or folder would read, found out without writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from holdfast.vault.saving.memory import memory_path, recall
from holdfast.vault.saving.parents import find_parent
from holdfast.vault.saving.tree import Tree, walk_tree
from holdfast.vault.vault import Vault

__all__ = ["SavePlan", "plan_save"]


class SavePlan(NamedTuple):
    """The tree as it is now. `parent` is the id of the snapshot that it would be compared with, empty for none.

    `like_parent` counts the files, and their bytes, whose path, size and time of modification are the parent's.
    """

    asset: str
    tree: Tree
    parent: str
    parent_step: int | None
    like_parent_files: int
    like_parent_bytes: int


def plan_save(vault: Vault, asset: str, path: Path) -> SavePlan:
    """Walk the tree and look the parent up. Raises NotFoundError, PermissionDeniedError, CredentialError."""
    handle = vault.handle
    handle.keys.require_writer("saving")
    tree = walk_tree(path)
    parent, _ = find_parent(handle, asset, recall(memory_path(handle.keys, asset)))
    step = vault.find(parent.snapshot).step if parent.snapshot and handle.keys.can_read else None
    known = {name: (entry.size, entry.mtime) for name, entry in parent.files.items()}
    like = [
        item
        for item in tree.items
        if item.type == "file" and known.get(item.relative) == (item.size, item.stat.st_mtime_ns)
    ]
    return SavePlan(asset, tree, parent.snapshot, step, len(like), sum(item.size for item in like))
