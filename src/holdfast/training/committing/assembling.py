"""Making the snapshot of a save, as an operation on an opened vault: recorded, and locked where the vault locks."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.records import Root
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.saving.announcing import Announced
from holdfast.vault.saving.assembling import Assembled, assemble
from holdfast.vault.vault import Vault

__all__ = ["assemble_on"]


def assemble_on(
    vault: Vault,
    announced: Announced,
    lease: HeldLease,
    *,
    known_content: int = 0,
    committed: Callable[[Root], None] | None = None,
) -> Assembled:
    """As `assemble`, with an entry in the audit log for whoever makes the snapshot, and its locks set."""
    with recorded_on(vault, "save", names={"asset": announced.first.asset}) as facts:
        done = assemble(vault.handle, announced, lease, known_content=known_content, committed=committed)
        facts.objects |= {"snapshot": done.snapshot}
        if done.root is not None:
            facts.objects |= {"verdict": done.root.validation.verdict}
    if done.is_new and done.root is not None:
        protect_snapshot(vault.handle, done.root)
    return done
