"""Assets that lie in stripes: what their sets say, what would be lost with a site, and healing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.sets import stores_of_set, stripes_of_set
from holdfast.errors import DamageError, HoldfastError, RefusedError
from holdfast.ids import PartId, SnapshotId
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.following.exposing import Exposure, Protection
from holdfast.replication.striping import (
    Healed,
    HealingPlan,
    StripedStore,
    Survey,
    heal_stripes,
    plan_healing,
    survey_stripes,
)
from holdfast.replication.striping.healing import record_layout
from holdfast.vault.checking.deep import DEEP
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED
from holdfast.vault.format.names import pack_key, part_key
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import content_time, list_roots, newest_first
from holdfast.vault.snapshots.thinning import kept_links
from holdfast.vault.vault import Vault

__all__ = ["Healing", "SetStatus", "StripedAssets", "survives"]

_LOOKED_AT = 32  # of an asset's newest snapshots: whether others give them without a site; older ones count as lost


class SetStatus(NamedTuple):
    """One set of stripes. `problem`: why nothing could be said of it; then there is no survey.

    `exposures`: of each of its assets, for each of its sites.
    """

    name: str
    assets: tuple[DeclaredAsset, ...]
    problem: HoldfastError | None
    survey: Survey | None
    exposures: tuple[Exposure, ...]

    @property
    def stores(self) -> list[str]:
        """Names of its stores, in the order of the set."""
        return stores_of_set(self.name)


class Healing(NamedTuple):
    """What was done for one set, or would be (`is_plan`). `unhealed`: sentences: what is still owed, and why."""

    name: str
    assets: tuple[DeclaredAsset, ...]
    is_plan: bool
    work: HealingPlan
    unhealed: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether every site has what it owes."""
        return not self.unhealed and not (self.is_plan and (self.work.packs or self.work.objects))


class StripedAssets:
    """The sets of stripes of some assets, each opened once. Sets that do not open have a `problem`."""

    def __init__(self, sites: DeclaredSites, assets: Sequence[DeclaredAsset]) -> None:
        self._sites = sites
        self._sets: dict[str, tuple[DeclaredAsset, ...]] = {}
        for asset in assets:
            if asset.set_name:
                self._sets[asset.set_name] = (*self._sets.get(asset.set_name, ()), asset)
        self.vaults: dict[str, Vault] = {}
        self.problems: dict[str, HoldfastError] = {}
        self._open()

    def _open(self) -> None:
        """Those that are not open yet: a set may come back between two rounds."""
        for name in self._sets.keys() - self.vaults.keys():
            try:
                self.vaults[name] = self._sites.open_at(name)
                self.problems.pop(name, None)
            except HoldfastError as error:
                self.problems[name] = error

    def status(self) -> list[SetStatus]:
        """Looks, and changes nothing. Raises PermissionDeniedError."""
        self._open()
        for vault in self.vaults.values():
            guard(vault, "vault.info")
        return [self._status(name) for name in self._sets]

    def plan(self) -> list[Healing]:
        """What healing would do now."""
        found = []
        for name, assets in self._sets.items():
            try:
                problem = self.problems.get(name)
                plan = HealingPlan() if problem is not None else _plan(self._sites.stripes(name))
            except HoldfastError as error:
                plan, problem = HealingPlan(), error
            found.append(Healing(name, assets, True, plan, _unhealed(assets, plan, problem)))
        return found

    def heal(self) -> list[Healing]:
        """Give every site that answers what it lacks, take from it what was deleted. Recorded in the audit logs.

        Raises PermissionDeniedError.
        """
        self.require_allowed()
        return [self._heal(name, assets) for name, assets in self._sets.items()]

    def require_allowed(self) -> None:
        """Each asset to each of its sites. Raises PermissionDeniedError."""
        self._open()
        for name, vault in self.vaults.items():
            for asset in self._sets[name]:
                for site in asset.placement.sites:
                    guard(vault, "replicate", asset=asset.name, to=site)

    def _heal(self, name: str, assets: tuple[DeclaredAsset, ...]) -> Healing:
        if name not in self.vaults:
            return Healing(name, assets, False, HealingPlan(), _unhealed(assets, HealingPlan(), self.problems[name]))
        store, vault = self._sites.stripes(name), self.vaults[name]
        if self._sites.has_too_few(name):
            lost = self._sites.failed_of(name)
            problem = RefusedError(
                f"{', '.join(lost)} are taken for lost, and the others are too few: nothing is written before "
                f"`holdfast site rebuild {lost[0]}`"
            )
            return Healing(name, assets, False, HealingPlan(), _unhealed(assets, HealingPlan(), problem))
        try:
            plan = _plan(store)
            if not (plan.packs or plan.objects):
                done = _healed(store)  # there may still be marks to settle: nothing that is worth an entry
            else:
                with recorded_on(vault, "replicate", names={"site": name, "asset": assets[0].name}) as facts:
                    done = _healed(store)
                    facts.objects |= {"packs": str(done.packs), "objects": str(done.objects)}
        except HoldfastError as error:
            return Healing(name, assets, False, HealingPlan(), _unhealed(assets, HealingPlan(), error))
        if done.fragments:
            self._sites.progress.note(
                f"{assets[0].name}: {len(done.fragments)} packs are in fragments, of interrupted saves or lost: "
                "`holdfast vault check` says whether a snapshot needs them"
            )
        failed = tuple(f"{assets[0].name}: {key}: {why}" for key, why in done.failed.items())
        differing = tuple(f"{assets[0].name}: {one} differs from what its home has" for one in done.differing)
        return Healing(name, assets, False, done, (*_unhealed(assets, done, None), *failed, *differing))

    def _status(self, name: str) -> SetStatus:
        assets, problem = self._sets[name], self.problems.get(name)
        now = self._sites.clock.now_ns()
        survey = None
        if problem is None:
            try:
                survey = survey_stripes(self._sites.stripes(name))
                found = [one for asset in assets for one in self._exposures(name, asset, survey, now)]
                return SetStatus(name, assets, None, survey, tuple(found))
            except HoldfastError as error:
                problem = error
        gone = [
            Exposure(asset.name, site, now, Protection.NONE, None, None, "", "")
            for asset in assets
            for site in asset.placement.sites
        ]
        return SetStatus(name, assets, problem, survey, tuple(gone))

    def _exposures(self, name: str, asset: DeclaredAsset, survey: Survey, now: int) -> list[Exposure]:
        """For each site: the age of the newest content that the others give."""
        handle = self.vaults[name].handle
        roots = newest_first(list_roots(handle, asset.name))
        verified = {one for one, proof in Proofs(handle).snapshots().items() if proof.level in (DECODED, DEEP)}
        found = []
        for position, site in enumerate(asset.placement.sites):
            left = [root for root in roots[:_LOOKED_AT] if survives(handle, root, survey, position)]
            arrived = left[0] if left else None
            read_back = next((root for root in left if root.id in verified), None)
            best = read_back or arrived
            seconds = None if read_back is None else _age(read_back, now)
            found.append(
                Exposure(
                    asset.name,
                    site,
                    now,
                    Protection.VERIFIED if read_back else Protection.ARRIVED if arrived else Protection.NONE,
                    seconds,
                    None if arrived is None else _age(arrived, now),
                    "" if best is None else best.id,
                    "" if best is None else f"stripes {stripes_of_set(name)}",
                    None if seconds is None else max(0.0, seconds - _age(roots[0], now)),
                )
            )
        return found


