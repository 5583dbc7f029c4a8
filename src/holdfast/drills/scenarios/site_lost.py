"""`site-lost`: the home is gone in the middle of work; the round trip there and back, a verdict each."""

from __future__ import annotations

from pathlib import Path

from holdfast.clock import from_rfc3339
from holdfast.drills.recovering import Ran, compare, recover
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Source, Stage
from holdfast.drills.trial.digests import digest_tree
from holdfast.drills.trial.organisation import OPERATOR
from holdfast.drills.troubles import DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption

__all__ = ["SITE_LOST", "fail_back", "protect_again", "round_trip"]


def play(stage: Stage) -> None:
    with stage.phase("fault") as said:
        home = lose_home(stage)
        said.append(f"{home} is lost, and a probe noticed")
    with stage.phase("failover") as said:
        ran = recover(stage)
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"step {ran.plan.step} at {ran.plan.site}, equal to the source", ran.plan.run]
    round_trip(stage, home, ran)


def round_trip(stage: Stage, lost: str, ran: Ran) -> None:
    """Reprotect, reverse, reprotect: what was recovered is protected there, goes back, and is protected again."""
    with stage.phase("reprotect") as said:
        work = ran.target
        snapshot = protect_again(stage, work, "after the failover")
        left = [one.name for one in stage.trial.terms.sites if one.name != lost]
        _copies(stage, snapshot, left)
        said.append(f"a new snapshot at {', '.join(left)}" + (": no other site is left" if len(left) == 1 else ""))
    with stage.phase("reverse") as said:
        stage.heal()
        fail_back(stage, lost, snapshot)
        said.append(f"{lost} is the home again, and gives the newest back, equal to the source")
    with stage.phase("reprotect again") as said:
        snapshot = protect_again(stage, work, "after the way back")
        _copies(stage, snapshot, [one.name for one in stage.trial.terms.sites])
        stage.copies = len(stage.trial.terms.sites)
        said.append(f"the next snapshot is at all {len(stage.trial.terms.sites)} sites")


def protect_again(stage: Stage, work: Path, when: str) -> str:
    """The work goes on: something of it changes, and is saved at whatever is the home now. The snapshot's id."""
    trial, asset = stage.trial, stage.trial.terms.asset
    try:
        place = work if work.is_dir() else work.parent
        (place / "drill-note.txt").write_text(f"{when}\n")
    except OSError as error:
        raise DrillFailed(f"nobody can work with what came back ({error.strerror})") from error
    step = 1 + max((source.step or 0 for source in stage.sources.values()), default=0)
    saved = trial.run(OPERATOR, "snapshot", "save", work, "--asset", asset, "--step", str(step))
    if saved.code != 0:
        raise DrillFailed(f"{when} nothing can be saved: {saved.error}")
    kept = saved.data["snapshot"]
    content = from_rfc3339(str(kept["content_time"]))
    stage.sources[str(kept["id"])] = Source(str(kept["id"]), digest_tree(work), content, step)
    stage.mark(MomentKind.SNAPSHOT, f"{when} step {step} is saved: {str(kept['id'])[:12]}")
    synced = trial.run(OPERATOR, "site", "sync")
    if synced.code != 0 or not synced.data.get("settled"):
        stuck = ", ".join(synced.data.get("stuck", [])) or synced.error
        raise DrillFailed(f"{when} not all that is owed arrived: {stuck}")
    return str(kept["id"])


def fail_back(stage: Stage, lost: str, snapshot: str) -> None:
    """The lost site comes back empty, is built anew, is the home again, and gives back what was made meanwhile."""
    trial = stage.trial
    built = trial.run(OPERATOR, "site", "rebuild", lost, "--reason", "the drill goes back")
    if built.code != 0:
        raise DrillFailed(f"{lost} could not be built anew: {built.error}")
    stage.mark(MomentKind.STEP, f"{lost} is built anew, and as declared", lost)
    target = trial.folder / "restored" / f"back-{snapshot[:10]}"
    said = trial.run(OPERATOR, "restore", snapshot, target, "--vault", trial.store(lost))
    if said.code != 0:
        raise DrillFailed(f"{lost} does not give back what was made meanwhile: {said.error}")
    compare(stage, snapshot, target, f"content at {lost} after the way back")


def _copies(stage: Stage, snapshot: str, sites: list[str]) -> None:
    """Raises DrillFailed where some of these stores cannot read it back whole."""
    trial = stage.trial
    for site in sites:
        said = trial.run(OPERATOR, "snapshot", "verify", snapshot, "--vault", trial.store(site))
        if said.code != 0:
            raise DrillFailed(f"{site} does not have the new snapshot whole: {said.error}")
    stage.copies = len(sites)


SITE_LOST = Scenario(
    name="site-lost",
    disruption=Disruption.SITE,
    summary="The home is gone in the middle of work: its store, and whatever ran there.",
    expects="failover to another site, protection there, the way back, and protection again",
    real="the store's bytes are gone, the work is killed, another site restores from its own copy",
    simulated="sites are folders of one machine",
    play=play,
)
