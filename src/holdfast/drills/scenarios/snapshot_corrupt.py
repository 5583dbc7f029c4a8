"""`snapshot-corrupt`: the home is gone, and the newest copy that is left does not read back: the walk back."""

from __future__ import annotations

from pathlib import Path

from holdfast.drills.recovering import compare, recover
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.organisation import OPERATOR
from holdfast.drills.troubles import DrillBroken, DrillFailed
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption
from holdfast.stores.local import LocalStore
from holdfast.testing.damage import Flip

__all__ = ["SNAPSHOT_CORRUPT"]


def play(stage: Stage) -> None:
    trial = stage.trial
    newest = max(stage.sources.values(), key=lambda source: source.content_ns).snapshot
    packs = stage.own_packs.get(newest, [])
    if not packs or len(stage.sources) < 2:
        raise DrillBroken("the newest snapshot has no packs of its own, or no older one is there to go back to")
    others = [one.name for one in trial.terms.sites[1:]]
    with stage.phase("fault") as said:
        for site in others:
            _flip(stage, site, packs, newest)
        home = lose_home(stage)
        said.append(f"{home} is lost, and {len(packs)} packs of the newest snapshot are damaged at the others")
    with stage.phase("walk back") as said:
        order = sorted(stage.sources.values(), key=lambda source: source.content_ns, reverse=True)
        for one in order:
            if _reads_back(stage, others, one.snapshot):
                break
        else:
            raise DrillFailed("no snapshot reads back at any site that is left")
        if one.snapshot == newest:
            raise DrillFailed("reading back did not find the damage")
        said.append(f"back to step {one.step}: what is newer does not read back, and was set aside with that reason")
    with stage.phase("failover") as said:
        ran = recover(stage)
        if ran.plan.snapshot == newest:
            raise DrillFailed("the recovery took the damaged snapshot")
        if newest not in ran.plan.not_taken:
            raise DrillFailed(f"the plan does not say why {newest} was not taken")
        compare(stage, ran.plan.snapshot, ran.target)
        why = ran.plan.not_taken[newest]
        said += [f"step {ran.plan.step}, equal to the source; {newest[:12]} was passed over: {why}", ran.plan.run]


def _flip(stage: Stage, site: str, packs: list[str], snapshot: str) -> None:
    """One bit in the middle of each pack that only the newest snapshot needs."""
    folder = stage.trial.store(site)
    before = {pack: (folder / pack).read_bytes() for pack in packs if (folder / pack).exists()}
    if not before:
        raise DrillBroken(f"{site} has no pack of {snapshot} to be damaged")

    def flip() -> None:
        for pack, data in before.items():
            Flip(pack, len(data) // 2, 1).apply(LocalStore(folder))

    def bit() -> str:
        changed = sum((folder / pack).read_bytes() != data for pack, data in before.items())
        return f"{changed} packs at {site} have other bytes" if changed == len(before) else ""

    def heal() -> None:
        for pack, data in before.items():
            if Path(folder, pack).exists():
                Path(folder, pack).write_bytes(data)

    stage.inject(f"one bit is flipped in each of {len(before)} packs at {site}", flip, bit, site=site, heal=heal)


def _reads_back(stage: Stage, sites: list[str], snapshot: str) -> bool:
    """Whether it does at some site; where it does not it is set aside, with that reason."""
    good = False
    for site in sites:
        store = stage.trial.store(site)
        said = stage.trial.run(OPERATOR, "snapshot", "verify", snapshot, "--vault", store)
        good = good or said.code == 0
        if said.code == 0:
            stage.mark(MomentKind.CHECK, f"{snapshot} reads back at {site}", site)
            continue
        if said.code != 4:
            raise DrillBroken(f"{snapshot} could not be read back at {site}: {said.error}")
        stage.mark(MomentKind.CHECK, f"damage at {site}: {said.error}"[:200], site)
        words = ("snapshot", "quarantine", snapshot, "--vault", store, "--reason", f"it does not read back at {site}")
        aside = stage.trial.run(OPERATOR, *words)
        if aside.code != 0:
            raise DrillFailed(f"{snapshot} could not be set aside at {site}: {aside.error}")
    return good


SNAPSHOT_CORRUPT = Scenario(
    name="snapshot-corrupt",
    disruption=Disruption.CORRUPTION,
    summary="The home is gone, and bits are flipped in the newest snapshot at every site that is left.",
    expects="reading back finds it, it is set aside with the reason, and the recovery takes the one before it",
    real="bytes of packs are changed on every surviving store; reading back decodes every chunk",
    simulated="the bits did not rot by themselves",
    play=play,
)
