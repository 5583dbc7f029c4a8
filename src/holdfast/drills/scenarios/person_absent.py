"""`person-absent`: the approval has ended when it is needed, and the approver cannot be reached: another one can."""

from __future__ import annotations

from typing import Final

from holdfast.drills.recovering import approve, compare, plan, refusals, run
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.organisation import APPROVER, DEPUTY, OPERATOR
from holdfast.drills.troubles import DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption, Person

__all__ = ["PERSON_ABSENT"]

_LASTS_SECONDS: Final = 1.0


def play(stage: Stage) -> None:
    with stage.phase("fault") as said:
        home = lose_home(stage)
        said.append(f"{home} is lost, and a probe noticed")
    with stage.phase("absence") as said:
        planned = plan(stage)
        own = stage.trial.run(OPERATOR, "recover", "approve", planned.file, "--for", "1h")
        if own.code != 5:
            raise DrillFailed("whoever asked for the plan could approve it, too")
        stage.mark(MomentKind.CHECK, "the one who asked may not approve")
        approve(stage, planned, APPROVER, lasting=f"{_LASTS_SECONDS:.0f}s")
        stage.inject(
            f"the approver's word ends after {_LASTS_SECONDS:.0f} s, and the approver is away",
            lambda: stage.clock.sleep(_LASTS_SECONDS),
            lambda: refusals(stage, planned).get("APPROVAL_EXPIRED", ""),
            site=home,
        )
        stage.absent.append(Person(role="approver", name=APPROVER, absent=True, detail="the approval had expired"))
        refused = stage.trial.run(
            OPERATOR, "recover", "run", planned.file, "--target", stage.trial.folder / "restored" / "refused", "--yes"
        )
        if refused.code not in (5, 7):
            raise DrillFailed(f"a run with an approval that has ended was not refused (it ended with {refused.code})")
        said.append(f"refused: {refused.error}"[:300])
    with stage.phase("failover") as said:
        approve(stage, planned, DEPUTY)
        stage.mark(MomentKind.DECIDED, "the second approver approved, and it is run")
        ran = run(stage, planned)
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"approved by the deputy; step {ran.plan.step} at {ran.plan.site}", ran.plan.run]


PERSON_ABSENT = Scenario(
    name="person-absent",
    disruption=Disruption.PERSON,
    summary="The approval ends before the plan is run, and the approver cannot be reached.",
    expects="the run is refused; whoever asked cannot approve it either; a second approver can",
    real="an expired approval, refusals of the real review, another keeper's signature",
    simulated="nobody is called: people are keys of the drill, and waiting takes a second",
    play=play,
    people=(APPROVER, DEPUTY),
)
