"""Keeping the sites of `holdfast.yaml` alike: allowed, copied, recorded; with what is exposed as a series."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites, store_name
from holdfast.control.sites.exposed import exposure_file
from holdfast.control.sites.rates import RatesFile
from holdfast.control.sites.striped import Healing, SetStatus, StripedAssets
from holdfast.control.sites.telling import spread
from holdfast.replication.following.configuring import Configured
from holdfast.replication.following.exposing import Exposure, exposures
from holdfast.replication.following.rounds import Copied, Follower, RoundReport
from holdfast.replication.following.routes import RoundPlan, site_view, wanted_snapshots, watermark
from holdfast.replication.following.series import ExposureSeries
from holdfast.replication.following.views import View, look
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.sites.spreading import SiteCarriers
    from holdfast.fanout import Fanout

__all__ = ["Arrival", "SiteFollower", "SitesRound", "SitesStatus", "look_at_site"]


class Arrival(NamedTuple):
    """How far a site is with one asset, all its tiers together; `store`: where its snapshots come first.

    `complete_ns`: up to this time of content everything is there.

    `lag_ns`: by how much the newest content is newer than that; None where nothing is complete or nothing is wanted.
    """

    asset: str
    store: str
    site: str
    home: bool
    problem: str
    there: int
    wanted: int
    complete_ns: int | None
    lag_ns: int | None
    verified: int  # of those that are there, how many this machine read back there


class SitesStatus(NamedTuple):
    """What the stores say now, and what a round would do about it. `sets`: of what lies in stripes."""

    now_ns: int
    arrivals: list[Arrival]
    exposures: list[Exposure]
    plan: RoundPlan
    sets: list[SetStatus]


class SitesRound(NamedTuple):
    """What a round did: copies of whole snapshots, healing of stripes. `exposures`: of both, afterwards. `unsound`:
    assets none of whose sites is sound, for which nothing was done.
    """

    report: RoundReport
    healings: list[Healing]
    exposures: list[Exposure]
    unsound: tuple[str, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether every store that owes something answered, and has it."""
        return self.report.settled and all(one.settled for one in self.healings) and not self.unsound


_NOTHING = RoundPlan((), ())


