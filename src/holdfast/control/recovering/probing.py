"""What a planner and a reviewer are told: `recovery.facts`, from holdfast.yaml and what the stores say now.

Everything is asked at once, and waited for as long as patience lasts. What did not answer is said to be silent; what
nobody measured is NOT_MEASURED. Nothing is written.

* The epoch of an asset is the number of notices about its sites that are known: it only grows, and whoever fences one
  of them makes the next. A plan that was made before is refused then (`EPOCH_PASSED`).
* Its home is where it is written now; of an asset that is nobody's (its declared home was taken for lost), nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.config.effective import restore_time
from holdfast.config.model import Site as DeclaredSite
from holdfast.config.words import Tier
from holdfast.control.recovering.history import Past
from holdfast.control.recovering.probing_compute import probe_compute, standing_at, with_service
from holdfast.control.recovering.probing_marks import Marks, marks_at
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites, store_name
from holdfast.control.sites.rates import FRESH_SECONDS, RatesFile
from holdfast.control.sites.sets import is_set_name
from holdfast.control.sites.using import uses_of
from holdfast.errors import HoldfastError, RefusedError
from holdfast.fanout.beside import at_once
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import Rate, Source
from holdfast.recovery.facts import Answer, Asset, Facts, Proof, Replica, Site, Snapshot
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.following.views import SiteStore, View, look
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.format.names import PACKS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

__all__ = ["PATIENCE_SECONDS", "Prober", "epoch_of"]

PATIENCE_SECONDS: Final = 15.0
_SIZED: Final = 3  # of so many snapshots of an asset it is looked up what has to be fetched; of older ones all counts
_USUAL_INTERVAL: Final = 86_400.0


def epoch_of(sites: DeclaredSites, asset: DeclaredAsset) -> int:
    """How often something was said of the sites of an asset, as far as this machine knows."""
    notices = sites.kept_states.notices().values()
    return sum(one.notice.site in asset.placement.sites for one in notices)


class Prober:
    """Probes for a recovery of `assets` to one of the sites `to`; `learn()` of the sites was called before."""

    def __init__(
        self, sites: DeclaredSites, vault: Vault, assets: Sequence[DeclaredAsset], to: Sequence[str], past: Past
    ) -> None:
        self._sites, self._vault, self._assets, self._to, self._past = sites, vault, assets, to, past
        self.problems: dict[str, str] = {}
        """Store → why it said nothing, or not all."""
        self._views: dict[str, View] = {}
        self._marks: Marks = {}

    def facts(self, lost: Collection[str] = (), *, sized: bool = True) -> Facts:
        """All that is known now. `lost`: sites that whoever asks takes for lost: a plan relies on no copy there.
        `sized`: look up what a restore would fetch; else as many bytes as it writes.

        Raises what the memory of this machine raises (DamageError).
        """
        sites = self._sites
        now = self._vault.handle.clock.now_ns()
        stores = self._open()
        at_once(lambda: self._look(stores), lambda: self._look_for_marks([store.name for store in stores]))
        views = self._views
        answers = {site: self._answer(site, views) for site in self._site_names()}
        machines, problems = probe_compute(sites, self._site_names(), self._past.compute)
        self.problems |= problems
        found = tuple(
            Site(
                name=site,
                jurisdiction=sites.config.sites[site].jurisdiction,
                answer=answers[site],
                state=sites.states[site].condition.value if site in sites.states else "ok",
                compute=machines.get(site, ()),
                fencing=self._past.fencing,
                restored=standing_at(sites, site, [asset.name for asset in self._assets]),
            )
            for site in self._site_names()
        )
        snapshots = tuple(one for asset in self._assets for one in self._snapshots(asset, views, now, lost, sized))
        verifying = self._verifying(now)
        return Facts(
            at=now,
            assets=tuple(self._asset(asset, views, verifying) for asset in self._assets),
            sites=found,
            snapshots=snapshots,
            deciding=self._past.deciding,
            detecting=self._past.detecting,
            acting=self._past.acting,
        )

    def answering_stores(self, facts: Facts) -> list[str]:
        """One for each site that answers and has the vault, the recovery's sites first: for the journal."""
        found = []
        good = [one.name for one in facts.sites if one.answer is Answer.YES and one.state != "failed"]
        for site in sorted(good, key=lambda name: self._to.index(name) if name in self._to else len(self._to)):
            for asset in self._assets:
                name = asset.at(site) if site in asset.placement.sites else ""
                if name and self._views[name].answered and self._views[name].vault:
                    found.append(name)
                    break
        return found

    def _site_names(self) -> list[str]:
        return list(dict.fromkeys([*self._to, *(site for one in self._assets for site in one.placement.sites)]))

    def _stores_of(self, site: str) -> list[str]:
        declared: DeclaredSite = self._sites.config.sites[site]
        return [store_name(site, tier) for tier in Tier if tier in declared.stores]

    def _open(self) -> list[SiteStore]:
        """All stores of all sites concerned, in whatever state they are declared to be."""
        opened = []
        for name in (name for site in self._site_names() for name in self._stores_of(site)):
            try:
                opened.append(self._sites.store(name))
            except HoldfastError as error:
                self.problems[name] = error.message
        return opened

    def _look(self, stores: Sequence[SiteStore]) -> None:
        self._views = look(
            self._vault.handle,
            stores,
            [asset.name for asset in self._assets],
            patience_s=PATIENCE_SECONDS,
            progress=self._sites.progress,
        )
        self.problems |= {name: view.problem.message for name, view in self._views.items() if view.problem is not None}

    def _look_for_marks(self, stores: Sequence[str]) -> None:
        """At all of them, whatever they have: over a line that is sooner than asking first who has the assets."""
        handles = {store: self._handle(store) for store in stores}
        whole = [asset.name for asset in self._assets if not asset.set_name]
        self._marks = marks_at({(asset, store): handle for asset in whole for store, handle in handles.items()})

    def _answer(self, site: str, views: Mapping[str, View]) -> Answer:
        """A site answers when its store does to which snapshots come first; without such a store, when any does."""
        landing = {asset.at(site) for asset in self._assets if site in asset.placement.sites}
        asked = [views[name] for name in (landing or self._stores_of(site)) if name in views]
        if not asked:
            return Answer.UNKNOWN
        return Answer.YES if all(view.answered for view in asked) else Answer.NO

    def _asset(self, asset: DeclaredAsset, views: Mapping[str, View], verifying: Mapping[str, Rate]) -> Asset:
        owed = asset.owed
        interval = owed.save_every.value or _usual_interval(asset, views) or _USUAL_INTERVAL
        allowed = {self._sites.config.sites[site].jurisdiction for site in self._site_names()}
        rules = owed.rules
        known = Asset(
            name=asset.name,
            home=home_of(asset),
            epoch=epoch_of(self._sites, asset),
            rpo=owed.rpo.value,
            rto=owed.rto.value,
            interval=interval,
            jurisdictions=tuple(sorted(one for one in allowed if rules.allows(one)))
            if not all(map(rules.allows, allowed))
            else (),
            verifying=verifying.get(asset.name),
        )
        return with_service(known, self._sites.config.assets[asset.name].service, self._past.compute)

    def _verifying(self, now: int) -> dict[str, Rate]:
        rates = self._rates_file()
        uses = uses_of(self._sites, self._vault.id, list(self._views), rates.read().here)
        why = "lower quartile of what was read back here"
        return {
            name: Rate(bytes_per_second=rate, source=Source.MEASURED, why=why)
            for name, rate in rates.verifying(now, uses.verifying).items()
            if rate > 0
        }

    def _rates(self, now: int) -> dict[str, dict[str, Rate]]:
        """Store → site of the machines → rate."""
        file = self._rates_file()
        uses = uses_of(self._sites, self._vault.id, list(self._views), file.read().here)
        found: dict[str, dict[str, Rate]] = {}
        for one in file.rates(list(self._views), self._site_names(), now, uses.restores):
            if one.bytes_per_second > 0 and now - one.measured_ns <= FRESH_SECONDS * NANOSECONDS:
                why = f"lower quartile, last measured {to_rfc3339(one.measured_ns)[:16]}Z"
                rate = Rate(bytes_per_second=one.bytes_per_second, source=Source.MEASURED, why=why)
                found.setdefault(one.store, {})[one.site] = rate
        return found

    def _rates_file(self) -> RatesFile:
        sites = self._sites
        return RatesFile(sites.config.organisation, sites.environment, sites.progress.note)

    def _snapshots(
        self, asset: DeclaredAsset, views: Mapping[str, View], now: int, lost: Collection[str], sized: bool
    ) -> list[Snapshot]:
        rates = self._rates(now)
        broken: frozenset[str] = frozenset()
        if asset.set_name:
            from holdfast.control.recovering.striped_copies import copy_in_set

            view, broken = copy_in_set(self._sites, self._vault.handle, asset, lost, self._to)
            views = {view.name: view}  # what single sites of a set have is no copy
            if view.problem is not None:
                self.problems[view.name] = view.problem.message
        roots: dict[str, Root] = {}
        at: dict[str, list[View]] = {}
        for view in views.values():
            for snapshot, root in view.of(asset.name).items():
                roots[snapshot] = root
                at.setdefault(snapshot, []).append(view)
        handles = {name: self._handle(name) for name, view in views.items() if view.answered and view.of(asset.name)}
        aside = self._set_aside(asset, handles)
        proofs = {name: Proofs(handle).snapshots() for name, handle in handles.items()}
        newest = sorted(roots.values(), key=lambda root: (content_time(root), root.id), reverse=True)
        found = []
        for number, root in enumerate(newest):
            size = sum(part.size for part in root.parts)
            looked_up = sized and number < _SIZED
            fetch = self._fetch(root, [handles[view.name] for view in at[root.id]], size) if looked_up else size
            replicas = tuple(
                Replica(
                    site=view.site,
                    store=view.name,
                    whole=root.id not in broken,  # a root is copied last: where it lies, all it needs had arrived
                    fetch=fetch,
                    wait=self._wait(view.name),
                    proof=Proof(at=proven.at, level=proven.level)
                    if (proven := proofs[view.name].get(root.id)) is not None
                    else None,
                    rates=rates.get(view.name, {}),
                )
                for view in at[root.id]
                if view.site not in lost
            )
            verdict = "quarantined" if root.id in aside else root.validation.verdict
            found.append(
                Snapshot(
                    id=SnapshotId(root.id),
                    asset=asset.name,
                    content=content_time(root),
                    step=root.step,
                    size=size,
                    verdict=verdict,
                    replicas=replicas,
                )
            )
        return found

    def _set_aside(self, asset: DeclaredAsset, handles: Mapping[str, Handle]) -> set[str]:
        """Whoever set a snapshot aside at one store meant it everywhere."""
        mine = {(asset.name, store): handle for store, handle in handles.items()}
        marks = marks_at(mine) if asset.set_name else self._marks
        aside: set[str] = set()
        for one in mine:
            found = marks[one]
            if isinstance(found, HoldfastError):
                self.problems[one[1]] = f"what was quarantined there is not known: {found.message}"
            else:
                aside |= found
        return aside

    def _fetch(self, root: Root, handles: Sequence[Handle], otherwise: int) -> int:
        """Stored bytes that a restore reads, by the first store that can tell; else as many as it writes."""
        for handle in handles:
            try:
                stored = frozenset(info.key for info in handle.store.list(PACKS))
                return sum(packs_of(handle, root, stored).values())
            except HoldfastError as error:
                self._sites.progress.note(f"what a restore of {root.id} reads is not known: {error.message}")
        return otherwise

    def _wait(self, name: str) -> float:
        """Seconds until an archive gives its first byte, or as declared; of other stores the rate has it."""
        if is_set_name(name):
            return 0.0
        site, _, tier = name.partition("/")
        declared = self._sites.config.sites[site].stores[Tier(tier)]
        if declared.restore is None and Tier(tier) is not Tier.COLD:
            return 0.0
        return restore_time(Tier(tier), declared).value

    def _handle(self, name: str) -> Handle:
        own = self._vault.handle
        return Handle(self._sites.store(name).store, own.keys, own.clock, self._sites.progress, own.workers)


def home_of(asset: DeclaredAsset) -> str:
    """Where it is written now; empty where its declared home was taken for lost, so that nothing has to be fenced."""
    try:
        home = asset.home_site
    except RefusedError:
        return ""
    return home if home == asset.placement.sites[0] else ""


def _usual_interval(asset: DeclaredAsset, views: Mapping[str, View]) -> float:
    """Seconds: the median between the last snapshots, of the store that has most; 0 where there are too few."""
    from statistics import median

    times = max(
        (sorted(map(content_time, view.of(asset.name).values())) for view in views.values()), key=len, default=[]
    )
    gaps = [(later - before) / NANOSECONDS for before, later in zip(times[-20:], times[-19:], strict=False)]
    return median(gaps) if gaps else 0.0
