"""Lines of `holdfast recover`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment
from holdfast.cli.schemas.recoveries import (
    EstimateFacts,
    FindingFacts,
    RecoverApproved,
    RecoverChecked,
    RecoverReviewed,
    RecoverRun,
    RecoverRuns,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.units import format_duration

__all__ = ["approved_lines", "checked_lines", "estimate_words", "reviewed_lines", "run_lines", "runs_lines"]


def estimate_words(one: EstimateFacts) -> str:
    """`2.1 s ± 300 ms, measured`."""
    if one.source == "NOT_MEASURED":
        return f"NOT_MEASURED, at least {format_duration(one.seconds)}" + (f" ({one.why})" if one.why else "")
    error = f" ± {format_duration(one.error_seconds)}" if one.error_seconds else ""
    return f"{format_duration(one.seconds)}{error}, {one.source}"


def _finding_lines(word: str, found: Iterable[FindingFacts]) -> Iterator[str]:
    for one in found:
        yield f"{word} {one.code}: {one.about}: {one.reason}"
        if one.change:
            yield f"  what would help: {one.change}"


def reviewed_lines(record: RecoverReviewed, page: Page) -> Iterator[str]:
    lines = [*_finding_lines("REFUSED", record.refusals), *_finding_lines("warning", record.warnings)]
    yield from folded(lines, page.width)
    yield f"plan {record.plan[:12]}: " + ("may be run" if record.passed else "is refused")


def checked_lines(record: RecoverChecked, page: Page) -> Iterator[str]:
    lines = [*_finding_lines("REFUSED", record.refusals), *_finding_lines("warning", record.warnings)]
    lines += [f"NOT POSSIBLE {step}: {why}" for step, why in record.not_possible.items()]
    yield from folded(lines, page.width)
    facts = [("to", record.site), ("RTO", estimate_words(record.rto)), ("steps", str(record.steps))]
    yield from fact_lines(facts, page.width)


def approved_lines(record: RecoverApproved, page: Page) -> Iterator[str]:
    facts = [
        ("plan", record.plan),
        ("run", record.run),
        ("without", record.without),
        ("approved by", record.by),
        ("until", moment(record.until, page.now_ns)),
    ]
    yield from fact_lines(facts, page.width)


def run_lines(record: RecoverRun, page: Page) -> Iterator[str]:
    kind = "rehearsal of" if record.isolated else "recovery"
    took = "" if record.seconds is None else format_duration(record.seconds)
    open_ended = record.ended is None
    facts = [
        ("run", f"{record.run}, {kind} {record.name} to {record.site}"),
        ("state", record.state),
        ("took", took if not open_ended else ""),
        ("so far", took if open_ended else ""),
        ("left", estimate_words(record.left) if open_ended else ""),
        ("control", f"{record.owner}, {count(record.taken, 'time')} taken" if record.owner else ""),
        ("approved by", ", ".join(record.approvals)),
        ("journal", f"{', '.join(record.journal)}: {record.entries} entries"),
        ("left out", ", ".join(record.left_out)),
        *(
            (one.asset, f"{one.snapshot} of {moment(one.content, page.now_ns)}, from {one.store}")
            for one in record.points
        ),
        ("not undone", record.not_taken_back),
        ("left behind", record.problems),
    ]
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [Column("STEP", elastic=True), Column("STATE"), Column("TRIES", right=True)]
    columns += [Column("TOOK", right=True), Column("PLANNED", right=True)]
    rows = [
        [
            step.id,
            step.state,
            str(step.attempts),
            "" if step.seconds is None else format_duration(step.seconds),
            "?" if step.estimate.source == "NOT_MEASURED" else format_duration(step.estimate.seconds),
        ]
        for step in record.steps
    ]
    yield from table(columns, rows, page.width)
    said = [f"failed: {one}" for one in record.failures]
    said += [f"{step.id} {step.state}: {step.text}" for step in record.steps if step.text and step.state != "failed"]
    yield from folded(said, page.width)


def runs_lines(record: RecoverRuns, page: Page) -> Iterator[str]:
    if not record.runs:
        yield "no runs yet: `holdfast recover plan` begins one"
        return
    columns = [Column("RUN"), Column("RECOVERY", elastic=True), Column("TO"), Column("STATE"), Column("LAST ENTRY")]
    rows = [[one.run, one.name, one.site, one.state, age(one.last, page.now_ns)] for one in record.runs]
    yield from table(columns, rows, page.width)
