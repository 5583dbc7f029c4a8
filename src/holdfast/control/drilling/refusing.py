"""Whether a drill would be safe now: all that speaks against it at once, with reasons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.config.model import Recovery
from holdfast.config.words import Tier
from holdfast.control.drilling.isolated import ISOLATED_SCENARIOS
from holdfast.control.drilling.stopping import StoreLever
from holdfast.control.drilling.taking import is_taken
from holdfast.control.recovering.journals import newest_runs
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.sets import stripes_of_set
from holdfast.drills.lever import Lever
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.errors import HoldfastError
from holdfast.recovery.journal.state import run_state
from holdfast.recovery.running.executor import plan_of
from holdfast.replication.following.views import View, look
from holdfast.units import format_duration, format_size
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

__all__ = ["Chosen", "Refusal", "choose_snapshots", "refusals_of"]

STALE_INTERVALS: Final = 3
SNAPSHOTS: Final = 2  # of an asset are copied: the newest, and one to go back to
_RUNS: Final = 20
_COPIES_BESIDE: Final = 4  # restored, compared, damaged and put back


class Refusal(NamedTuple):
    """`code` is stable; `change` says what would help."""

    code: str
    reason: str
    change: str = ""


class Chosen(NamedTuple):
    """What a trial is made of: the store that is read, its snapshots (oldest first), and how large they are."""

    store: str
    snapshots: list[Root]
    views: Mapping[str, View]

    @property
    def size(self) -> int:
        return sum(part.size for root in self.snapshots for part in root.parts)


def choose_snapshots(sites: DeclaredSites, vault: Vault, asset: DeclaredAsset) -> Chosen:
    """The newest snapshots, of a store that has them and is not the home, if any: it is copies that are tried."""
    names = [asset.set_name] if asset.set_name else [asset.at(site) for site in asset.placement.sites]
    views = look(vault.handle, [sites.store(name) for name in names], [asset.name], progress=sites.progress)
    best, newest = "", -1
    for name in [*names[1:], names[0]]:
        found = max((content_time(root) for root in views[name].of(asset.name).values()), default=-1)
        if found > newest:
            best, newest = name, found
    roots = sorted(views[best].of(asset.name).values(), key=lambda root: (content_time(root), root.id)) if best else []
    return Chosen(best, roots[-SNAPSHOTS:], views)


def refusals_of(
    sites: DeclaredSites,
    vault: Vault,
    asset: DeclaredAsset,
    scenario: Scenario,
    chosen: Chosen,
    where: Path,
) -> list[Refusal]:
    """All of them. `where`: the folder in which the trial would be made."""
    found = [
        *_of_people(sites, vault, asset),
        *_of_sites(sites, asset, scenario),
        *_of_place(sites, where, chosen, asset),
    ]
    found += _of_copies(vault, asset, chosen)
    try:
        vault.handle.keys.require_keeper("a drill")
    except HoldfastError as error:
        found.append(Refusal("NO_KEEPERS_KEY", error.message, "the copy needs keys of its own, which a keeper makes"))
    return found


def _of_people(sites: DeclaredSites, vault: Vault, asset: DeclaredAsset) -> Iterator[Refusal]:
    pulled = _stopped(sites, vault, asset)
    if pulled:
        yield Refusal("STOPPED", f"drills are stopped: {pulled}", "holdfast drill stop --release")
    if is_taken(sites.environment):
        yield Refusal("DRILL_UNDER_WAY", "another drill is under way on this machine", "wait for it")
    for run, entries in newest_runs(sites, vault.handle.keys, _RUNS, sites.clock).items():
        state = run_state(entries)
        if not state.owner or state.verdict:
            continue
        plan = plan_of(state)
        if asset.name in plan.intent.assets:
            what = "a rehearsal" if plan.intent.isolated else "a recovery"
            yield Refusal("RECOVERY_UNDER_WAY", f"{what} of {asset.name} is under way: {run}", "wait for its end")


def _stopped(sites: DeclaredSites, vault: Vault, asset: DeclaredAsset) -> str:
    """Why drills are stopped, here or at any store that answers. Of one that does not it is noted."""
    looked = StoreLever(sites, None if asset.set_name else vault).look()
    for name, why in looked.silent.items():
        sites.progress.note(f"{name} does not say whether drills are stopped: {why}")
    return Lever(sites.environment, sites.config.organisation).pulled()


def isolated_refusals(
    sites: DeclaredSites, recovery: Recovery, assets: Sequence[DeclaredAsset], scenario: Scenario, why: str
) -> Iterator[Refusal]:
    """What speaks against playing it where it is declared, with a site cut off."""
    if scenario.name not in ISOLATED_SCENARIOS:
        reason = f"{scenario.name} is played on copies of one asset in whole copies, and {why}"
        yield Refusal("NOT_ON_COPIES", reason, f"--scenario {ISOLATED_SCENARIOS[0]}")
    home = assets[0].home_site
    for asset in assets:
        if asset.set_name:
            stripes = stripes_of_set(asset.set_name)
            if len(asset.placement.sites) - 1 < stripes.k:
                yield Refusal("TOO_FEW_SITES", f"without {home} the stripes of {asset.name} cannot be read")
        service = sites.config.assets[asset.name].service
        there = [one for site in recovery.to for one in sites.config.sites[site].compute]
        abroad = sorted({one.kind for one in there if service and one.shape in service.shapes and one.kind != "local"})
        if abroad:
            reason = f"the machines of {asset.name} are of the kind {', '.join(abroad)}, which others wait for"
            yield Refusal("MACHINES_OF_OTHERS", reason, "a drill without machines, or `recover plan --isolated`")
    if not any(site != home for site in (recovery.to or assets[0].placement.sites)):
        yield Refusal("TOO_FEW_SITES", f"{home} is cut off, and the recovery names no other site")


def _of_sites(sites: DeclaredSites, asset: DeclaredAsset, scenario: Scenario) -> Iterator[Refusal]:
    for site in asset.placement.sites:
        if site in sites.states:
            yield Refusal("SITE_NOT_SOUND", f"{site} is {sites.states[site]}", f"holdfast site rebuild {site}")
    if len(asset.placement.sites) < scenario.sites:
        reason = f"{scenario.name} needs {scenario.sites} sites, and {asset.name} lies at {len(asset.placement.sites)}"
        yield Refusal("TOO_FEW_SITES", reason)


def _of_place(sites: DeclaredSites, where: Path, chosen: Chosen, asset: DeclaredAsset) -> Iterator[Refusal]:
    place = where.resolve()
    for name, folder in _places_in_use(sites):
        if place == folder or folder in place.parents or place in folder.parents:
            yield Refusal("NOT_ISOLATED", f"{where} is not apart from {name} ({folder})", "--where DIR, somewhere else")
    above = next(folder for folder in (place, *place.parents) if folder.exists())
    free = os.statvfs(above).f_bavail * os.statvfs(above).f_frsize
    needed = chosen.size * (len(asset.placement.sites) + _COPIES_BESIDE)
    if free < needed:
        reason = f"{above} has {format_size(free)} free, and the trial takes up to {format_size(needed)}"
        yield Refusal("DISK_SPACE", reason, "--where DIR, on a larger disk")


def _places_in_use(sites: DeclaredSites) -> Iterator[tuple[str, Path]]:
    """Folders of this machine that people work with."""
    for site, declared in sites.config.sites.items():
        for tier, store in declared.stores.items():
            for way in store.ways():
                url = way.url.removeprefix("file://")
                if "://" not in url:
                    yield f"the store {site}/{Tier(tier).value}", (sites.loaded.folder / url).resolve()
    for name, asset in sites.config.assets.items():
        for path in (asset.watch, asset.path):
            if path:
                yield f"what {name} protects", (sites.loaded.folder / path).resolve()


def _of_copies(vault: Vault, asset: DeclaredAsset, chosen: Chosen) -> Iterator[Refusal]:
    """Stale by three intervals: a drill would rehearse a disaster that has already happened."""
    now = vault.handle.clock.now_ns()
    for name, view in chosen.views.items():
        if view.problem is not None:
            yield Refusal("STORE_SILENT", f"{name}: {view.problem.message}", "mend it before anything is rehearsed")
    newest = max(
        (content_time(root) for view in chosen.views.values() for root in view.of(asset.name).values()), default=0
    )
    if not newest:
        yield Refusal("NO_SNAPSHOT", f"there is no snapshot of {asset.name}", "holdfast snapshot save")
        return
    interval = asset.owed.save_every.value
    if interval is None:
        return
    limit = STALE_INTERVALS * interval
    help_ = "holdfast site sync"
    if (now - newest) / NANOSECONDS > limit:
        age = format_duration((now - newest) / NANOSECONDS)
        yield Refusal("STALE_REPLICATION", f"the newest snapshot of {asset.name} is {age} old", "save, and sync")
        return
    for name, view in chosen.views.items():
        if view.problem is not None:
            continue
        there = max((content_time(root) for root in view.of(asset.name).values()), default=0)
        behind = (newest - there) / NANOSECONDS
        if behind > limit:
            said = f"is {format_duration(behind)} behind" if there else "has nothing"
            yield Refusal("STALE_REPLICATION", f"{name} {said}: three intervals are {format_duration(limit)}", help_)
