"""Drills of what is declared: a recovery of holdfast.yaml, rehearsed on copies of the asset in a trial of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.drilling.conducting import Order, conduct, drill_id
from holdfast.control.drilling.copying import copy_into
from holdfast.control.drilling.isolated import (
    ISOLATED_PLANTS,
    asset_service,
    isolated_drill,
    recovered_assets,
    why_isolated,
)
from holdfast.control.drilling.keeping import keep_at_stores
from holdfast.control.drilling.leftovers import clear_leftovers
from holdfast.control.drilling.levels import component_drill, tabletop_drill
from holdfast.control.drilling.listing import ListedDrill, begun_before, list_drills
from holdfast.control.drilling.refusing import Refusal, choose_snapshots, isolated_refusals, refusals_of
from holdfast.control.drilling.stopping import StoreLever, looking_at_stores
from holdfast.control.drilling.taking import taken
from holdfast.control.drilling.taking_back import take_back
from holdfast.control.recovering.asking import ask
from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.drills.lever import drills_home
from holdfast.drills.outcomes import DrillOutcome, write_outcome
from holdfast.drills.plants import require_plant
from holdfast.drills.scenarios.catalogue import scenario_called
from holdfast.drills.scenarios.replica_stale import REPLICA_STALE, make_old
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.founding import admit, found, sandbox_terms, sync
from holdfast.drills.trial.organisation import Terms, TrialSite
from holdfast.errors import NotFoundError, RefusedError
from holdfast.evidence.record_outcome import MomentKind, Outcome
from holdfast.evidence.record_setting import Exclusion
from holdfast.vault.vault import Vault

__all__ = ["DrillPlan", "ListedDrill", "list_drills", "plan_drill", "run_drill"]

_USUAL: Final = "site-lost"


class DrillPlan(NamedTuple):
    """What a drill would do. `refusals`: all that speaks against it now; it is run only without any. `isolated`: why it
    is played in isolation and not on copies; empty: it is not.
    """

    name: str
    recovery: str
    asset: str
    scenario: Scenario
    level: str
    store: str
    snapshots: tuple[str, ...]
    size: int
    where: Path
    sites: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    isolated: str = ""


class _Prepared(NamedTuple):
    """`why`: why it is played in isolation; empty: it is not."""

    plan: DrillPlan
    assets: list[DeclaredAsset]
    vault: Vault
    terms: Terms
    why: str


def plan_drill(
    sites: DeclaredSites,
    name: str,
    *,
    scenario: str = "",
    level: str = "",
    where: Path | None = None,
    machines: bool = False,
) -> DrillPlan:
    """Look, and change nothing. `name`: of a drill, or of a recovery. Raises NotFoundError, and what opening raises."""
    return _prepare(sites, name, scenario, level, where, machines).plan


def run_drill(
    sites: DeclaredSites,
    name: str,
    *,
    scenario: str = "",
    level: str = "",
    where: Path | None = None,
    told: Callable[[str], None] = lambda text: None,
    key: str = "",
    plant: str = "",
    keep: bool = False,
    machines: bool = False,
) -> DrillOutcome:
    """Rehearse a drill of the file (or a recovery of it, then `scenario` counts) on copies, and clean up.

    `key`: the same key is the same drill, and happens once. `machines`: services begin, too, in isolation. Raises
    RefusedError with all that speaks against it, NotFoundError, PermissionDeniedError, ConflictError (another one is
    under way). What goes wrong in the drill is in its state.
    """
    require_plant(plant)
    clear_leftovers(sites.environment, told, lambda run: take_back(sites, run))
    drill = drill_id(key)
    before = begun_before(sites.environment, drill) if key else None
    if before is not None:
        return before
    prepared = _prepare(sites, name, scenario, level, where, machines)
    plan, vault = prepared.plan, prepared.vault
    if prepared.why and plant not in ISOLATED_PLANTS:
        raise RefusedError(f"{plant} cannot be planted: {prepared.why}", hint="`drill scenarios` lists plants")
    lever = StoreLever(sites, None if prepared.assets[0].set_name else vault)
    lever.look(spread=True)
    if plan.refusals:
        said = "; ".join(f"{one.code}: {one.reason}" for one in plan.refusals)
        helps = "; ".join(dict.fromkeys(one.change for one in plan.refusals if one.change))
        raise RefusedError(f"the drill is not safe now: {said}", hint=helps, object_name=plan.asset)
    label = vault.handle.keys.label
    ask(vault, "drill.run", drill, by=label, to=plan.sites[-1], drill=True, environment=sites.environment)
    order = _order(sites, prepared, drill, where, plant, keep)
    with (
        taken(sites.environment),
        looking_at_stores(lever, told),
        recorded_on(vault, "drill.run", objects={"scenario": plan.scenario.name}, names={"drill": drill}) as facts,
    ):
        outcome = conduct(order, sites.environment, sites.clock, told)
        facts.outcome = "done" if outcome.state is Outcome.PASSED else outcome.state.value.lower()
    if outcome.evidence and order.evidence_of is None:
        home = drills_home(sites.environment) / drill
        trouble = keep_at_stores(sites, vault, outcome)
        files = tuple(sorted(str(path) for path in (home / "evidence").rglob("*") if path.is_file()))
        outcome = msgspec.structs.replace(outcome, evidence=files, evidence_problem=trouble)
        write_outcome(home / "report.json", outcome)
    return outcome


def _prepare(
    sites: DeclaredSites, name: str, scenario: str, level: str, where: Path | None, machines: bool
) -> _Prepared:
    sites.learn()
    declared = sites.config.drills.get(name)
    recovery_name = declared.recovery if declared is not None else name
    recovery = sites.config.recoveries.get(recovery_name)
    if recovery is None:
        known = ", ".join([*sites.config.drills, *sites.config.recoveries]) or "nothing"
        raise NotFoundError(
            f"{sites.loaded.path} declares no drill and no recovery {name!r}", hint=f"it declares {known}"
        )
    chosen_scenario = scenario_called(scenario or (declared.scenario if declared is not None else "") or _USUAL)
    chosen_level = level or (declared.level if declared is not None else "functional")
    assets = recovered_assets(sites, recovery)
    machines = machines or (declared is not None and declared.machines)
    why = why_isolated(assets, machines) if chosen_level != "simulation" else ""
    vault = open_anywhere(sites, assets)
    home = where or drills_home(sites.environment)
    found = {one.name: choose_snapshots(sites, vault, one) for one in assets}
    refusals: list[Refusal] = []
    for one in assets:
        refusals += refusals_of(sites, vault, one, chosen_scenario, found[one.name], home)
    if machines and not asset_service(sites, assets[0].name):
        reason = f"nothing runs with {assets[0].name}: no machines could be tried"
        refusals.append(Refusal("NO_SERVICE", reason, "`service` of the asset: docs/compute.md"))
    if why and chosen_level == "functional":
        refusals += isolated_refusals(sites, recovery, assets, chosen_scenario, why)
    plan = DrillPlan(
        name=name if declared is not None else "",
        recovery=recovery_name,
        asset=", ".join(found),
        scenario=chosen_scenario,
        level=chosen_level,
        store=", ".join(dict.fromkeys(one.store for one in found.values() if one.store)),
        snapshots=tuple(root.id for one in found.values() for root in (one.snapshots[-1:] if why else one.snapshots)),
        size=sum(one.size for one in found.values()),
        where=home,
        sites=tuple(dict.fromkeys(site for one in assets for site in one.placement.sites)),
        refusals=tuple(dict.fromkeys(refusals)),
        isolated=why,
    )
    return _Prepared(plan, assets, vault, _terms(sites, recovery_name, assets), why)


def _terms(sites: DeclaredSites, name: str, assets: list[DeclaredAsset]) -> Terms:
    """As declared, in folders; of a group the first asset's places, and the least that is owed for any.

    Runbooks and machines stay out: they would act on what people work with.
    """
    recovery, asset = sites.config.recoveries[name], assets[0]
    rpos = [one.owed.rpo.value for one in assets if one.owed.rpo.value is not None]
    rtos = [one.owed.rto.value for one in assets if one.owed.rto.value is not None]
    places = tuple(
        TrialSite(
            name=site,
            cloud=sites.config.sites[site].cloud.value,
            region=sites.config.sites[site].region,
            jurisdiction=sites.config.sites[site].jurisdiction,
            tier=asset.at(site).partition("/")[2],
        )
        for site in asset.placement.sites
    )
    among = tuple(site for site in recovery.to if site in asset.placement.sites[1:]) or asset.placement.sites[1:]
    return Terms(
        organisation=f"{sites.config.organisation}-drill",
        asset=", ".join(one.name for one in assets),
        recovery=name,
        sites=places,
        asset_class="development",
        strategy="BACKUP_AND_RESTORE",
        to=among,
        approvers=recovery.approvers,
        rpo=min(rpos, default=None),
        rto=min(rtos, default=None),
        save_every=asset.owed.save_every.value,
    )


def _order(sites: DeclaredSites, prepared: _Prepared, drill: str, where: Path | None, plant: str, keep: bool) -> Order:
    plan, asset = prepared.plan, prepared.assets[0]
    environment: Mapping[str, str] = dict(sites.environment or os.environ)

    def prepare(stage: Stage) -> None:
        recovery = sites.config.recoveries[plan.recovery]
        if recovery.steps:
            stage.exclusions.append(Exclusion(what=recovery.steps, reason="a runbook acts on what people work with"))
        if recovery.strategy != "BACKUP_AND_RESTORE":
            reason = "the trial has no machines of its own: the data alone are recovered"
            stage.exclusions.append(Exclusion(what=f"machines ({recovery.strategy})", reason=reason))
        copy_into(stage, sites, asset.name, plan.store, list(plan.snapshots), environment)
        admit(stage, plan.scenario)
        sync(stage)
        stage.mark(MomentKind.STARTED, f"a trial of copies: {stage.trial}")

    def prepare_sandbox(stage: Stage) -> None:
        before = (lambda: make_old(stage)) if plan.scenario.name == REPLICA_STALE.name else None
        found(stage, plan.scenario, before=before)

    before = _states(sites)

    def steady() -> list[str]:
        sites.learn()
        after = _states(sites)
        return [] if after == before else [f"sites were {before or 'as declared'}, and are {after or 'as declared'}"]

    special = {"tabletop": tabletop_drill, "component": component_drill}.get(plan.level)
    order = Order(
        id=drill,
        name=plan.name,
        scenario=plan.scenario,
        level=plan.level,
        terms=_sandbox(prepared.terms) if plan.level == "simulation" else prepared.terms,
        prepare=prepare_sandbox if plan.level == "simulation" else prepare,
        copies=asset.owed.copies.value,
        asset_class=asset.owed.kind.value,
        where=where,
        plant=plant,
        keep=keep,
        steady=steady,
        organisation=sites.config.organisation,
    )
    if special is not None:
        return special(order, sites, plan.recovery)
    if prepared.why and plan.level == "functional":
        return isolated_drill(order, sites, prepared.vault, prepared.assets)
    return order


def _sandbox(terms: Terms) -> Terms:
    """A trial from nothing, with what is owed for the asset."""
    rpo = sandbox_terms().rpo if terms.rpo is None else terms.rpo
    rto = sandbox_terms().rto if terms.rto is None else terms.rto
    assert rpo is not None and rto is not None
    return sandbox_terms(4, rpo=rpo, rto=rto)


def _states(sites: DeclaredSites) -> dict[str, str]:
    return {name: str(state) for name, state in sites.states.items()}
