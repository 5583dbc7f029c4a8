"""What a restore would write, found out without writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from holdfast.vault.records import Root
from holdfast.vault.restoring import place_of, select_entries, snapshot_entries
from holdfast.vault.vault import Vault
from holdfast.vault.writing_files import Staging

__all__ = ["RestorePlan", "plan_restore"]


class RestorePlan(NamedTuple):
    """The files that would be written, and where."""

    root: Root
    target: Path
    files: int
    bytes: int


def plan_restore(vault: Vault, reference: str, target: Path, *, only: str | None, overwrite: bool) -> RestorePlan:
    """Resolve, select, and see whether the target is free. Raises what the restore would raise before it writes."""
    root = vault.find(reference)
    entries = select_entries(snapshot_entries(vault.handle, root), only)
    target = place_of(root, entries, target)
    Staging(target, root.id, overwrite=overwrite)  # refuses a target that is taken
    files = [entry for entry in entries if entry.type == "file"]
    return RestorePlan(root, target, len(files), sum(entry.size for entry in files))
