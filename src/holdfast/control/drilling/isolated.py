"""Functional drills in isolation: of groups, of stripes, and of services with their machines.

What cannot be copied into a trial of folders is rehearsed where it is declared: the drill cuts a site off from itself,
notices that, recovers into a folder of its own by a run like any other, starts services on machines of their own,
compares what came back, and gives everything back. Nothing that people work with is fenced, promoted or stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.config.model import Recovery
from holdfast.control.drilling.conducting import Order
from holdfast.control.drilling.cut_sites import CutSites
from holdfast.control.drilling.levels import run_rehearsal
from holdfast.control.recovering.history import step_seconds
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.drills.recovering import compare
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Source, Stage
from holdfast.drills.trial.digests import digest_tree
from holdfast.drills.troubles import DrillBroken, DrillFailed, DrillStopped
from holdfast.errors import HoldfastError
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, MomentKind
from holdfast.evidence.record_setting import Exclusion
from holdfast.recovery.plans import Chosen, Kind
from holdfast.replication.following.views import look
from holdfast.vault.restoring.staged_files import remove_whole
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

__all__ = [
    "ISOLATED_PLANTS",
    "ISOLATED_SCENARIOS",
    "asset_service",
    "isolated_drill",
    "recovered_assets",
    "why_isolated",
]

ISOLATED_SCENARIOS: Final = ("site-lost", "store-lost")
ISOLATED_PLANTS: Final = ("", "wrong-checksum", "fault-that-does-not-bite", "clean-up-that-fails")


def recovered_assets(sites: DeclaredSites, recovery: Recovery) -> list[DeclaredAsset]:
    """Of a recovery, in their order."""
    names = (recovery.asset,) if recovery.asset else sites.config.groups[recovery.group].assets
    return [sites.asset(name) for name in names]


def asset_service(sites: DeclaredSites, asset: str) -> bool:
    """Whether something runs with it."""
    return sites.config.assets[asset].service is not None


def why_isolated(assets: Sequence[DeclaredAsset], machines: bool) -> str:
    """Why a functional drill of these is played in isolation; empty: it is played on copies."""
    if len(assets) > 1:
        return "a group is recovered to one moment from where all of it lies"
    if assets[0].set_name:
        return "stripes are read where they lie"
    return "machines are of the sites, and not of a trial" if machines else ""


def isolated_drill(order: Order, sites: DeclaredSites, vault: Vault, assets: Sequence[DeclaredAsset]) -> Order:
    """The same order, played in isolation. `vault`: the assets'; it is opened from where nothing is cut off."""
    machines = any(asset_service(sites, one.name) for one in assets)
    played = _Isolated(sites, vault, assets, order.terms.recovery, machines)
    scenario: Scenario = order.scenario._replace(
        play=played.play,
        summary=f"{order.scenario.summary} Played in isolation: the site is cut off from the drill alone.",
        real="what is left of the declared stores is read and verified"
        + (", services begin on machines of the sites and are waited for" if machines else ""),
        simulated="the site is cut off within the drill: for everybody else it goes on as before",
    )

    def steady() -> list[str]:
        return [*order.steady(), *played.left_over()]

    return order._replace(
        scenario=scenario, prepare=_nothing, evidence_of=sites, commands=False, steady=steady, copies=None
    )


