"""The whole PDF: the answer first, then the twelve sections of the record, then how to verify it. Pure."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
from reportlab.lib.pagesizes import A4
from reportlab.platypus import Flowable, SimpleDocTemplate

from holdfast.evidence.controls import answers_of, gaps_in
from holdfast.evidence.evidence_page import Seal
from holdfast.evidence.headline import headline_of
from holdfast.evidence.page_costs import money
from holdfast.evidence.page_parts import duration, number
from holdfast.evidence.pdf.costs import costs
from holdfast.evidence.pdf.fonts import BODY, load_fonts, shown
from holdfast.evidence.pdf.parts import BOTTOM, MARGIN, Heading, Parts, facts, grid, mono, note, state, text
from holdfast.evidence.pdf.sections import clean_up, findings, people, scenario, scope, steps, targets, timeline, trust
from holdfast.evidence.record import Evidence
from holdfast.objectives import Judgement, NotMeasured

__all__ = ["render_pdf"]

_ONE_AT_A_TIME = threading.Lock()  # fonts and their subsets are state that all documents of ReportLab share


def render_pdf(record: Evidence, seal: Seal) -> bytes:
    """The bytes. The only dates in it are those of the record."""
    with _ONE_AT_A_TIME:
        return _rendered(record, seal)


def _rendered(record: Evidence, seal: Seal) -> bytes:
    load_fonts()
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=BOTTOM,
        title=shown(f"Evidence: {headline_of(record)}"),
        author=shown(record.identity.software),
        subject=f"Record {shown(record.identity.record_id)}",
        creator=shown(record.identity.software),
        lang="en",
        invariant=1,
        pageCompression=1,
    )

    def foot(canvas: Any, _document: Any) -> None:
        canvas.saveState()
        canvas.setFont(BODY, 7)
        canvas.drawString(MARGIN, BOTTOM - 18, shown(f"Record {record.identity.record_id} · signed by {seal.signer}"))
        canvas.drawRightString(A4[0] - MARGIN, BOTTOM - 18, f"Page {canvas.getPageNumber()}")
        canvas.restoreState()

    document.build(list(_story(record, seal)), onFirstPage=foot, onLaterPages=foot)
    return out.getvalue()


def _story(record: Evidence, seal: Seal) -> Iterator[Flowable]:
    headline, identity = headline_of(record), record.identity
    kind = f"{identity.exercise.replace('-', ' ')}, {identity.environment}"
    yield note(f"Holdfast · Evidence of a {identity.kind} ({kind})")
    yield Heading(f"{headline.fault} {headline.recovery}", 0)
    yield state(str(headline.state))
    yield text(headline.objective)
    yield note(f"{identity.title} · {identity.started_utc}")
    yield from _verdicts(record)
    yield Heading("1 Identity")
    yield from _identity(record)
    yield from scope(record)
    yield from scenario(record)
    yield from people(record)
    yield from targets(record)
    yield from timeline(record)
    yield from _results(record)
    yield from costs(record)
    yield from _integrity(record)
    yield from findings(record)
    yield from clean_up(record)
    yield from trust(record, seal)
    yield from steps(record)
    yield from _gaps(record)
    yield from _controls(record)


def _verdicts(record: Evidence) -> Iterator[Flowable]:
    verdict = record.results.verdict
    copies = verdict.copies.measured
    rows = [
        [
            "RPO: work lost",
            duration(verdict.rpo.measured),
            _most(verdict.rpo),
            state(verdict.rpo.state),
            verdict.rpo.reason,
        ],
        [
            "RTO: time to recover",
            duration(verdict.rto.measured),
            _most(verdict.rto),
            state(verdict.rto.state),
            verdict.rto.reason,
        ],
        [
            "Copies, verified",
            number(copies),
            "none set" if verdict.copies.target is None else f"at least {verdict.copies.target:.0f}",
            state(verdict.copies.state),
            verdict.copies.reason,
        ],
    ]
    yield from grid(["Target", "Measured", "Owed", "Verdict", "Why"], rows, (22, 21, 16, 23, 40))
    parts = record.results.measured.split.parts()
    known = [(name, value, duration(value)) for name, value in parts if not isinstance(value, NotMeasured)]
    if known:
        yield Parts(known)


def _most(judgement: Judgement) -> str:
    return "none set" if judgement.target is None else f"at most {duration(judgement.target)}"


def _identity(record: Evidence) -> Iterator[Flowable]:
    identity = record.identity
    rows: list[tuple[str, str | Flowable]] = [
        ("Record", mono(identity.record_id)),
        ("Schema version", str(record.schema_version)),
        ("Run", mono(identity.run or "–")),
        ("Drill", f"{identity.drill_name or '–'} {identity.drill}"),
        ("Began, ended", f"{identity.started_utc}, {identity.ended_utc or '–'}"),
        ("Software", identity.software),
        ("Machine", f"{identity.machine.system}, {identity.machine.processors} processors, {identity.machine.python}"),
    ]
    if identity.plan is not None:
        rows += [("Plan", f"{identity.plan.plan_id}, of {identity.plan.version}"), ("", mono(identity.plan.sha256))]
    yield from facts(rows)


def _results(record: Evidence) -> Iterator[Flowable]:
    results = record.results
    lost = results.work_lost
    yield Heading("7 Results")
    rows: list[tuple[str, str | Flowable]] = [
        ("Run", state(results.outcome)),
        *([("Why", results.why)] if results.why else []),
        *((f"RTO: {name}", duration(value)) for name, value in results.measured.split.parts()),
        ("Recovered at", results.recovery_site or "not recovered"),
        ("Steps lost", number(lost.steps)),
        ("Tokens lost", number(lost.tokens)),
        ("GPU-hours lost", number(lost.gpu_hours)),
        ("Money lost", money(lost.usd, "USD")),
        ("Capacity obtained", number(results.capacity_percent, "%")),
    ]
    told = results.predicted
    planned = "NOT_MEASURED" if told is None else f"{duration(told.seconds)} ± {duration(told.error_seconds)}"
    actual = "" if told is None else f"; as it was: {duration(told.compared_seconds)}"
    yield from facts([*rows, ("Steps as planned", f"{planned}{actual}")])
    points = [
        [one.asset, mono(one.snapshot_id), number(one.step), duration(one.age_seconds), one.store]
        for one in results.points
    ]
    yield from grid(["Asset", "Recovery point", "Step", "Age when planned", "Read from"], points, (20, 36, 12, 20, 30))
    passed = [[mono(item.what), item.why] for one in results.points for item in one.rejected]
    yield from grid(["Passed over", "Why"], passed, (36, 70))
    capacity = [
        [one.asset, one.shape, number(one.wanted), number(one.asked), number(one.obtained), duration(one.seconds)]
        for one in results.capacity
    ]
    yield from grid(["Asset", "Shape", "Full", "Asked", "Obtained", "Took"], capacity, (20, 20, 12, 12, 18, 18))
    phases = [
        [one.name, state(one.outcome), duration(one.seconds), one.detail, mono(one.run)] for one in results.phases
    ]
    yield from grid(["Phase of the round trip", "Verdict", "Took", "What", "Run"], phases, (24, 18, 15, 40, 30))
    yield from grid(["Figure", "Where it is from"], [[one.figure, one.source] for one in results.origins], (30, 80))


def _integrity(record: Evidence) -> Iterator[Flowable]:
    yield Heading("8 Integrity")
    rows: list[list[str | Flowable]] = []
    for one in record.integrity.checks:
        rows.append([one.name, one.level, state(one.result), one.detail])
        if one.expected or one.actual:
            rows.append(["", "expected", mono(one.expected), "" if one.expected == one.actual else "they differ"])
            rows.append(["", "found", mono(one.actual), "identical" if one.expected == one.actual else ""])
    yield from grid(["Check", "Level", "Result", "What"], rows, (30, 16, 36, 44))
    integrity = record.integrity
    sample = number(integrity.sample_percent, "%")
    counted = f"{number(integrity.compared_count)} of {number(integrity.source_count)}"
    yield from facts([("Share looked at", sample), ("Compared with the source", counted)])


def _gaps(record: Evidence) -> Iterator[Flowable]:
    gaps = sorted(set(gaps_in(msgspec.to_builtins(record), "")))
    yield Heading("Not measured")
    if not gaps:
        yield note("Every figure that the record has a place for was measured.")
        return
    yield note("Nothing in this file may be read as if one of these figures had been taken.")
    yield mono(", ".join(gaps))


def _controls(record: Evidence) -> Iterator[Flowable]:
    if not record.identity.controls:
        return
    yield Heading("Controls")
    yield note("This record supports an audit of these controls. It makes nobody compliant with anything.")
    rows = [
        [
            f"{one.control.framework} {one.control.control}",
            one.control.asks,
            mono(", ".join(one.control.fields)),
            one.extent,
            one.control.open,
        ]
        for one in answers_of(record)
    ]
    heads = ["Control", "What it asks, in our words", "Fields that answer", "This record", "Not answered by it"]
    yield from grid(heads, rows, (18, 38, 32, 17, 30))
