"""Facts about what was restored or replicated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.snapshots import snapshot_facts
from holdfast.cli.facts.workers import worker_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import Damaged
from holdfast.cli.schemas.moves import Replicated, Restored, TakenFacts, TensorsExported

if TYPE_CHECKING:
    from holdfast.cli.schemas.circumstances import CircumstanceChange
    from holdfast.control.bulk.spreading import Bulk
    from holdfast.control.snapshots.restore_plans import RestorePlan
    from holdfast.control.vaults.replicating import Source
    from holdfast.replication.copying.planning import ReplicationPlan
    from holdfast.replication.copying.snapshots import Replicated as Copied
    from holdfast.stores.protocol import Store
    from holdfast.vault.restoring.restore import Restored as Written
    from holdfast.vault.tensors.exporting import ExportPlan

__all__ = ["restored_facts", "restore_plan_facts", "exported_facts", "replicated_facts", "replication_plan_facts"]


def restored_facts(
    written: Written, bulk: Bulk | None = None, circumstances: list[CircumstanceChange] | None = None
) -> Restored:
    """What a restore wrote, and who did it."""
    return Restored(
        snapshot=snapshot_facts(written.root, []),
        target=clean(str(written.target)),
        files=written.files,
        bytes=written.bytes,
        resumed_bytes=written.resumed_bytes,
        given_up=[clean(name) for name in written.given_up],
        from_replicas=[
            TakenFacts(url=url, chunks=taken.chunks, bytes=taken.bytes)
            for url, taken in sorted(written.from_replicas.items())
        ],
        dry_run=False,
        workers=worker_facts(bulk),
        circumstances=circumstances,
    )


def restore_plan_facts(
    plan: RestorePlan,
    circumstances: list[CircumstanceChange] | None = None,
    *,
    dry_run: bool = True,
    refused: bool = False,
) -> Restored:
    """What a restore would write; `refused`: it was to write, and did not."""
    return Restored(
        snapshot=snapshot_facts(plan.root, []),
        target=clean(str(plan.target)),
        files=plan.files,
        bytes=plan.bytes,
        resumed_bytes=0,
        given_up=[clean(name) for name in plan.given_up],
        from_replicas=[],
        dry_run=dry_run,
        workers=[],
        circumstances=circumstances,
        refused=refused,
    )


def exported_facts(plan: ExportPlan, *, dry_run: bool) -> TensorsExported:
    """Which tensors an export wrote, or would."""
    return TensorsExported(
        snapshot=snapshot_facts(plan.root, []),
        target=clean(str(plan.target)),
        tensors=[tensor.name for tensor in plan.tensors],
        bytes=plan.bytes,
        dry_run=dry_run,
    )


def replicated_facts(
    source: Source, target: Store, asset: str | None, copied: Copied, bulk: Bulk | None = None
) -> Replicated:
    """What a replication copied, and who did it."""
    return Replicated(
        source=source.store.url,
        target=target.url,
        mode=_mode(source),
        asset=asset,
        objects=copied.objects,
        bytes=copied.bytes,
        arrived=copied.arrived,
        left_out=copied.left_out,
        damaged=_damaged(copied.damaged),
        notes=[clean(note) for note in copied.notes],
        dry_run=False,
        workers=worker_facts(bulk),
    )


def replication_plan_facts(source: Source, target: Store, asset: str | None, plan: ReplicationPlan) -> Replicated:
    """What a replication would copy."""
    return Replicated(
        source=source.store.url,
        target=target.url,
        mode=_mode(source),
        asset=asset,
        objects=plan.objects,
        bytes=plan.bytes,
        arrived=sorted([*plan.arriving, *plan.present], reverse=True),
        left_out=plan.left_out,
        damaged=_damaged(plan.damaged),
        notes=[],
        dry_run=True,
        workers=[],
    )


def _mode(source: Source) -> str:
    return "objects" if source.vault is None else "snapshots"


def _damaged(damaged: dict[str, str]) -> list[Damaged]:
    return [Damaged(object=clean(name), message=clean(why)) for name, why in sorted(damaged.items())]
