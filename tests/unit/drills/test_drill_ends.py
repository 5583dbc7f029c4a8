"""How a drill ends where its end goes wrong: what it may then still say."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.drilling import conducting, levels, taking_back
from holdfast.control.drilling.conducting import Order, conduct
from holdfast.drills.outcomes import DrillOutcome
from holdfast.drills.recovering import compare
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Source, Stage
from holdfast.drills.trial.digests import digest_tree
from holdfast.drills.trial.founding import sandbox_terms
from holdfast.drills.trial.organisation import Trial
from holdfast.drills.troubles import DrillBroken, DrillStopped
from holdfast.evidence.record_outcome import CheckResult, Outcome
from holdfast.evidence.record_setting import Disruption
from holdfast.objectives import NOT_MEASURED, State


def _order(play: Any, **options: Any) -> Order:
    scenario = Scenario(
        name="nothing", disruption=Disruption.NONE, summary="", expects="", real="", simulated="", play=play
    )
    usual = {"level": "simulation", "terms": sandbox_terms(), "prepare": lambda stage: None, "commands": False}
    return Order(id="0" * 20, name="", scenario=scenario, **(usual | options))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[DrillOutcome]:
    """Stands for the writing of evidence, which needs a vault: what was to be signed, and a file."""
    found: list[DrillOutcome] = []

    def write(trial: Any, order: Order, outcome: DrillOutcome, folder: Path) -> tuple[list[str], str]:
        found.append(outcome)
        folder.mkdir()
        (folder / "evidence.json").write_text(outcome.state.value)
        return [str(folder / "evidence.json")], ""

    monkeypatch.setattr(conducting, "write_evidence", write)
    return found


def test_evidence_that_says_passed_goes_when_the_drill_could_not_clean_up(
    environment: dict[str, str], signed: list[DrillOutcome]
) -> None:
    order = _order(lambda stage: None, plant="clean-up-that-fails")
    ended = conduct(order, environment, SYSTEM_CLOCK, lambda text: None)
    assert signed[0].state is Outcome.PASSED and ended.state is Outcome.ERROR
    assert ended.evidence == () and "thrown away" in ended.evidence_problem
    assert not list(Path(environment["XDG_STATE_HOME"]).rglob("evidence.json"))


def test_what_is_kept_at_stores_is_signed_when_it_is_known_how_the_drill_ended(
    environment: dict[str, str], signed: list[DrillOutcome]
) -> None:
    """Nobody can throw that away: it must not say PASSED of a drill that left something."""
    stays = {"evidence_of": SimpleNamespace()}
    order = _order(lambda stage: None, plant="clean-up-that-fails", **stays)
    ended = conduct(order, environment, SYSTEM_CLOCK, lambda text: None)
    assert [one.state for one in signed] == [Outcome.ERROR] and ended.state is Outcome.ERROR and ended.evidence
    assert signed[0].facts.clean_up.left and not signed[0].facts.clean_up.later
    ended = conduct(_order(lambda stage: None, **stays)._replace(id="1" * 20), environment, SYSTEM_CLOCK, print)
    assert signed[1].state is ended.state is Outcome.PASSED and signed[1].facts.clean_up == ended.facts.clean_up
    assert ended.facts.clean_up.removed and not ended.facts.clean_up.later


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_signed_does_not_say_that_nothing_is_left(
    environment: dict[str, str], signed: list[DrillOutcome], keep: bool
) -> None:
    ended = conduct(_order(lambda stage: None, keep=keep), environment, SYSTEM_CLOCK, lambda text: None)
    said = signed[0].facts.clean_up
    assert said.later is not keep and bool(said.left) is keep and ended.evidence
    assert ended.state is Outcome.PASSED and bool(ended.facts.clean_up.left) is keep


def test_a_fault_that_nobody_saw_bite_before_it_was_stopped_is_in_the_record(
    environment: dict[str, str], signed: list[DrillOutcome]
) -> None:
    def stopped() -> str:
        raise DrillStopped("the lever was pulled")

    def play(stage: Stage) -> None:
        stage.inject("it burns", lambda: None, stopped)

    ended = conduct(_order(play), environment, SYSTEM_CLOCK, lambda text: None)
    assert ended.state is Outcome.STOPPED and [one.bit for one in ended.facts.faults] == [NOT_MEASURED]

    def act() -> None:
        raise DrillStopped("the lever was pulled")

    stage_play = lambda stage: stage.inject("it burns", act, lambda: "it does")  # noqa: E731
    again = conduct(_order(stage_play)._replace(id="1" * 20), environment, SYSTEM_CLOCK, lambda text: None)
    assert again.state is Outcome.STOPPED and len(again.facts.faults) == 1


class _Recoveries:
    """A rehearsal of which somebody hears in its middle, and what is said to it."""

    said: ClassVar[list[tuple[str, str, str]]] = []

    def __init__(self, sites: object) -> None:
        pass

    def plan(self, wanted: object) -> Any:
        return SimpleNamespace(run="f" * 20)

    def run(self, file: object, target: str, watch: Any) -> None:
        watch(None, None)
        watch(None, None)

    def say(self, run: str, deed: object, *, reason: str) -> None:
        self.said.append((run, str(deed), reason))


def test_a_component_that_is_stopped_is_stopped_and_so_is_its_run(
    environment: dict[str, str], signed: list[DrillOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its journal lies at the declared stores: a run without an end there keeps every later drill from beginning."""
    monkeypatch.setattr(levels, "Recoveries", _Recoveries)
    looked: list[int] = []

    def pulled(self: object, drill: str = "") -> str:
        looked.append(1)
        return "enough" if len(looked) > 1 else ""

    monkeypatch.setattr("holdfast.drills.lever.Lever.pulled", pulled)
    order = levels.component_drill(_order(lambda stage: None, level="component"), None, "x")  # type: ignore[arg-type]
    asked: list[str] = []

    def take_back(sites: object, run: str) -> str:
        asked.append(run)
        return "" if len(asked) == 1 else "no store answers"

    monkeypatch.setattr("holdfast.control.drilling.conducting.take_back", take_back)
    order = order._replace(evidence_of=SimpleNamespace())  # type: ignore[arg-type]
    ended = conduct(order, environment, SYSTEM_CLOCK, lambda text: None)
    assert ended.state is Outcome.STOPPED and "enough" in ended.facts.why and ended.runs == ("f" * 20,)
    assert _Recoveries.said == [("f" * 20, "stopped", "the lever was pulled: enough")]
    assert asked == ["f" * 20] and not ended.facts.clean_up.left
    looked.clear()
    again = conduct(order._replace(id="1" * 20), environment, SYSTEM_CLOCK, lambda text: None)
    assert again.state is Outcome.ERROR and "no store answers" in again.facts.why  # what the run needs stays
    assert list(Path(environment["XDG_STATE_HOME"]).glob(f"holdfast/drills/{'1' * 20}/trial"))