class _Isolated:
    def __init__(
        self, sites: DeclaredSites, vault: Vault, assets: Sequence[DeclaredAsset], recovery: str, machines: bool
    ) -> None:
        self._sites, self._vault, self._assets = sites, vault, assets
        self._recovery, self._machines = recovery, machines
        self._file: PlanFile | None = None
        self._passed = False

    def play(self, stage: Stage) -> None:
        sites, home = self._sites, self._assets[0].home_site
        view = CutSites(sites.loaded, sites.environment, sites.clock, sites.progress)
        view.learn()
        for what in ("fencing and promoting", "traffic"):
            stage.exclusions.append(Exclusion(what=what, reason="it would act on what people work with"))
        with stage.phase("fault") as said:
            probe = view.probe(self._assets[0].at(home))
            watch = stage.watch(probe)
            what = f"the site {home} is cut off from the drill: none of its stores answers"
            stage.inject(what, lambda: view.cut(home), probe, site=home, real=False, heal=view.lost.clear)
            stage.detect(watch, f"a probe of the store of {home}")
            said.append(f"{home} is cut off, and a probe noticed")
        with stage.phase("recovery") as said:
            target = stage.trial.folder / "restored" / "isolated"
            file = self._recover(stage, view, target)
            said += [f"{len(file.plan.chosen)} of {len(self._assets)} assets at {file.plan.site}, verified", file.run]
        if self._machines:
            with stage.phase("services") as said:
                said.append(self._served(stage, file))
        with stage.phase("comparison") as said:
            self._compare_all(stage, view, file, target)
            said.append("all that came back equals the undamaged source")
        if len(self._assets) > 1:
            with stage.phase("one moment") as said:
                said.append(self._agree(stage, file))

    def left_over(self) -> list[str]:
        """What the run began, and what still runs. What a run that did not pass has left is put in order first."""
        if self._file is None:
            return []
        from holdfast.control.recovering.actors.computing import give_back_all
        from holdfast.control.recovering.actors.services import Services

        services, found = Services(self._sites), []
        if not self._passed:
            give_back_all(services, self._file.plan, self._file.run, self._sites.progress)
        for step in self._file.plan.steps:
            if step.kind is Kind.START:
                for machines, handle in services.at(step.site, step.asset):
                    if handle.key.startswith(f"{self._file.run}/") and machines.running(handle).running:
                        found.append(f"{step.asset} of the drill still runs at {step.site}")
        return found

    def _recover(self, stage: Stage, view: CutSites, target: Path) -> PlanFile:
        recoveries = Recoveries(view, told=stage.tell)
        try:
            file = recoveries.plan(Wanted(self._recovery, isolated=True, target=str(target)))
            stage.mark(MomentKind.PLANNED, f"a rehearsal to {file.plan.site} is planned: {file.run}", file.plan.site)
            stage.mark(MomentKind.DECIDED, "it was decided: a rehearsal needs no approval, and is run")
            self._file = file
            status = run_rehearsal(stage, view, recoveries, file)
        except (DrillStopped, DrillBroken):
            raise
        except HoldfastError as error:
            more = f" ({error.hint})" if error.hint else ""
            raise DrillFailed(f"the recovery did not pass: {error.message}{more}") from error
        if status.state.verdict != "PASSED":
            why = "; ".join(one.text for one in status.state.steps.values() if one.text)
            raise DrillFailed(f"the rehearsal {file.run} ended {status.state.verdict}{f': {why}' if why else ''}")
        self._passed = True
        took = step_seconds(status.entries)
        verifying = max((took.get(one.id, 0.0) for one in file.plan.steps if one.kind is Kind.VERIFY), default=0.0)
        # What came after the run had ended (services stopped, machines given back) is no part of the recovery.
        ago = max(0.0, (stage.clock.now_ns() - status.entries[-1].at) / NANOSECONDS)
        text = f"restored to {file.plan.site}, in isolation"
        stage.mark(MomentKind.EXECUTED, text, file.plan.site, ago + verifying)
        stage.mark(MomentKind.VERIFIED, "read back whole, and equal to the snapshots", seconds_ago=ago)
        stage.restored = stage.verified = True
        stage.recovery_site, stage.snapshot = file.plan.site, file.plan.chosen[0].snapshot
        stage.content_ns = min(one.content for one in file.plan.chosen)
        return file

    def _served(self, stage: Stage, file: PlanFile) -> str:
        """Raises DrillFailed where nothing was started: then no service was rehearsed."""
        started = [step for step in file.plan.steps if step.kind is Kind.START]
        if not started:
            raise DrillFailed("the plan starts nothing: no machines were tried")
        words = ", ".join(f"{one.asset} on {one.with_['number']} × {one.with_['shape']}" for one in started)
        detail = f"{words} at {file.plan.site}: begun, good as its health check says, stopped, machines given back"
        stage.checks.append(Check(name="services", level=CheckLevel.PRESENT, result=CheckResult.PASSED, detail=detail))
        return detail

    def _compare_all(self, stage: Stage, view: CutSites, file: PlanFile, target: Path) -> None:
        at_source = compared = 0
        for chosen in file.plan.chosen:
            stage.look()
            folder = target if len(self._assets) == 1 else target / chosen.asset
            served = any(one.kind is Kind.START and one.asset == chosen.asset for one in file.plan.steps)
            copy = stage.trial.folder / "restored" / f"again-{chosen.snapshot[:12]}"
            if served:  # the service wrote where it was restored
                said = f"the service of {chosen.asset} wrote in its folder: the same snapshot was restored once more"
                stage.deviations.append(f"{said}, and that was compared")
                view.open_at(chosen.store).restore(chosen.snapshot, copy, rehearsal=True)
            self._note_source(stage, chosen)
            whole = len(file.plan.chosen) == 1
            compare(stage, chosen.snapshot, copy if served else folder, "" if whole else f"content of {chosen.asset}")
            at_source += stage.at_source if isinstance(stage.at_source, int) else 0
            compared += stage.compared if isinstance(stage.compared, int) else 0
        stage.at_source, stage.compared = at_source, compared

    def _note_source(self, stage: Stage, chosen: Chosen) -> None:
        """The content as the declared stores give it with nothing cut off: at the home, where that has it."""
        asset = self._sites.asset(chosen.asset)
        reference = stage.trial.folder / "restored" / f"source-{chosen.snapshot[:12]}"
        names = [asset.set_name] if asset.set_name else [asset.at(asset.home_site), chosen.store]
        trouble: HoldfastError | None = None
        for name in names:
            try:
                self._sites.open_at(name).restore(chosen.snapshot, reference, rehearsal=True)
                break
            except HoldfastError as error:
                trouble = error
        else:
            assert trouble is not None
            raise DrillBroken(f"the undamaged source of {chosen.asset} could not be read: {trouble.message}")
        if trouble is not None:
            said = f"{names[0]} could not give {chosen.snapshot} ({trouble.message}): what came back was compared with"
            stage.deviations.append(f"{said} what {name} gives, where it came from")
        stage.sources[chosen.snapshot] = Source(chosen.snapshot, digest_tree(reference), chosen.content, chosen.step)
        remove_whole(reference)

    def _agree(self, stage: Stage, file: PlanFile) -> str:
        """No snapshot of the group is newer than the newest of each of the others. Raises DrillFailed."""
        names = [self._sites.asset(name) for name in file.plan.intent.assets]
        newest: dict[str, int] = {}
        for asset in names:
            stores = [asset.set_name] if asset.set_name else [asset.at(site) for site in asset.placement.sites]
            for view in look(self._vault.handle, [self._sites.store(one) for one in stores], [asset.name]).values():
                for root in view.of(asset.name).values():
                    newest[asset.name] = max(newest.get(asset.name, 0), content_time(root))
        latest, bound = max(one.content for one in file.plan.chosen), min(newest.values(), default=0)
        apart = (latest - min(one.content for one in file.plan.chosen)) / NANOSECONDS
        agreed = latest <= bound and len(newest) == len(names)
        stage.checks.append(
            Check(
                name="one moment",
                level=CheckLevel.PRESENT,
                result=CheckResult.PASSED if agreed else CheckResult.FAILED,
                detail=f"the contents of {len(names)} assets are {apart:.3f} s apart at most; the latest is of "
                f"{to_rfc3339(latest)}, and each has something as of {to_rfc3339(bound)} or later",
            )
        )
        if not agreed:
            raise DrillFailed(f"what came back is of several moments, {apart:.3f} s apart")
        return f"{apart:.3f} s apart at most, and none newer than the newest of each"


def _nothing(stage: Stage) -> None:
    return
