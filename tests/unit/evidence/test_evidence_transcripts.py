"""Records of runs in which something is missing, or lies, as text that people read: `transcripts/*.txt`.

`HOLDFAST_WRITE_TRANSCRIPTS=1` writes them anew; then read the difference.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from runs import (
    SECOND,
    START,
    Said,
    example_drill,
    example_plan,
    example_run,
    example_setting,
    instant,
    usual_course,
)
from test_evidence_costs import TERMS, course, plan

from holdfast.evidence.chain import chain_problems, decode_journal, journal_file
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.gathered import Reviewed, RunOfJournal, Setting
from holdfast.evidence.headline import headline_of
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, Deviation, Outcome
from holdfast.evidence.record_setting import CleanUp
from holdfast.evidence.recording import record_of
from holdfast.recovery.journal.entries import Deed

FOLDER = Path(__file__).parent / "transcripts"
change = msgspec.structs.replace
OTHER = "plane:ffeeddccbbaa9988"


class Situation(NamedTuple):
    """`spoil`: what is done to the file of the journal before it is held against the record."""

    run: RunOfJournal | None = None
    setting: Setting = example_setting()
    drill: DrillFacts | None = None
    spoil: Callable[[list[dict[str, object]]], None] = lambda entries: None


def told(*, fault: float, noticed: float) -> RunOfJournal:
    intent = change(
        example_plan().intent, fault_at=START + round(fault * SECOND), noticed_at=START + round(noticed * SECOND)
    )
    return example_run(plan=example_plan(intent=intent))


def stopped() -> list[Said]:
    """Somebody stops it in mid-restore; what was done is taken back, but for the fence."""
    return [
        *usual_course()[:5],
        (6.0, Deed.STOPPED, {"by": "ann", "text": "the site is back"}),
        (7.0, Deed.FAILED, {"step": "restore-run", "attempt": 1, "text": "it was stopped", "facts": {"retry": False}}),
        (7.1, Deed.UNDOING, {"step": "restore-run"}),
        (7.5, Deed.UNDONE, {"step": "restore-run"}),
        (7.6, Deed.ENDED, {"text": "STOPPED", "facts": {"not_taken_back": "fence-run", "problems": ""}}),
    ]


def adopted() -> list[Said]:
    """The control plane is gone after the fence; another one, whose clock is 2 s behind, goes on."""
    said = usual_course()
    rest: list[Said] = [(at - 2.0, deed, {**more, "by": OTHER}) for at, deed, more in said[4:]]
    return [*said[:4], (4.0, Deed.TAKEN, {"by": OTHER, "text": "adopted"}), *rest]


def without_an_entry(entries: list[dict[str, object]]) -> None:
    del entries[5]


def of_another_plan(entries: list[dict[str, object]]) -> None:
    first = entries[0]["entry"]
    assert isinstance(first, dict)
    first["plan"] = str(first["plan"]).replace('"facts_at":', '"facts_at":9')


DIFFERS = Check(
    name="content as at the source",
    level=CheckLevel.HASHES,
    result=CheckResult.FAILED,
    detail="2 of 3 files",
    expected="cd" * 32,
    actual="ab" * 32,
)
SITUATIONS = {
    "nobody told when the fault was": Situation(example_run()),
    "the fault and its being noticed were told": Situation(told(fault=0.0, noticed=1.5)),
    "it was noticed after it was decided": Situation(told(fault=0.0, noticed=20.0)),
    "somebody stopped it": Situation(example_run(stopped())),
    "another control plane went on whose clock is behind": Situation(example_run(adopted())),
    "the file of the journal lacks an entry": Situation(example_run(), spoil=without_an_entry),
    "the file of the journal has another plan": Situation(example_run(), spoil=of_another_plan),
    "a drill broke before any run": Situation(
        None, drill=example_drill(outcome=Outcome.ERROR, why="the fault did not bite", phases=(), checks=())
    ),
    "a drill could not clean up after a run that passed": Situation(
        example_run(),
        drill=example_drill(
            outcome=Outcome.ERROR,
            why="not all could be cleared away",
            clean_up=CleanUp(created=("a folder",), removed=(), left=("a folder",)),
        ),
    ),
    "a drill was stopped before any run": Situation(
        None, drill=example_drill(outcome=Outcome.STOPPED, why="the lever was pulled", phases=(), checks=())
    ),
    "a drill failed where its run passed": Situation(
        example_run(), drill=example_drill(outcome=Outcome.FAILED, why="what came back differs", checks=(DIFFERS,))
    ),
    "something was made to go wrong to try the drill": Situation(
        example_run(), drill=example_drill(outcome=Outcome.FAILED, checks=(DIFFERS,), planted="wrong-checksum")
    ),
    "a drill whose probe saw nothing": Situation(example_run(), drill=example_drill(detections=(), moments=())),
    "a drill whose probe is ahead of the fault": Situation(
        example_run(), drill=example_drill(detections=(change(example_drill().detections[0], at=instant(0.5)),))
    ),
    "the review warned": Situation(
        example_run(),
        example_setting(
            reviewed=(Reviewed(code="LATE", about="run", reason="it misses its RTO of 60 s by 5 s", refused=False),),
        ),
    ),
    "costs of which every input is known": Situation(
        example_run(course(), plan()),
        example_setting(terms=TERMS),
        example_drill(faults=(), detections=(), moments=(), fault_step=87),
    ),
    "costs of a recovery in earnest": Situation(example_run(course(), plan()), example_setting(terms=TERMS)),
    "costs that nothing was declared for": Situation(
        example_run(course(), plan()),
        example_setting(terms=change(TERMS, pools=(), ways=(), training=())),
    ),
}


def lines_of(record: Evidence) -> Iterator[str]:
    results = record.results
    yield from (str(headline_of(record)), f"outcome: {results.outcome}", "")
    for name, one in (("RPO", results.verdict.rpo), ("RTO", results.verdict.rto), ("copies", results.verdict.copies)):
        yield f"{name}: {one.state}: {one.reason}"
    yield f"recovery point: {results.recovery_point or 'none'}, at {results.recovery_site or 'no site'}"
    lost = results.work_lost
    yield f"lost: {lost.steps} steps, {lost.gpu_hours} GPU-hours, {lost.usd} USD"
    yield ""
    yield from (f"{one.figure}: {one.source}" for one in results.origins)
    yield from (f"step {row.step}: {row.state}, {row.attempts} attempts, {row.seconds} s" for row in record.steps)
    yield from (f"check {one.name}: {one.result}: {one.detail}" for one in record.integrity.checks)
    for one in record.deviations:
        yield f"deviation: {one.kind.value}: {one.text}" if isinstance(one, Deviation) else f"deviation: {one}"
    yield from (f"finding: {one.severity.value}: {one.text} Retest: {one.retest}" for one in record.findings)
    yield from (f"left over: {one}" for one in record.clean_up.left)
    if record.costs is not None:
        costs = record.costs
        yield f"costs: spent {costs.spent}, lost {costs.gpu_hours} GPU-hours, {costs.lost_amount} {costs.currency}"
        notes = [note for one in costs.compute for note in one.notes] + [n for one in costs.reading for n in one.notes]
        yield from (f"  {note}" for note in [*notes, *(note for one in costs.lost for note in one.notes)])


def transcript(name: str, situation: Situation) -> str:
    run = situation.run
    record = record_of(run, situation.setting, situation.drill)
    assert contradictions(record) == []
    lines = [f"# {name}", "", *lines_of(record)]
    if run is not None:
        content = msgspec.json.decode(journal_file(run.run, run.stores, run.entries, run.head))
        situation.spoil(content["entries"])
        journal = decode_journal(msgspec.json.encode(content), "journal.json")
        found = chain_problems(journal, record)
        lines += ["", *(f"NOT ACCEPTED: {one}" for one in found)] if found else []
    told_ = [textwrap.fill(line, 118, subsequent_indent="    ", break_on_hyphens=False) for line in lines]
    return "\n".join(told_) + "\n"


def _file(name: str) -> Path:
    return FOLDER / f"{name.replace(' ', '-')}.txt"


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str) -> None:
    text = transcript(name, SITUATIONS[name])
    if os.environ.get("HOLDFAST_WRITE_TRANSCRIPTS"):
        FOLDER.mkdir(exist_ok=True)
        _file(name).write_text(text)
    assert _file(name).read_text() == text


def test_every_transcript_is_of_a_situation() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {_file(name).name for name in SITUATIONS}


def test_what_was_not_measured_has_a_reason_in_every_situation() -> None:
    for name, one in SITUATIONS.items():
        record = record_of(one.run, one.setting, one.drill)
        told_ = {origin.figure: origin.source for origin in record.results.origins}
        for part, value in record.results.measured.split.parts():
            assert (str(value) == "NOT_MEASURED") == ("NOT_MEASURED" in told_[f"RTO: {part}"]), (name, part)
