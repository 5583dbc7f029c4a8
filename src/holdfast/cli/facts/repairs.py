"""Facts about what was mended, lost, and proven in turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import Damaged
from holdfast.cli.schemas.repairs import (
    ByteRange,
    FixFacts,
    LossFacts,
    LostFileFacts,
    LostPartFacts,
    LostTensorFacts,
    MoveFacts,
    SnapshotRota,
    TurnFacts,
    VaultRepaired,
)

if TYPE_CHECKING:
    from holdfast.vault.checking.rota import Rota
    from holdfast.vault.repairing.model import LostFile, Repaired, SnapshotLoss
    from holdfast.vault.vault import Vault

__all__ = ["repaired_facts", "rota_facts"]


def repaired_facts(vault: Vault, repaired: Repaired, replicas: Sequence[str], *, dry_run: bool) -> VaultRepaired:
    """What a repair did, or would do, and what is lost."""
    plan = repaired.plan
    moves = plan.moves if dry_run else repaired.moves
    return VaultRepaired(
        vault=vault.id,
        url=vault.url,
        replicas=list(replicas),
        sound=not (plan.losses or plan.unmended or repaired.failed or (dry_run and plan.fixes)),
        dry_run=dry_run,
        objects=plan.objects,
        fixes=[
            FixFacts(object=clean(fix.key), how=fix.how, source=fix.source or None, bytes=fix.bytes, why=clean(fix.why))
            for fix in (plan.fixes if dry_run else repaired.fixes)
        ],
        losses=[_loss(loss) for loss in plan.losses],
        unmended=_damaged(plan.unmended),
        failed=_damaged(repaired.failed),
        moves=[
            MoveFacts(asset=clean(move.asset), name=clean(move.name), before=move.before, after=move.after or None)
            for move in moves
        ],
        notes=[clean(note) for note in plan.notes],
    )


def rota_facts(vault: Vault, rota: Rota, *, dry_run: bool) -> SnapshotRota:
    """The order of proving, and what came of it."""
    return SnapshotRota(
        vault=vault.id,
        url=vault.url,
        dry_run=dry_run,
        turns=[
            TurnFacts(
                snapshot=turn.root.id,
                asset=clean(turn.root.asset),
                step=turn.root.step,
                score=turn.due.score,
                reason=turn.due.reason,
                bytes=turn.bytes,
                proven_seconds=turn.due.candidate.proven_seconds,
                copies=turn.due.candidate.copies,
                proven=None if dry_run else turn.root.id in rota.proven,
                problem=clean(rota.damaged[turn.root.id]) if turn.root.id in rota.damaged else None,
            )
            for turn in rota.turns
        ],
        left=rota.left,
    )


def _loss(loss: SnapshotLoss) -> LossFacts:
    return LossFacts(
        snapshot=loss.snapshot,
        asset=clean(loss.asset) or None,
        step=loss.step,
        why=clean(loss.why),
        parts=[
            LostPartFacts(object=part.key, component=clean(part.component), files=part.files, bytes=part.bytes)
            for part in loss.parts
        ],
        files=[_file(file) for file in loss.files],
        whole_files=loss.whole_files,
        whole_bytes=loss.whole_bytes,
    )


def _file(file: LostFile) -> LostFileFacts:
    return LostFileFacts(
        path=clean(file.path),
        bytes=file.size,
        ranges=_ranges(file.ranges),
        tensors=[LostTensorFacts(name=clean(one.name), ranges=_ranges(one.ranges)) for one in file.tensors],
        whole_tensors=file.whole_tensors,
    )


def _ranges(ranges: Iterable[tuple[int, int]]) -> list[ByteRange]:
    return [ByteRange(start=start, length=length) for start, length in ranges]


def _damaged(found: Mapping[str, str]) -> list[Damaged]:
    return [Damaged(object=clean(name), message=clean(why)) for name, why in sorted(found.items())]
