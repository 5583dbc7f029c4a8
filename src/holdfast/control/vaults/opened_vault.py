"""A vault that is opened to be read as files, and what was read of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

from holdfast.control.snapshots.snapshot_paths import reference_of
from holdfast.vault.files.reading import PartReader
from holdfast.vault.files.tree import SnapshotTree
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.finding import Listed
from holdfast.vault.vault import Vault

__all__ = ["OpenedVault"]

_TREES_MAX = 64


class OpenedVault:
    """Snapshots never change, so nothing here grows old but what names mean. Safe for several threads of one process.

    The lock is held for moments only, never while something is read.
    """

    def __init__(self, vault: Vault, cache_bytes: int, *, allow: Callable[[Root], None] = lambda root: None) -> None:
        """`allow`: asked once for each snapshot before any of it is read; raises where it is denied."""
        self.vault = vault
        self._allow = allow
        self.parts = PartReader(vault.handle, cache_bytes=cache_bytes)
        self._lock = threading.Lock()
        self._meant: dict[str, str] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._trees: OrderedDict[str, SnapshotTree] = OrderedDict()
        self._seen: set[str] = set()

    def forget_names(self) -> None:
        """What references mean is looked up anew."""
        with self._lock:  # new ones: who is looking something up now notes it where nobody looks any more
            self._meant, self._turns = {}, {}

    def snapshots(self) -> list[Listed]:
        """As of `Vault.snapshots`."""
        listed = self.vault.snapshots()
        self._see([one.root.id for one in listed if one.root is not None])
        return listed

    def tree(self, snapshot: str) -> SnapshotTree:
        """The snapshot that this part of a path means. Raises NotFoundError, UsageError, DamageError, …"""
        with self._lock:
            tree = self._kept(snapshot)
            if tree is not None:
                return tree
            turn = self._turns.setdefault(snapshot, threading.Lock())
        with turn:  # who asks for the same meanwhile waits for it, all others go on
            with self._lock:
                tree, meant = self._kept(snapshot), self._meant
            return self._read(snapshot, meant) if tree is None else tree

    def _kept(self, snapshot: str) -> SnapshotTree | None:
        tree = self._trees.get(self._meant.get(snapshot, ""))
        if tree is not None:
            self._trees.move_to_end(tree.root.id)
        return tree

    def _read(self, snapshot: str, meant: dict[str, str]) -> SnapshotTree:
        root = self.vault.find(meant.get(snapshot) or reference_of(snapshot))
        self._see([root.id])
        with self._lock:
            tree = self._trees.get(root.id)
        if tree is None:
            self._allow(root)
            tree = SnapshotTree(self.vault.handle, root)
        with self._lock:
            meant[snapshot] = root.id
            tree = self._trees.setdefault(root.id, tree)
            self._trees.move_to_end(root.id)
            while len(self._trees) > _TREES_MAX:
                self._trees.popitem(last=False)
        return tree

    def _see(self, snapshots: Collection[str]) -> None:
        """Those that were not seen before may lie in packs that the index, as it was read, does not know."""
        with self._lock:
            if self._seen.issuperset(snapshots):
                return
        self.vault.handle.refresh()
        with self._lock:
            self._seen.update(snapshots)
