"""Facts about where the bytes of a snapshot went."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.storage import (
    AnchorFacts,
    CostFacts,
    DisagreementFacts,
    RestoreReads,
    StorageFacts,
    TensorCostFacts,
)
from holdfast.vault.snapshots.accounting import Accounts, Cost, account_for

if TYPE_CHECKING:
    from holdfast.vault.format.records import Root
    from holdfast.vault.vault import Vault

__all__ = ["storage_facts"]


def storage_facts(vault: Vault, root: Root) -> StorageFacts:
    """Count what the snapshot takes. Reads manifests and the index. Raises DamageError."""
    accounts = account_for(vault.handle, root)
    return StorageFacts(
        total=_cost("total", accounts.total),
        mechanisms=_costs(accounts.mechanisms),
        components=_costs(accounts.components),
        dtypes=_costs(accounts.dtypes),
        files=[_cost(os.fsdecode(path), cost) for path, cost in accounts.files.items()],
        tensors=[
            TensorCostFacts(
                file=clean(os.fsdecode(path)),
                name=clean(name),
                chunks=cost.chunks,
                bytes=cost.bytes,
                stored_bytes=cost.stored,
                new_bytes=cost.new_bytes,
                new_stored_bytes=cost.new_stored,
            )
            for (path, name), cost in accounts.tensors.items()
        ],
        overhead_bytes=accounts.overhead,
        restoring=_restoring(accounts),
        anchors=AnchorFacts(anchors=accounts.ages.anchors, mean_deltas=accounts.ages.mean_deltas)
        if accounts.ages is not None
        else None,
        disagreements=[
            DisagreementFacts(figure=one.figure, at_save=one.at_save, now=one.now) for one in accounts.disagreements
        ],
    )


def _restoring(accounts: Accounts) -> RestoreReads:
    restore, deltas = accounts.restore, accounts.mechanisms.get("delta", Cost())
    return RestoreReads(
        chunks=restore.chunks,
        stored_bytes=restore.stored,
        deltas=deltas.chunks,
        delta_stored_bytes=deltas.stored,
        bases=restore.bases,
        base_stored_bytes=restore.base_stored,
        packs=restore.packs,
        pack_bytes=restore.pack_bytes,
    )


def _costs(table: Mapping[str, Cost]) -> list[CostFacts]:
    return [_cost(name, cost) for name, cost in table.items()]


def _cost(name: str, cost: Cost) -> CostFacts:
    return CostFacts(
        name=clean(name),
        chunks=cost.chunks,
        bytes=cost.bytes,
        stored_bytes=cost.stored,
        new_bytes=cost.new_bytes,
        new_stored_bytes=cost.new_stored,
    )
