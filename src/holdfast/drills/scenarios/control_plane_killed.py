"""`control-plane-killed`: SIGKILL in the middle of the run, and the machine's memory is gone; adopted elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from holdfast.drills.recovering import approve, compare, finish, plan
from holdfast.drills.scenarios.places import lose_home, lose_site
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.commands import Running
from holdfast.drills.trial.organisation import APPROVER, DEPUTY, OPERATOR, Trial
from holdfast.drills.troubles import DrillBroken, DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption

__all__ = ["CONTROL_PLANE_KILLED"]

_GATE: Final = """\
version: 1
steps:
  - id: gate
    kind: shell
    title: a step of the drill's own, in which the control plane is killed
    after: [restore]
    before: [verify]
    command: [/bin/sh, -c, "touch {reached}; while [ ! -e {opened} ]; do sleep 0.05; done"]
    done: [/usr/bin/test, -e, "{opened}"]
    no_undo: it changes nothing
    timeout: 10min
    rehearse: true
"""
_REACHED_SECONDS: Final = 300.0


def gate(trial: Trial) -> str:
    """A runbook with a step that waits until the drill lets it go on."""
    reached, opened = trial.folder / "gate-reached", trial.folder / "gate-opened"
    return _GATE.format(reached=reached, opened=opened)


def play(stage: Stage) -> None:
    trial = stage.trial
    names = [one.name for one in trial.terms.sites]
    with stage.phase("fault") as said:
        home = lose_home(stage)
        trial.declare(runbook=gate(trial))
        planned = plan(stage)
        approve(stage, planned)
        stage.mark(MomentKind.DECIDED, "it was decided: the plan is approved, and is run")
        target = trial.folder / "restored" / planned.run
        running = trial.start(OPERATOR, "recover", "run", planned.file, "--target", target, "--yes")
        reached = trial.folder / "gate-reached"

        def middle() -> bool:
            if running.code is not None:
                raise DrillFailed(f"the run ended before its middle: {running.wait(1.0).error}")
            return reached.exists()

        stage.wait_until(middle, _REACHED_SECONDS, "the run did not come to its middle")
        machine = trial.folder / "machines" / "one"
        stage.inject(
            "the control plane is killed in mid-run (SIGKILL), and its machine's memory is gone",
            lambda: _kill(stage, running, machine),
            lambda: "the process is gone, and so is what it remembered" if running.code == -9 else "",
            site=names[-1],
        )
        if len(names) >= 4:  # of three stores of the journal one may be lost
            lose_site(stage, names[-1])
        else:
            stage.simulated.append(f"{names[-1]} stays: of a journal at two stores both are needed")
        said.append(
            f"{home} is lost; in mid-run the control plane is killed" + (f" with {names[-1]}" * (len(names) > 3))
        )
    with stage.phase("failover") as said:
        (trial.folder / "gate-opened").touch()
        adopted = trial.run(DEPUTY, "recover", "adopt", planned.run, machine="two")
        ran = finish(stage, planned, target, adopted.code, adopted.data, adopted.error)
        if ran.facts["taken"] < 2:
            raise DrillBroken("the run was never adopted: its first control plane ended it")
        again = [one["id"] for one in ran.facts["steps"] if one["state"] == "done" and one["attempts"] > 1]
        if any(name.startswith("restore") for name in again):
            raise DrillFailed("what was restored already was restored again")
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"another machine adopted it with another key; step {ran.plan.step}, restored once", planned.run]


def _kill(stage: Stage, running: Running, machine: Path) -> None:
    running.kill()
    stage.wait_until(lambda: running.code is not None, 30.0, "the control plane does not end")
    shutil.rmtree(machine)


CONTROL_PLANE_KILLED = Scenario(
    name="control-plane-killed",
    disruption=Disruption.CONTROL_PLANE,
    summary="The home is lost; in the middle of the recovery its control plane is killed, with all that it remembered.",
    expects="another machine adopts the run from the stores alone, and finishes it; nothing is done twice",
    real="SIGKILL, the machine's memory deleted, with four sites also a store of the journal; the journal decides",
    simulated="a step of the drill's own holds the run in its middle until it is killed",
    play=play,
    people=(APPROVER, DEPUTY),
)