def survives(handle: Handle, root: Root, survey: Survey, position: int) -> bool:
    """Whether the other sites give the snapshot: its root, its parts, and k shards of each of its packs."""
    if not survey.is_readable_without(position):
        return False
    lost = survey.lost_with[position]
    if not lost and not survey.fragments:
        return True
    try:
        links = kept_links(handle, root)
        needed = {handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))}
        needed |= {part_key(PartId(link.id.hex())) for link in links}
        if needed & lost:
            return False
        stored = survey.packs_without(position)
        return all(pack_key(pack) in stored for pack in packs_of(handle, root, stored, links))
    except DamageError:
        return False


def _members(store: StripedStore) -> list[int]:
    """Positions of all sites but those that answer and hold nothing of the set: these are rebuilt, and not healed."""
    store.sites.forget()
    _ = store.layout
    return [member.position for member in store.sites.members if not member.vacant]


def _plan(store: StripedStore) -> HealingPlan:
    plan = plan_healing(store, _members(store))
    _owe_vacant(store, plan)
    return plan


def _healed(store: StripedStore) -> Healed:
    positions = _members(store)
    done = heal_stripes(store, positions)
    record_layout(store, [one for one in store.sites.ready() if not one.vacant])
    _owe_vacant(store, done)
    return done


def _owe_vacant(store: StripedStore, work: HealingPlan) -> None:
    work.owed += [
        f"{one.name} holds nothing of the set: `holdfast site rebuild` fills it"
        for one in store.sites.members
        if one.vacant
    ]


def _age(root: Root, now_ns: int) -> float:
    """Seconds."""
    return max(0, now_ns - content_time(root)) / NANOSECONDS


def _unhealed(assets: Sequence[DeclaredAsset], work: HealingPlan, problem: HoldfastError | None) -> tuple[str, ...]:
    names = ", ".join(asset.name for asset in assets)
    found = [f"{names}: {one}" for one in work.owed]
    if problem is not None:
        found.append(f"{names}: {problem.message}")
    return tuple(found)
