"""Facts about collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.workers import worker_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.collecting import AmountFacts, VaultCollected, WaitingFacts
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.bulk.spreading import Bulk
    from holdfast.vault.collecting.report import Amount, CollectReport
    from holdfast.vault.vault import Vault

__all__ = ["collected_facts"]


def collected_facts(vault: Vault, report: CollectReport, bulk: Bulk | None = None) -> VaultCollected:
    """What a collection did, or would do."""
    return VaultCollected(
        vault=vault.id,
        url=vault.url,
        dry_run=report.dry_run,
        snapshots=report.snapshots,
        stored=_amount(report.stored),
        reached=_amount(report.reached),
        dead_bytes=report.dead_bytes,
        condemned=_amount(report.condemned),
        rescued=report.rescued,
        deleted=_amount(report.deleted),
        rewritten=_amount(report.rewritten),
        rewrite_frees=report.rewrite_frees,
        index_written=report.index_written,
        index_removed=report.index_removed,
        leases_removed=report.leases_removed,
        active_leases=[clean(lease) for lease in report.active_leases],
        waiting=[
            WaitingFacts(
                collection=one.collection,
                amount=_amount(one.amount),
                reason=clean(one.reason),
                until=None if one.until_ns is None else to_rfc3339(one.until_ns),
            )
            for one in report.waiting
        ],
        locked=_amount(report.locked),
        locked_until=None if report.locked_until_ns is None else to_rfc3339(report.locked_until_ns),
        notes=[clean(note) for note in report.notes],
        workers=worker_facts(bulk),
    )


def _amount(amount: Amount) -> AmountFacts:
    return AmountFacts(objects=amount.objects, bytes=amount.bytes)
