"""Facts about a demo that was played."""

from __future__ import annotations

from typing import TypeVar

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.demos import DemoPlayed, Mechanism, Recovery
from holdfast.control.demonstrating import DemoResult
from holdfast.evidence.headline import headline_of
from holdfast.evidence.record_outcome import CheckResult
from holdfast.objectives import NotMeasured

__all__ = ["played_facts"]

_T = TypeVar("_T")


def played_facts(result: DemoResult) -> DemoPlayed:
    """What the record says, in short."""
    record, files = result
    objective = record.targets.objective
    results, split = record.results, record.results.measured.split
    moved = record.bytes_moved
    identical = [check for check in record.integrity.checks if "bit-identical" in check.name]
    return DemoPlayed(
        state=str(results.verdict.state),
        outcome=str(results.outcome),
        headline=str(headline_of(record)),
        rpo_target=objective.rpo_seconds,
        rto_target=objective.rto_seconds,
        copies_target=objective.copies,
        copies=_known(results.measured.copies),
        recovery=Recovery(
            site=results.recovery_site,
            snapshot=results.recovery_point,
            rpo=_known(results.verdict.rpo.measured),
            steps_lost=_known(results.work_lost.steps),
            rto=_known(results.verdict.rto.measured),
            detect=_known(split.detect),
            decide=_known(split.decide),
            execute=_known(split.execute),
            verify=_known(split.verify),
        ),
        bit_identical=bool(identical) and all(check.result is CheckResult.PASSED for check in identical),
        mechanisms=[]
        if isinstance(moved, NotMeasured)
        else [
            Mechanism(name=row.mechanism, bytes=row.bytes_before, stored_bytes=row.bytes_after) for row in moved.rows
        ],
        overhead_bytes=0 if isinstance(moved, NotMeasured) else moved.overhead_bytes,
        evidence=clean(str(files.evidence)),
        page=clean(str(files.page)),
        sha256=files.sha256,
        signer=files.signer,
    )


def _known(value: _T | NotMeasured) -> _T | None:
    return None if isinstance(value, NotMeasured) else value
