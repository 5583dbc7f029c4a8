"""Outputs of `holdfast vault collect`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Time, WorkerFacts

__all__ = ["AmountFacts", "WaitingFacts", "VaultCollected"]


class AmountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Objects, and the bytes that they take on the store."""

    objects: Count
    bytes: Bytes


class WaitingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was condemned and is not deleted yet, and what is waited for. `until`: the store's time, null if unknown."""

    collection: str
    amount: AmountFacts
    reason: str
    until: Time | None


class VaultCollected(Record, frozen=True, kw_only=True, tag="holdfast/vault-collect/1"):
    """`vault collect`. With `dry_run` nothing was changed: the numbers say what would have been.

    `reached`: what snapshots need, `dead_bytes` of it in packs that they need for something else. `rewritten`: chunks
    and bytes that were written anew to empty such packs, which frees `rewrite_frees` bytes later. `rescued`: objects
    that were condemned and are needed again. `locked`: what nothing needs and the store keeps locked, the last of it
    until `locked_until`: a later run collects it. `workers`: of a cluster, who read and rewrote packs.
    """

    vault: str
    url: str
    dry_run: bool
    snapshots: Count
    stored: AmountFacts
    reached: AmountFacts
    dead_bytes: Bytes
    condemned: AmountFacts
    rescued: Count
    deleted: AmountFacts
    rewritten: AmountFacts
    rewrite_frees: Bytes
    index_written: Count
    index_removed: Count
    leases_removed: Count
    active_leases: list[str]
    waiting: list[WaitingFacts]
    locked: AmountFacts
    locked_until: Time | None
    notes: list[str]
    workers: list[WorkerFacts]
