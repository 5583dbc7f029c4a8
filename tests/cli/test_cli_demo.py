"""`holdfast demo`: what it says of a record, and its exit codes. The drill itself is tested where drills are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from terminal import Terminal

from holdfast.control import demonstrating
from holdfast.evidence.bundle import EvidenceFiles
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Outcome
from holdfast.objectives import Measured, judge

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/evidence"))

from factory import example_evidence, unmeasured_evidence


def _play(monkeypatch: pytest.MonkeyPatch, record: Evidence) -> None:
    """Let the demo end with this record."""
    files = EvidenceFiles(
        folder=Path(),
        evidence=Path("e.json"),
        signature=Path("manifest.sig"),
        page=Path("e.html"),
        pdf=None,
        sha256="ab" * 32,
        signer="cd" * 16,
        record=record,
    )

    def run_demo(folder: Path, *rest: Any, say: Any, **options: Any) -> demonstrating.DemoResult:
        say(1.5, "site A is wiped")
        return demonstrating.DemoResult(record, files)

    monkeypatch.setattr(demonstrating, "run_demo", run_demo)


def test_a_met_objective_is_told_with_its_figures(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    record = example_evidence()
    _play(monkeypatch, record)
    said = terminal.ok("demo")
    assert "   1.5 s  site A is wiped" in said.err
    assert said.fact("objective").endswith("MET")
    assert said.fact("RPO").endswith("7 training steps")
    assert "detect" in said.fact("RTO")
    assert said.fact("proof").startswith("bit-identical")
    assert said.fact("evidence") == "e.html"
    assert said.last.startswith("demo PASSED, objective MET, recovered ")
    played = terminal.json("demo", "demo")
    assert played["recovery"]["site"] == "B"
    assert played["recovery"]["steps_lost"] == 7
    assert played["recovery"]["rpo"] == pytest.approx(record.results.verdict.rpo.measured)
    assert [line for line in said.out.splitlines() if len(line) > 80] == []


def test_a_missed_objective_ends_with_9(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    record = example_evidence()
    objective = record.targets.objective
    late = msgspec.structs.replace(record.results.measured, content_ns=0)
    results = msgspec.structs.replace(
        record.results, measured=late, verdict=judge(objective, late), outcome=Outcome.FAILED
    )
    _play(monkeypatch, example_evidence(results=results))
    said = terminal.run("demo")
    assert said.code == 9
    assert "objective MISSED" in said.last


def test_what_was_not_measured_is_never_good_news(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    _play(monkeypatch, unmeasured_evidence())
    said = terminal.run("demo")
    assert said.code == 9
    assert said.fact("RPO").startswith("NOT_MEASURED")
    assert "DIFFERS" in said.fact("proof")
    played = terminal.json("demo", "demo", code=9)
    assert played["recovery"]["rpo"] is None
    assert played["bit_identical"] is False


def test_a_run_that_failed_within_its_objective_ends_with_1(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = example_evidence()
    assert isinstance(record.results.measured, Measured)
    _play(monkeypatch, example_evidence(results=msgspec.structs.replace(record.results, outcome=Outcome.FAILED)))
    assert terminal.run("demo").code == 1


def test_a_folder_that_holds_something_else_is_refused(terminal: Terminal) -> None:
    (terminal.folder / "mine").mkdir()
    (terminal.folder / "mine/precious").write_text("x")
    for flags in ([], ["--overwrite"]):
        said = terminal.run("demo", "--dir", "mine", *flags)
        assert said.code == 5
        assert (terminal.folder / "mine/precious").exists()
