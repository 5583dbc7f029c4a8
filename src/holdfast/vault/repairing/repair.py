"""The verb: plan, and carry out."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.stores.protocol import store_identity
from holdfast.vault.handle import Handle
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.repairing.applying import apply_repair
from holdfast.vault.repairing.model import Repaired
from holdfast.vault.repairing.planning import plan_repair
from holdfast.vault.restoring.fallback import Replica, Replicas

__all__ = ["repair"]


def repair(handle: Handle, replicas: Sequence[Replica] = (), *, dry_run: bool = False) -> Repaired:
    """Mend what can be mended, from the vault's own packs and from replicas, and say exactly what is lost.

    Nothing is deleted but index objects that are replaced, and copies of sound objects under names that are not their
    own. A dry run writes nothing, and needs only a key that reads. Raises CredentialError.
    """
    handle.keys.require_reader("repairing the vault")
    if not dry_run:
        handle.keys.require_writer("repairing the vault")
    plan = plan_repair(handle, replicas)
    if dry_run:
        return Repaired(plan, [], [], {})
    try:
        return apply_repair(
            handle, plan, Replicas(handle.keys.vault, replicas, handle.progress, own=store_identity(handle.store))
        )
    finally:
        memory_of(handle).forget()  # what was written anew is a new version, which no lock keeps yet
