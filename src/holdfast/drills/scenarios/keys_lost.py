"""`keys-lost`: the home is gone, and the operator's key file with it. Another keeper recovers; shares open it, too."""

from __future__ import annotations

import shutil
from pathlib import Path

from holdfast.drills.recovering import compare, recover
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.founding import SHARES, SHARES_MADE, SHARES_NEEDED
from holdfast.drills.trial.organisation import APPROVER, DEPUTY, OPERATOR
from holdfast.drills.troubles import DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption, Person

__all__ = ["KEYS_LOST"]


def play(stage: Stage) -> None:
    trial = stage.trial
    key = trial.key(OPERATOR)
    with stage.phase("fault") as said:
        home = lose_home(stage)
        survivor = trial.terms.sites[1].name
        drawer = trial.folder / "burnt" / "operator.key"
        stage.inject(
            "the operator's key file is gone",
            lambda: _move(key, drawer),
            lambda: _opens_not(stage, survivor),
            site=home,
        )
        stage.absent.append(Person(role="operator", name=OPERATOR, absent=True, detail="the key file is gone"))
        said.append(f"{home} and the operator's key are gone: that key opens nothing")
    with stage.phase("failover") as said:
        _read_back(stage, survivor)
        ran = recover(stage, person=DEPUTY, machine="two")
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"another keeper recovered step {ran.plan.step} to {ran.plan.site}", ran.plan.run]
    with stage.phase("shares") as said:
        shares = sorted((trial.folder / SHARES).iterdir())[:SHARES_NEEDED]
        target = trial.folder / "restored" / "by-shares"
        given = {"HOLDFAST_KEY_FILE": "", "HOLDFAST_KEY_SHARES": ":".join(map(str, shares))}
        words = ("restore", ran.plan.snapshot, target, "--vault", trial.store(ran.plan.site))
        opened = trial.run(DEPUTY, *words, machine="three", **given)
        if opened.code != 0:
            raise DrillFailed(f"{SHARES_NEEDED} of {SHARES_MADE} shares do not open it: {opened.error}")
        compare(stage, ran.plan.snapshot, target, f"content restored by {SHARES_NEEDED} of {SHARES_MADE} shares")
        few = {"HOLDFAST_KEY_FILE": "", "HOLDFAST_KEY_SHARES": str(shares[0])}
        words = ("restore", ran.plan.snapshot, trial.folder / "restored" / "by-one", "--vault", words[4])
        if trial.run(DEPUTY, *words, machine="three", **few).code == 0:
            raise DrillFailed("one share alone opens the vault")
        stage.mark(MomentKind.CHECK, "one share alone opens nothing")
        said.append(f"{SHARES_NEEDED} of {SHARES_MADE} shares restore it without any key file; one does not")


def _read_back(stage: Stage, site: str) -> None:
    """The other keeper's machine knows of no proofs: it makes one, which is part of the recovery's time."""
    trial = stage.trial
    words = ("snapshot", "verify", trial.terms.asset, "--vault", trial.store(site))
    said = trial.run(DEPUTY, *words, machine="two")
    if said.code != 0:
        raise DrillFailed(f"the other keeper cannot read it back at {site}: {said.error}")
    stage.mark(MomentKind.CHECK, f"another keeper, on another machine, read it back at {site}", site)


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    shutil.move(path, to)


def _opens_not(stage: Stage, site: str) -> str:
    """What somebody sees who opens the vault with the key that is gone."""
    trial = stage.trial
    said = trial.run(OPERATOR, "snapshot", "list", "--vault", trial.store(site))
    return said.error if said.code in (3, 7) else ""


KEYS_LOST = Scenario(
    name="keys-lost",
    disruption=Disruption.CREDENTIALS,
    summary="The home is gone, and with it the only copy of the operator's key.",
    expects="another keeper's key recovers; 2 of 3 SLIP-39 shares open the content without any key file, one does not",
    real="the key file is gone and opens nothing; another keeper's key and real shares do",
    simulated="shares and keys were made for the drill, and nobody had to fetch them from a safe",
    play=play,
    people=(APPROVER, DEPUTY),
    shares=True,
)
