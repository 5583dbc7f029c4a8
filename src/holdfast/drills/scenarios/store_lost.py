"""`store-lost`: the home's store answers, and holds nothing any more."""

from __future__ import annotations

from holdfast.drills.recovering import compare, recover
from holdfast.drills.scenarios.places import empty_store, working
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.scenarios.site_lost import fail_back
from holdfast.drills.stage import Stage
from holdfast.drills.watching import store_probe
from holdfast.evidence.record_setting import Disruption

__all__ = ["STORE_LOST"]


def play(stage: Stage) -> None:
    home = stage.trial.terms.home
    with stage.phase("fault") as said:
        watch = stage.watch(store_probe(stage.trial.store(home)))
        with working(stage) as end:
            empty_store(stage, home)
            end()
        stage.detect(watch, f"a probe of the store of {home}")
        said.append(f"the store of {home} is empty, and a probe noticed")
    with stage.phase("failover") as said:
        ran = recover(stage)
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"step {ran.plan.step} at {ran.plan.site}, equal to the source", ran.plan.run]
    with stage.phase("reverse") as said:
        fail_back(stage, home, ran.plan.snapshot)
        said.append(f"the store of {home} was filled again from the others, and gives it back")


STORE_LOST = Scenario(
    name="store-lost",
    disruption=Disruption.STORE,
    summary="The home's store loses all its objects; the place itself goes on answering.",
    expects="the store is noticed to be empty, the asset comes back from another one, and the store is filled again",
    real="every object of the store is deleted, the asset is restored from another store's own copy",
    simulated="the store is a folder; nobody deletes through a cloud's console",
    play=play,
)
