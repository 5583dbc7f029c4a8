"""Lines of `holdfast evidence`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment
from holdfast.cli.schemas.evidence import (
    CostFacts,
    EvidenceExported,
    EvidenceFacts,
    EvidenceFindings,
    EvidenceList,
    EvidenceShown,
    EvidenceTrends,
    EvidenceVerified,
    FigureFacts,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.economics.amounts import format_money
from holdfast.units import format_duration

__all__ = ["exported_lines", "findings_lines", "list_lines", "shown_lines", "trends_lines", "verified_lines"]


def _figure(one: FigureFacts) -> str:
    if one.unit == "sites":
        told = "" if one.measured is None else f"{one.measured:.0f} of {one.target:.0f}, " if one.target else ""
        return f"{told}{one.state}" if one.measured is not None else f"{one.state}: {one.reason}"
    if one.measured is None or one.measured < 0:
        return f"{one.state}: {one.reason}"
    owed = "" if one.target is None else f", at most {format_duration(one.target)} is owed"
    return f"{format_duration(one.measured)}{owed}: {one.state}"


def _lines(one: EvidenceFacts, page: Page, *more: tuple[str, str]) -> Iterator[str]:
    proofs = [
        f"{proof.action}: entry {proof.place} of {proof.size}"
        + (f", seen by {', '.join(proof.witnesses)}" if proof.witnesses else ", no witness")
        + (" (this evidence)" if proof.of_evidence else "")
        for proof in one.proven
    ]
    facts = [
        ("record", one.record),
        ("run", one.run),
        ("what", one.title),
        ("kind", f"{one.kind}, {one.exercise}, {one.environment}, {one.scenario}"),
        ("assets", ", ".join(one.assets)),
        ("ended", moment(one.ended or one.began, page.now_ns)),
        ("outcome", f"{one.outcome}{f': {one.why}' if one.why else ''}"),
        ("RPO", _figure(one.rpo)),
        ("RTO", _figure(one.rto)),
        ("copies", _figure(one.copies)),
        ("point", one.recovery_point),
        *_costs(one.costs),
        ("deviations", str(one.deviations)),
        ("findings", "; ".join(one.findings) or "none"),
        ("closed", count(one.closed, "earlier finding") if one.closed else ""),
        ("gaps", f"{count(one.gaps, 'figure')} NOT_MEASURED" if one.gaps else "none"),
        ("log", "; ".join(proofs) or "nothing of it is proven to be in an audit log"),
        ("signer", one.signer),
        ("countersigned", one.countersigner),
        ("sha256", one.sha256),
        *more,
    ]
    yield from fact_lines(facts, page.width)


def _costs(one: CostFacts | None) -> list[tuple[str, str]]:
    if one is None:
        return []
    hours = "NOT_MEASURED" if one.gpu_hours_lost is None else f"{one.gpu_hours_lost:,.4g} GPU-hours"
    facts = [("spent", _money(one.spent, one)), ("lost", f"{hours}, {_money(one.money_lost, one)}")]
    return [*facts, ("not counted", "; ".join(one.missing))] if one.missing else facts


def _money(value: float | None, costs: CostFacts) -> str:
    return "NOT_MEASURED" if value is None else format_money(value, costs.currency)


def shown_lines(record: EvidenceShown, page: Page) -> Iterator[str]:
    who = record.signed_by or "a key that this vault does not know"
    more = [("signed by", who), ("kept at", ", ".join(record.stores))]
    journal = record.journal
    if journal is not None:
        told = f"{journal.same} of {count(journal.entries, 'entry')} at a majority of its stores, byte by byte"
        more.append(("journal", "; ".join([told, *journal.problems])))
    yield from _lines(record.evidence, page, *more)


def verified_lines(record: EvidenceVerified, page: Page) -> Iterator[str]:
    who = (
        "one who signed it is whom you named"
        if record.trusted
        else "compare the fingerprint with one from elsewhere: --signer"
    )
    yield from _lines(record.evidence, page, ("trust", who))


def exported_lines(record: EvidenceExported, page: Page) -> Iterator[str]:
    facts = [
        ("folder", record.folder),
        ("files", ", ".join(record.evidence.files)),
        ("added", ", ".join(record.added)),
        ("log", record.log),
        ("controls", record.controls or ""),
        ("signer", record.evidence.signer),
    ]
    yield from fact_lines(facts, page.width)


def list_lines(record: EvidenceList, page: Page) -> Iterator[str]:
    if not record.evidence:
        yield "no evidence yet: drills and `holdfast recover run` leave some"
        return
    columns = [Column("RUN"), Column("WHAT", elastic=True), Column("OUTCOME"), Column("RPO"), Column("RTO")]
    columns += [Column("KEPT")]
    good = [one for one in record.evidence if not one.problem]
    rows = [[one.run, one.title, one.outcome, one.rpo, one.rto, age(one.kept, page.now_ns)] for one in good]
    yield from table(columns, rows, page.width)
    bad = [f"NOT BELIEVED {one.run}: {one.problem}" for one in record.evidence if one.problem]
    yield from folded(bad, page.width)


def trends_lines(record: EvidenceTrends, page: Page) -> Iterator[str]:
    if not record.records:
        yield "no evidence yet: drills and `holdfast recover run` leave some"
    for asset in record.assets:
        yield asset.asset
        columns = [Column("  ENDED"), Column("RUN"), Column("SCENARIO", elastic=True), Column("OUTCOME")]
        columns += [Column("RTO", right=True), Column("RPO", right=True)]
        rows = [
            [
                f"  {one.ended[:10]}",
                one.run[:12],
                one.scenario,
                one.outcome,
                _cell(one.rto, one.rto_state),
                _cell(one.rpo, one.rpo_state),
            ]
            for one in asset.points
        ]
        yield from table(columns, rows, page.width)
    told, facts = record.calibration, []
    if told.factor is not None and told.coverage is not None:
        words = f"of {count(told.runs, 'predicted run')}, in the median {told.factor:.2f} times what was planned"
        facts.append(("calibration", f"{words}; {100 * told.coverage:.0f} % within the stated error"))
    else:
        facts.append(("calibration", "NOT_MEASURED: no run of which the steps were predicted has passed"))
    facts += [("findings", f"{len(record.findings)} open, {record.closed} closed"), ("chart", record.svg or "")]
    yield from fact_lines(facts, page.width)
    yield from folded(_due(record), page.width)
    yield from folded(_findings(record), page.width)


def findings_lines(record: EvidenceFindings, page: Page) -> Iterator[str]:
    if not record.findings:
        yield (
            "no finding is open" if record.records else "no evidence yet: drills and `holdfast recover run` leave some"
        )
    for number, one in enumerate(record.findings):
        if number:
            yield ""
        facts = [
            ("finding", one.id),
            ("severity", one.severity),
            ("what", one.text),
            ("recovery", f"{one.recovery}, {one.scenario}"),
            ("opened", f"{moment(one.opened, page.now_ns)}, seen {count(one.seen, 'time')}"),
            ("owner", one.owner or "nobody"),
            ("due", f"{one.due}{', OVERDUE' if one.overdue else ''}" if one.due else "no day"),
            ("closed by", one.retest),
            ("credit", one.credit),
        ]
        yield from fact_lines(facts, page.width)


def _cell(seconds: float | None, state: str) -> str:
    return state if seconds is None else f"{format_duration(seconds)} {state}"


def _due(record: EvidenceTrends) -> Iterator[str]:
    for one in record.drills:
        if one.overdue_seconds is None:
            yield f"drill {one.name}: never held, owed every {format_duration(one.every_seconds)}"
        elif one.overdue_seconds > 0:
            yield f"drill {one.name}: OVERDUE by {format_duration(one.overdue_seconds)}, last held {one.last[:10]}"


def _findings(record: EvidenceTrends) -> Iterator[str]:
    for one in record.findings:
        late = ", OVERDUE" if one.overdue else ""
        who = f"{one.owner or 'nobody'}, due {one.due or 'no date'}{late}"
        yield f"open {one.id} {one.severity}: {one.text} ({one.recovery}, {one.scenario}; {who})"