class SiteFollower:
    """Rounds over declared assets, in the name of whoever opened the vault."""

    def __init__(
        self,
        sites: DeclaredSites,
        assets: Sequence[DeclaredAsset],
        *,
        verify: bool = True,
        fanout: Fanout | None = None,
    ) -> None:
        """`verify`: read back what arrives. `fanout`: who carries the packs of whole copies. Raises UsageError where it
        cannot, and what opening the vault raises; of stripes, where no set opens and
        nothing else was asked for.
        """
        self._sites, self._verify, self._asked = sites, verify, [asset.name for asset in assets]
        self.carriers = None if fanout is None else _carriers(sites, assets, fanout)
        self._open(assets)

    def _open(self, assets: Sequence[DeclaredAsset]) -> None:
        sites = self._sites
        self.assets = [asset for asset in assets if not asset.set_name]
        self.striped = StripedAssets(sites, assets)
        if not self.assets and not self.striped.vaults and self.striped.problems:
            raise next(iter(self.striped.problems.values()))
        sets = self.striped.vaults.values()
        self.vault: Vault = sites.open_vault(self.assets) if self.assets or not sets else next(iter(sets))
        self.follower = Follower(
            self.vault.handle,
            sites.stores_of(self.assets),
            [asset.route for asset in self.assets],
            rank=sites.price,
            verify=self._verify,
            progress=sites.progress,
            on_copied=self._record,
            on_configured=self._record_configured,
            carriers=None if self.carriers is None else self.carriers.carrier,
        )
        self._rates = RatesFile(sites.config.organisation, sites.environment, sites.progress.note)
        state = exposure_file(sites)
        self.series = None if state is None else ExposureSeries(state)

    def status(self) -> SitesStatus:
        """Looks, and changes nothing."""
        guard(self.vault, "vault.info")
        views = self._look()
        sets = self.striped.status()
        now = self.vault.handle.clock.now_ns()
        found = exposures(self.follower.routes, views, now) + [one for each in sets for one in each.exposures]
        return SitesStatus(now, self._arrivals(views), found, self.follower.plan(views), sets)

    def _look(self) -> dict[str, View]:
        return self.follower.look() if self.assets else {}

    def run_round(self) -> SitesRound:
        """One round, if every copy of it is allowed. Raises PermissionDeniedError."""
        self.require_allowed()
        return self._round()

    def _round(self) -> SitesRound:
        if self._sites.learn():  # somebody said on another machine that a site failed, or came back
            self._open([self._sites.asset(name) for name in self._asked])
            self.require_allowed()
        spread(self._sites)
        report = self.follower.run_round() if self.assets else RoundReport({}, _NOTHING, _NOTHING, (), ())
        healings = self.striped.heal()
        found = [*report.exposures, *(one for each in self.striped.status() for one in each.exposures)]
        self._keep(found)
        unsound = tuple(name for name in self._asked if not self._sites.asset(name).is_sound)
        for name in unsound:
            self._sites.progress.note(f"none of the sites of {name} is sound: `holdfast site rebuild` brings one back")
        return SitesRound(report, healings, found, unsound)

    def run(self, every_s: float, stop: threading.Event, told: Callable[[SitesRound], None]) -> None:
        """Round after round, until `stop`; a round begins `every_s` seconds after the one before began, or at once."""
        self.require_allowed()
        clock = self.vault.handle.clock
        while not stop.is_set():
            began = clock.monotonic()
            told(self._round())
            stop.wait(max(0.0, every_s - (clock.monotonic() - began)))

    def require_allowed(self) -> None:
        """Each asset to each of its sites."""
        for asset in self.assets:
            for name in asset.targets:
                guard(self.vault, "replicate", asset=asset.name, to=name.partition("/")[0])
        self.striped.require_allowed()

    def _arrivals(self, views: dict[str, View]) -> list[Arrival]:
        found = []
        for asset in self.assets:
            route = asset.route
            wanted = wanted_snapshots(route, views)
            newest = max((content_time(root) for root in wanted.values()), default=None)
            for name in route.landing:
                view = site_view(route, name, views)
                there = view.of(asset.name).keys() & wanted.keys()
                complete = watermark(route, view, wanted) if view.answered else None
                found.append(
                    Arrival(
                        asset.name,
                        name,
                        view.site,
                        name == route.home,
                        view.problem.message if view.problem is not None else "",
                        len(there),
                        len(wanted),
                        complete,
                        None if complete is None or newest is None else newest - complete,
                        len(there & view.verified.keys()),
                    )
                )
        return found

    def _record(self, copied: Copied) -> None:
        """In the audit log, as every copy is: what arrived where, or why not."""
        objects = {"arrived": str(len(copied.arrived)), "left-out": str(len(copied.left_out))}
        names = {"asset": copied.copy.asset, "site": copied.copy.target}
        with recorded_on(self.vault, "replicate", objects=objects, names=names) as facts:
            if copied.error is not None:
                facts.outcome = copied.error.code
        self._rates.note_copied(copied, self.vault.handle.clock.now_ns())

    def _record_configured(self, done: Configured) -> None:
        """In the audit log, too: since when a site knows who was let in, and who was revoked."""
        objects = {"generations": str(done.generations)}
        with recorded_on(self.vault, "replicate", objects=objects, names={"site": done.store}) as facts:
            if done.error is not None:
                facts.outcome = done.error.code

    def _keep(self, found: Sequence[Exposure]) -> None:
        if self.series is None:
            return
        try:
            self.series.append(found)
        except OSError as error:
            self._sites.progress.note(f"{self.series.path} cannot be written ({error.strerror}): exposure is not kept")


def _carriers(sites: DeclaredSites, assets: Sequence[DeclaredAsset], fanout: Fanout) -> SiteCarriers:
    from holdfast.control.sites.spreading import SiteCarriers

    return SiteCarriers(sites, assets, fanout)


def look_at_site(sites: DeclaredSites, site: str) -> dict[str, View]:
    """What the stores of one site say, all of them, whatever lies there. Empty when no vault can be opened anywhere."""
    assets = [asset for asset in sites.assets.values() if site in asset.placement.sites]
    names = [store_name(site, tier) for tier in sites.config.sites[site].stores]
    vault = sites.open_vault([asset for asset in assets if site not in sites.states] or list(sites.assets.values()))
    guard(vault, "vault.info")
    return look(
        vault.handle, [sites.store(name) for name in names], [asset.name for asset in assets], progress=sites.progress
    )
