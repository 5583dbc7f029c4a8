"""Evidence of runs, as it is kept at the stores: what each says in short, trends over all, and the files themselves."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.control.service.reading.keeping import Told, kept
from holdfast.control.service.reading.shapes import (
    Curve,
    Dot,
    Freshness,
    Page,
    Problem,
    Time,
    clipped,
    figure,
    time_of,
)

if TYPE_CHECKING:
    from holdfast.control.evidencing.reading import Shown, Summary, Unreadable
    from holdfast.control.service.context import Service
    from holdfast.evidence.findings import OpenFinding
    from holdfast.evidence.record import Evidence
    from holdfast.evidence.trends import Trends
    from holdfast.objectives import Judgement

__all__ = ["CalibrationShown", "CheckShown", "EvidenceFile", "EvidenceOne", "EvidencePage", "EvidenceRow"]
__all__ += [
    "FindingOpen",
    "FindingsPage",
    "Judged",
    "OverdueDrill",
    "evidence_one",
    "evidence_page",
    "evidence_zip",
    "findings_page",
]

_SHOWN: Final = 40
_FRESH_S: Final = 30.0


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A figure against its target: `state` MET, MISSED, NOT_MEASURED or INVALID. Null: not measured, no target."""

    state: str
    measured: float | None
    target: float | None
    reason: str


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """`problem`: why it cannot be believed; then nothing else of it is said."""

    run: str
    at: Time | None
    stores: list[str]
    problem: str
    asset: str
    kind: str
    scenario: str
    outcome: str
    title: str
    rpo: Judged | None
    rto: Judged | None
    signer: str


class CalibrationShown(msgspec.Struct, frozen=True, kw_only=True):
    """How good predictions were. `factor`: runs take that many times what was predicted; `coverage`: 0 to 1."""

    runs: int
    factor: float | None
    coverage: float | None


class OverdueDrill(msgspec.Struct, frozen=True, kw_only=True):
    """A declared drill. `overdue_seconds`: 0: it is not; null: it was never held."""

    name: str
    recovery: str
    every_seconds: float
    last: Time | None
    passed: Time | None
    overdue_seconds: float | None


class EvidencePage(Page, frozen=True, kw_only=True):
    """The newest first. `trends`: RTO and RPO of each asset over time, with the target as the limit."""

    evidence: list[EvidenceRow]
    trends: list[Curve]
    calibration: CalibrationShown | None
    freshness: list[Freshness]
    problem: Problem | None
    trends_problem: Problem | None


class EvidenceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle. `sha256`: hex."""

    name: str
    bytes: int
    sha256: str


class CheckShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was checked: `result` PASSED, FAILED or another word of the record."""

    name: str
    result: str
    detail: str


class CostsShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the recovery cost, and what the fault did; null: not measured, `missing` says for want of what."""

    currency: str
    as_of: str
    spent: float | None
    gpu_hours_lost: float | None
    money_lost: float | None
    missing: list[str]


class EvidenceOne(Page, frozen=True, kw_only=True):
    """The evidence of one run. `label`: the keeper whose key signed it; `signer`: its fingerprint."""

    run: str
    row: EvidenceRow | None
    label: str
    checks: list[CheckShown]
    costs: CostsShown | None
    deviations: list[str]
    files: list[EvidenceFile]
    freshness: list[Freshness]
    problem: Problem | None


class FindingOpen(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be put right. `due`: a day; `overdue`: it has passed. `credit`: what it costs until then."""

    id: str
    severity: str
    text: str
    owner: str
    due: str
    overdue: bool
    retest: str
    credit: str
    recovery: str
    scenario: str
    opened: Time
    last: Time
    seen: int


class FindingsPage(Page, frozen=True, kw_only=True):
    """Open findings, the gravest first; `closed`: how many a later run has closed. `drills`: overdue or never held."""

    findings: list[FindingOpen]
    closed: int
    drills: list[OverdueDrill]
    freshness: list[Freshness]
    problem: Problem | None


def evidence_page(service: Service) -> EvidencePage:
    """What verifies, and what does not; from the stores that answer."""

    def read() -> list[EvidenceRow]:
        from holdfast.control.evidencing.reading import list_evidence

        return [_row_of(one) for one in list_evidence(service.sites(), _SHOWN)]

    empty: list[EvidenceRow] = []
    told = kept(service, "evidence", read, empty, seconds=_FRESH_S)
    trends = _trends(service)
    return EvidencePage(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        evidence=told.value,
        trends=[] if trends.value is None else _curves(trends.value),
        calibration=None
        if trends.value is None
        else CalibrationShown(
            runs=trends.value.calibration.runs,
            factor=figure(trends.value.calibration.factor),
            coverage=figure(trends.value.calibration.coverage),
        ),
        freshness=[told.freshness],
        problem=told.problem,
        trends_problem=trends.problem,
    )


