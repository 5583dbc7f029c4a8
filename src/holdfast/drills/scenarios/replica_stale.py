"""`replica-stale`: copies stopped long ago, and nobody noticed; then the home is lost.

The review has to refuse what is older than three intervals; whoever accepts the loss asks for that moment, and the loss
is measured.
"""

from __future__ import annotations

import os
from typing import Final

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.drills.recovering import approve, compare, plan, refusals, run
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.founding import save
from holdfast.drills.trial.writer import write_state
from holdfast.drills.troubles import DrillBroken, DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption, Exclusion
from holdfast.units import format_duration

__all__ = ["REPLICA_STALE"]

_TOLERATED: Final = 3  # intervals
_STALE: Final = 3.5  # intervals: more than are tolerated
_SIZE: Final = 65_536


def play(stage: Stage) -> None:
    trial = stage.trial
    interval = trial.terms.save_every
    if interval is None:
        raise DrillBroken("nobody says how often the trial's asset is saved")
    copied = max(source.content_ns for source in stage.sources.values())
    with stage.phase("fault") as said:
        step = 1 + max(source.step or 0 for source in stage.sources.values())
        state = write_state(trial.folder / "work" / "uncopied", step, _SIZE)
        newest = save(stage, state, step)
        age = (stage.clock.now_ns() - copied) / NANOSECONDS
        stage.inject(
            f"copies stopped {format_duration(age)} ago: the newest snapshot lies at the home alone",
            lambda: None,
            lambda: _only_at_home(stage, newest),
            site=trial.terms.home,
        )
        home = lose_home(stage)
        said.append(f"{home} is lost, and what is left is {format_duration(age)} old")
    stale = age > _TOLERATED * interval
    if not stale:
        reason = f"{format_duration(age)} is within {_TOLERATED} intervals: the review has nothing to refuse"
        stage.exclusions.append(Exclusion(what="the refusal of a stale copy", reason=reason))
    with stage.phase("refusal" if stale else "review") as said:
        first = plan(stage)
        approve(stage, first)
        found = refusals(stage, first)
        if stale and "STALE_REPLICA" not in found:
            raise DrillFailed(f"a copy of {format_duration(age)} ago was not refused: {', '.join(found) or 'nothing'}")
        said.append(
            found.get("STALE_REPLICA", f"{format_duration(age)} is within three intervals: no refusal was tried")
        )
        stage.mark(MomentKind.CHECK, said[0])
    with stage.phase("failover") as said:
        accepted = plan(stage, more=("--as-of", to_rfc3339(first.content_ns + NANOSECONDS)))
        approve(stage, accepted)
        stage.mark(MomentKind.DECIDED, "the loss was accepted, by asking for that moment")
        ran = run(stage, accepted)
        compare(stage, ran.plan.snapshot, ran.target)
        if ran.plan.snapshot == newest:
            raise DrillBroken("the snapshot that was at the home alone came back from elsewhere")
        said += [f"step {ran.plan.step} of {format_duration(age)} ago, equal to the source", ran.plan.run]
        stage.deviations.append("the loss was accepted by hand: --as-of")


def make_old(stage: Stage) -> None:
    """The states that are copied are of the past, as if copies had stopped then. Before they are saved."""
    interval = stage.trial.terms.save_every or 0.0
    then = stage.clock.now_ns() - round(_STALE * interval * NANOSECONDS)
    for path in (stage.trial.folder / "work").rglob("*"):
        os.utime(path, ns=(then, then), follow_symlinks=False)


def _only_at_home(stage: Stage, snapshot: str) -> str:
    trial = stage.trial
    for site in trial.terms.sites[1:]:
        if any(path.name == snapshot for path in trial.store(site.name).glob("snapshots/*/*")):
            return ""
    return f"no site but {trial.terms.home} has {snapshot}"


REPLICA_STALE = Scenario(
    name="replica-stale",
    disruption=Disruption.REPLICATION,
    summary="Copies stopped more than three intervals ago; then the home is lost.",
    expects="the review refuses the stale copy (STALE_REPLICA); with the loss accepted it comes back, and is measured",
    real="the newest snapshot was never copied, and is gone with the home",
    simulated="in a sandbox the older states are dated back, so that nobody has to wait for three intervals",
    play=play,
)
