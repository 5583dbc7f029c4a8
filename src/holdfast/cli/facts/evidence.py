"""Facts about evidence: one record, a list, trends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.evidence import (
    CalibrationFacts,
    CostFacts,
    DrillDueFacts,
    EvidenceExported,
    EvidenceFacts,
    EvidenceFindings,
    EvidenceList,
    EvidenceRow,
    EvidenceShown,
    EvidenceTrends,
    EvidenceVerified,
    FigureFacts,
    JournalAtStores,
    OpenFindingFacts,
    ProofFacts,
    TrendFacts,
    TrendPointFacts,
)
from holdfast.clock import to_rfc3339
from holdfast.control.evidencing.reading import Exported, Shown, Summary, Unreadable
from holdfast.evidence.bundle import VerifiedEvidence
from holdfast.evidence.controls import gaps_in
from holdfast.evidence.page_costs import notes_of
from holdfast.evidence.record_costs import Costs
from holdfast.evidence.trends import Figure, Point, Trends
from holdfast.objectives import Judgement, NotMeasured
from holdfast.units import format_duration

__all__ = ["exported_facts", "findings_facts", "list_facts", "shown_facts", "trends_facts", "verified_facts"]


def evidence_facts(found: VerifiedEvidence) -> EvidenceFacts:
    record = found.record
    identity, results, verdict = record.identity, record.results, record.results.verdict
    return EvidenceFacts(
        record=clean(identity.record_id),
        run=clean(identity.run),
        title=clean(identity.title),
        kind=identity.kind.value,
        scenario=clean(record.scenario.name or record.scenario.disruption.value),
        environment=identity.environment.value,
        exercise=identity.exercise.value,
        assets=[clean(one.name) for one in record.scope.assets] or [clean(record.scope.asset)],
        began=identity.started_utc,
        ended=identity.ended_utc,
        outcome=results.outcome.value,
        why=clean(results.why),
        rpo=_figure(verdict.rpo, "s"),
        rto=_figure(verdict.rto, "s"),
        copies=_figure(verdict.copies, "sites"),
        recovery_point=clean(results.recovery_point),
        deviations=len(record.deviations),
        findings=[clean(f"{one.severity.value}: {one.text}") for one in record.findings],
        closed=len(record.closed),
        gaps=len(set(gaps_in(msgspec.to_builtins(record), ""))),
        signer=found.signer,
        countersigner=found.countersigner,
        sha256=found.sha256,
        files=list(found.files),
        proven=[
            ProofFacts(
                action=clean(one.action),
                place=one.place,
                size=one.size,
                witnesses=list(one.witnesses),
                of_evidence=one.of_evidence,
            )
            for one in found.proven
        ],
        costs=_costs(record.costs),
    )


def _costs(costs: Costs | None) -> CostFacts | None:
    if costs is None:
        return None
    notes = [note for _, note in notes_of(costs) if ": NOT_MEASURED: " in note]
    return CostFacts(
        currency=clean(costs.currency),
        as_of=clean(costs.as_of),
        spent=_known(costs.spent),
        gpu_hours_lost=_known(costs.gpu_hours),
        money_lost=_known(costs.lost_amount),
        missing=[clean(one.replace(": NOT_MEASURED: ", ": ", 1)) for one in dict.fromkeys(notes)],
    )


def _figure(judged: Judgement, unit: str) -> FigureFacts:
    return FigureFacts(
        measured=_known(judged.measured),
        target=judged.target,
        state=judged.state.value,
        reason=clean(judged.reason),
        unit=unit,
    )


def _known(value: Figure) -> float | None:
    return None if isinstance(value, NotMeasured) else value


def shown_facts(found: Shown) -> EvidenceShown:
    journal = found.journal
    return EvidenceShown(
        evidence=evidence_facts(found.verified),
        stores=list(found.stores),
        signed_by=clean(found.label),
        journal=None
        if journal is None
        else JournalAtStores(entries=journal.entries, same=journal.same, problems=list(map(clean, journal.problems))),
    )


def verified_facts(found: VerifiedEvidence, folder: Path, trusted: bool) -> EvidenceVerified:
    return EvidenceVerified(evidence=evidence_facts(found), folder=clean(str(folder)), trusted=trusted)


def exported_facts(found: Exported, controls: Path | None) -> EvidenceExported:
    return EvidenceExported(
        evidence=evidence_facts(found.shown.verified),
        folder=clean(str(found.folder)),
        added=list(found.added),
        log=clean(found.log_words),
        controls=None if controls is None else clean(str(controls)),
    )


def list_facts(found: Iterable[Summary | Unreadable]) -> EvidenceList:
    return EvidenceList(evidence=[_row(one) for one in found])


def _row(one: Summary | Unreadable) -> EvidenceRow:
    listed = one.listed
    title = kind = outcome = rpo = rto = problem = ""
    if isinstance(one, Unreadable):
        problem = clean(one.why)
    else:
        record = one.verified.record
        verdict = record.results.verdict
        title, kind = clean(record.identity.title), record.identity.kind.value
        outcome = record.results.outcome.value
        rpo, rto = _cell(verdict.rpo), _cell(verdict.rto)
    return EvidenceRow(
        run=listed.run,
        kept=to_rfc3339(listed.at),
        stores=list(listed.stores),
        title=title,
        kind=kind,
        outcome=outcome,
        rpo=rpo,
        rto=rto,
        problem=problem,
    )


def _cell(judged: Judgement) -> str:
    if isinstance(judged.measured, NotMeasured):
        return judged.state.value
    return f"{format_duration(max(judged.measured, 0.0))} {judged.state.value}"


def trends_facts(found: Trends, svg: Path | None) -> EvidenceTrends:
    told = found.calibration
    return EvidenceTrends(
        at=to_rfc3339(found.at),
        records=found.records,
        assets=[
            TrendFacts(asset=clean(one.asset), points=[_point(point) for point in one.points]) for one in found.assets
        ],
        calibration=CalibrationFacts(
            runs=told.runs,
            median_log_ratio=_known(told.median_log_ratio),
            factor=_known(told.factor),
            coverage=_known(told.coverage),
        ),
        drills=[
            DrillDueFacts(
                name=one.name,
                recovery=one.recovery,
                every_seconds=one.every_seconds,
                last=one.last_utc,
                passed=one.passed_utc,
                overdue_seconds=_known(one.overdue_seconds),
            )
            for one in found.due
        ],
        findings=_open(found),
        closed=found.closed,
        svg=None if svg is None else clean(str(svg)),
    )


def findings_facts(found: Trends) -> EvidenceFindings:
    return EvidenceFindings(at=to_rfc3339(found.at), records=found.records, findings=_open(found), closed=found.closed)


def _open(found: Trends) -> list[OpenFindingFacts]:
    return [
        OpenFindingFacts(
            id=one.finding.finding_id,
            severity=one.finding.severity.value,
            text=clean(one.finding.text),
            recovery=clean(one.recovery),
            scenario=clean(one.scenario),
            owner=clean(one.finding.owner),
            due=one.finding.due,
            overdue=bool(one.finding.due) and one.finding.due < to_rfc3339(found.at)[:10],
            opened=one.opened_utc,
            seen=one.seen,
            retest=clean(one.finding.retest),
            assets=[clean(name) for name in one.assets],
            credit=clean(one.credit),
        )
        for one in found.open
    ]


def _point(one: Point) -> TrendPointFacts:
    return TrendPointFacts(
        run=one.run,
        ended=to_rfc3339(one.at),
        kind=one.kind,
        scenario=clean(one.scenario),
        outcome=one.outcome,
        rto=_seconds(one.rto),
        rto_state=one.rto_state.value,
        rpo=_seconds(one.rpo),
        rpo_state=one.rpo_state.value,
        predicted=_seconds(one.predicted),
        predicted_error=one.predicted_error,
        took=_seconds(one.took),
    )


def _seconds(value: Figure) -> float | None:
    """Null also for what cannot be: its state says INVALID."""
    return None if isinstance(value, NotMeasured) or value < 0 else value