def evidence_one(service: Service, run: str) -> EvidenceOne:
    """Raises UsageError, NotFoundError."""
    import hashlib

    shown, fresh, problem = _one(service, run)
    return EvidenceOne(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        run=run,
        row=None
        if shown is None
        else _row(shown.verified.record, shown.verified.signer, run, list(shown.stores), None),
        label="" if shown is None else clipped(shown.label),
        checks=[]
        if shown is None
        else [
            CheckShown(name=clipped(one.name), result=one.result.value, detail=clipped(one.detail))
            for one in shown.verified.record.integrity.checks
        ],
        costs=None if shown is None else _costs(shown.verified.record),
        deviations=[]
        if shown is None
        else [clipped(one if isinstance(one, str) else one.text) for one in shown.verified.record.deviations],
        files=[]
        if shown is None
        else [
            EvidenceFile(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in sorted(shown.files.items())
        ],
        freshness=[fresh],
        problem=problem,
    )


def _costs(record: Evidence) -> CostsShown | None:
    from holdfast.evidence.page_costs import notes_of

    costs = record.costs
    if costs is None:
        return None
    notes = dict.fromkeys(note for _, note in notes_of(costs) if ": NOT_MEASURED: " in note)
    return CostsShown(
        currency=clipped(costs.currency),
        as_of=clipped(costs.as_of),
        spent=figure(costs.spent),
        gpu_hours_lost=figure(costs.gpu_hours),
        money_lost=figure(costs.lost_amount),
        missing=[clipped(one.replace(": NOT_MEASURED: ", ": ", 1)) for one in notes],
    )


def evidence_zip(service: Service, run: str) -> bytes:
    """All files of it, as they are kept, byte by byte: the same bytes each time. Raises what reading it raises."""
    from holdfast.control.evidencing.reading import show

    _require_id(run)
    files = show(service.sites(), run).files
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(f"evidence-{run}/{name}", (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            archive.writestr(member, files[name], zipfile.ZIP_DEFLATED)
    return made.getvalue()


def findings_page(service: Service) -> FindingsPage:
    """Of all evidence that can be read."""
    told = _trends(service)
    now = time_of(service.clock.now_ns()) or ""
    trends = told.value
    order = ("critical", "high", "medium", "low")
    findings = [] if trends is None else [_finding(one, now) for one in trends.open]
    findings.sort(key=lambda one: (order.index(one.severity) if one.severity in order else 9, one.due))
    return FindingsPage(
        organisation=service.organisation,
        at=now,
        findings=findings,
        closed=0 if trends is None else trends.closed,
        drills=[]
        if trends is None
        else [
            OverdueDrill(
                name=one.name,
                recovery=one.recovery,
                every_seconds=one.every_seconds,
                last=one.last_utc or None,
                passed=one.passed_utc or None,
                overdue_seconds=figure(one.overdue_seconds),
            )
            for one in trends.due
            if figure(one.overdue_seconds) != 0.0
        ],
        freshness=[told.freshness],
        problem=told.problem,
    )


def _trends(service: Service) -> Told[Trends | None]:
    def read() -> Trends:
        from holdfast.control.evidencing.reading import trends

        return trends(service.sites())

    nothing: Trends | None = None
    return kept(service, "trends", read, nothing, seconds=_FRESH_S)


def _one(service: Service, run: str) -> tuple[Shown | None, Freshness, Problem | None]:
    from holdfast.errors import NotFoundError

    _require_id(run)

    def read() -> Shown:
        from holdfast.control.evidencing.reading import show

        return show(service.sites(), run)

    nothing: Shown | None = None
    told = kept(service, f"evidence {run}", read, nothing, seconds=_FRESH_S)
    if told.value is None and told.problem is not None and told.problem.code == NotFoundError.code:
        raise NotFoundError(told.problem.message, hint=told.problem.hint, object_name=run)
    return told.value, told.freshness, told.problem


def _require_id(run: str) -> None:
    from holdfast.control.recovering.plan_files import is_run_id
    from holdfast.errors import UsageError

    if not is_run_id(run):
        raise UsageError(f"{clipped(run, 60)!r} is no id of a run", hint="20 hex digits, as the list has them")


def _row_of(one: Summary | Unreadable) -> EvidenceRow:
    from holdfast.control.evidencing.reading import Unreadable

    listed = one.listed
    if isinstance(one, Unreadable):
        return EvidenceRow(
            run=listed.run,
            at=time_of(listed.at),
            stores=list(listed.stores),
            problem=clipped(one.why),
            asset="",
            kind="",
            scenario="",
            outcome="",
            title="",
            rpo=None,
            rto=None,
            signer="",
        )
    return _row(one.verified.record, one.verified.signer, listed.run, list(listed.stores), listed.at)


def _row(record: Evidence, signer: str, run: str, stores: list[str], at: int | None) -> EvidenceRow:
    verdict = record.results.verdict
    return EvidenceRow(
        run=run,
        at=time_of(at) if at is not None else clipped(record.identity.ended_utc or record.identity.started_utc) or None,
        stores=stores,
        problem="",
        asset=clipped(record.scope.asset),
        kind=str(record.identity.kind),
        scenario=clipped(record.scenario.name),
        outcome=str(record.results.outcome),
        title=clipped(record.identity.title),
        rpo=_judged(verdict.rpo),
        rto=_judged(verdict.rto),
        signer=signer,
    )


def _judged(one: Judgement) -> Judged:
    return Judged(state=one.state.value, measured=figure(one.measured), target=one.target, reason=clipped(one.reason))


def _curves(trends: Trends) -> list[Curve]:
    curves = []
    for asset in trends.assets:
        for name in ("rto", "rpo"):
            dots = [
                Dot(at=time_of(point.at) or "", value=figure(getattr(point, name))) for point in asset.points[-100:]
            ]
            targets = [getattr(point, f"{name}_target") for point in asset.points]
            label = f"{name.upper()} of {clipped(asset.asset, 80)}"
            curves.append(Curve(name=label, unit="seconds", dots=dots, limit=targets[-1] if targets else None))
    return curves


def _finding(one: OpenFinding, now: str) -> FindingOpen:
    finding = one.finding
    return FindingOpen(
        id=finding.finding_id,
        severity=str(finding.severity),
        text=clipped(finding.text),
        owner=clipped(finding.owner),
        due=clipped(finding.due, 40),
        overdue=bool(finding.due) and finding.due < now[:10],
        retest=clipped(finding.retest),
        credit=clipped(one.credit),
        recovery=clipped(one.recovery),
        scenario=clipped(one.scenario),
        opened=one.opened_utc,
        last=one.last_utc,
        seen=one.seen,
    )
