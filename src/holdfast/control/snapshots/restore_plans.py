"""What a restore would write, found out without writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from holdfast.vault.format.records import Root
from holdfast.vault.restoring.restore import prepare
from holdfast.vault.vault import Vault

__all__ = ["RestorePlan", "plan_restore"]


class RestorePlan(NamedTuple):
    """The files that would be written, and where."""

    root: Root
    target: Path
    files: int
    bytes: int
    given_up: tuple[str, ...]


def plan_restore(vault: Vault, reference: str, target: Path, *, only: str | None, overwrite: bool) -> RestorePlan:
    """Resolve, select, and see whether the target may be written.

    Raises what the restore would raise before it writes.
    """
    root = vault.find(reference)
    planned = prepare(vault.handle, root, target, only=only, overwrite=overwrite)
    return RestorePlan(root, planned.target, len(planned.files), planned.bytes, planned.given_up)