def test_an_empty_folder_equals_nothing(tmp_path: Path) -> None:
    trial = Trial(tmp_path, sandbox_terms(), {}, SYSTEM_CLOCK, lambda: None)
    stage = Stage(trial, SYSTEM_CLOCK, look=lambda: None, told=lambda text: None)
    (tmp_path / "empty").mkdir()
    stage.sources["s"] = Source("s", digest_tree(tmp_path / "empty"), 1, 1)
    with pytest.raises(DrillBroken, match="no file"):
        compare(stage, "s", tmp_path / "empty")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / name).write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "one" / f"a 0 {digest}\nfile b").write_bytes(b"")
    assert digest_tree(tmp_path / "one").sha256 != digest_tree(tmp_path / "two").sha256


def test_sigterm_stops_a_drill_which_takes_back_what_it_broke(
    environment: dict[str, str], signed: list[DrillOutcome]
) -> None:
    healed: list[str] = []

    def play(stage: Stage) -> None:
        stage.inject("it burns", lambda: None, lambda: "it does", heal=lambda: healed.append("out"))
        os.kill(os.getpid(), signal.SIGTERM)
        with stage.phase("failover"):
            raise AssertionError("it went on")

    before = signal.getsignal(signal.SIGTERM)
    ended = conduct(_order(play), environment, SYSTEM_CLOCK, lambda text: None)
    assert ended.state is Outcome.STOPPED and "SIGTERM" in ended.facts.why and healed == ["out"]
    assert ended.facts.faults[0].healed is not None and not ended.facts.clean_up.left
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fault_that_does_not_bite_is_an_error(
    environment: dict[str, str], signed: list[DrillOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.drills.stage._BITE_SECONDS", 0.1)
    bitten: list[str] = []

    def play(stage: Stage) -> None:
        stage.inject("it burns", lambda: bitten.append("burnt"), lambda: "".join(bitten))
        raise AssertionError("it went on")

    order = _order(play, plant="fault-that-does-not-bite")
    ended = conduct(order, environment, SYSTEM_CLOCK, lambda text: None)
    assert ended.state is Outcome.ERROR and "did not bite" in ended.facts.why and ended.facts.faults[0].bit is False
    assert ended.verdict.rto.state is State.NOT_MEASURED


def test_content_that_differs_makes_it_fail(
    tmp_path: Path, environment: dict[str, str], signed: list[DrillOutcome]
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "weights").write_bytes(b"undamaged")

    def play(stage: Stage) -> None:
        stage.sources["s"] = Source("s", digest_tree(tmp_path / "source"), 1, 1)
        stage.restored = stage.verified = True
        compare(stage, "s", tmp_path / "source")

    ended = conduct(_order(play, plant="wrong-checksum"), environment, SYSTEM_CLOCK, lambda text: None)
    assert ended.state is Outcome.FAILED and "differs from the undamaged source" in ended.facts.why
    assert [one.result for one in ended.facts.checks] == [CheckResult.FAILED] and ended.facts.findings
    assert not ended.measured.verified and ended.exit_code == 1


@pytest.mark.parametrize("verdict", ["FAILED", "PASSED", "STOPPED"])
def test_machines_of_a_run_that_ended_are_given_back_though_its_drill_died_then(
    verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that failed keeps what it began, until somebody puts it in order."""
    given: list[str] = []
    state = SimpleNamespace(verdict=verdict, owner="somebody")
    status = SimpleNamespace(state=state, plan=SimpleNamespace(intent=SimpleNamespace(isolated=True)))
    computing = "holdfast.control.recovering.actors.computing.give_back_all"
    monkeypatch.setattr(computing, lambda services, plan, run, progress: given.append(run))
    monkeypatch.setattr("holdfast.control.recovering.actors.services.Services", lambda sites: None)
    monkeypatch.setattr(taking_back, "Recoveries", lambda sites: SimpleNamespace(status=lambda run: status))
    assert taking_back.take_back(SimpleNamespace(progress=None), "r" * 20) == ""  # type: ignore[arg-type]
    assert given == ["r" * 20]
