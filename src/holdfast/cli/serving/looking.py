"""Sites, objectives, snapshots and the audit log, looked at over a server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.cli.schemas.exposures import SiteExposure
from holdfast.cli.schemas.objectives import ObjectiveStatus
from holdfast.cli.schemas.sites import SiteList, SiteStatus
from holdfast.cli.schemas.snapshots import SnapshotList, SnapshotShown
from holdfast.cli.serving.words import AssetName, Line, Word
from holdfast.control.authority.acting import acting_as
from holdfast.control.service.operations import Asking, Nothing, Operation

__all__ = ["OPERATIONS", "Exposure", "Objectives", "ShowSnapshot", "Snapshots"]


class Objectives(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`asset`: only this one."""

    asset: Line = ""


class Exposure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`site`: if it were lost; by default the worst of all. `since`: how long ago, `24h`."""

    asset: Line = ""
    site: Line = ""
    since: Line = ""


class Snapshots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`newest`: only so many."""

    asset: AssetName
    newest: Annotated[int, Meta(ge=1, le=100_000)] = 1000


class ShowSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ref`: which snapshot of the asset: `latest`, `validated`, `step=500`, a tag, or an id."""

    asset: AssetName
    ref: Word
    tensors: bool = False
    files: bool = False
    codecs: bool = False
    circumstances: bool = False


class SiteName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A declared site."""

    site: Word


def _sites(asking: Asking, given: Nothing) -> SiteList:
    from holdfast.cli.facts.sites import site_list_facts

    sites = asking.service.sites()
    return site_list_facts(sites, sites.site_names())


def _site(asking: Asking, given: SiteName) -> SiteList:
    from holdfast.cli.facts.sites import site_list_facts
    from holdfast.control.sites.following import look_at_site

    sites = asking.service.sites()
    sites.require_site(given.site)
    with acting_as(asking.principal):
        sites.learn()
        return site_list_facts(sites, [given.site], look_at_site(sites, given.site))


def _status(asking: Asking, given: Nothing) -> SiteStatus:
    from holdfast.cli.facts.sites import site_status_facts
    from holdfast.control.sites.following import SiteFollower

    sites = asking.service.sites()
    with acting_as(asking.principal):
        sites.learn()
        return site_status_facts(sites, SiteFollower(sites, list(sites.assets.values())).status())


def _exposure(asking: Asking, given: Exposure) -> SiteExposure:
    from holdfast.cli.facts.exposures import site_exposure_facts
    from holdfast.clock import NANOSECONDS
    from holdfast.control.sites.exposed import exposure_histories
    from holdfast.errors import FailedError
    from holdfast.units import parse_duration

    sites = asking.service.sites()
    now = sites.clock.now_ns()
    begin = None if not given.since else max(0, now - int(parse_duration(given.since) * NANOSECONDS))
    names = [given.asset] if given.asset else list(sites.assets)
    try:
        histories = exposure_histories(sites, names, site=given.site, since_ns=begin or 0)
    except OSError as error:
        raise FailedError(f"what was recorded cannot be read ({error.strerror})") from error
    return site_exposure_facts(histories, begin, now, "")


def _objectives(asking: Asking, given: Objectives) -> ObjectiveStatus:
    from holdfast.cli.objective import objective_status

    sites = asking.service.sites()
    with acting_as(asking.principal):
        sites.learn()
        return objective_status(sites, [given.asset] if given.asset else None)


def _snapshots(asking: Asking, given: Snapshots) -> SnapshotList:
    from holdfast.cli.facts.lists import list_facts
    from holdfast.control.authority.guarding import guard
    from holdfast.control.sites.finding import open_for_reading

    with acting_as(asking.principal):
        vault = open_for_reading(asking.service.sites(), given.asset)
        guard(vault, "list", asset=given.asset)
        return list_facts(vault, given.asset, given.newest)


def _snapshot(asking: Asking, given: ShowSnapshot) -> SnapshotShown:
    from holdfast.cli.facts.snapshots import shown_facts
    from holdfast.control.authority.guarding import guard
    from holdfast.control.sites.finding import open_for_reading

    reference = given.asset if given.ref == "latest" else f"{given.asset}@{given.ref}"
    with acting_as(asking.principal):
        vault = open_for_reading(asking.service.sites(), reference)
        root = vault.find(guard(vault, "show", reference=reference).reference)
        return shown_facts(
            vault,
            root,
            tensors=given.tensors,
            files=given.files,
            codecs=given.codecs,
            circumstances=given.circumstances,
        )


OPERATIONS = (
    Operation(
        "site.list", "GET", "/sites", "site.list", Nothing, SiteList, _sites,
        "The declared sites, and how many assets have their home or a copy at each. Asks no store.",
        tag="sites", pages="sites", keeps=2,
    ),
    Operation(
        "site.status", "GET", "/sites/status", "site.list", Nothing, SiteStatus, _status,
        "How far every store is with every asset, and what would be lost if a site died now.", tag="sites",
        keeps=10,
    ),
    Operation(
        "site.exposure", "GET", "/sites/exposure", "site.list", Exposure, SiteExposure, _exposure,
        "How much would have been lost with a site, as rounds on the server's machine saw it. Asks no store.",
        tag="sites", keeps=2,
    ),
    Operation(
        "site.show", "GET", "/sites/{site:str}", "site.list", SiteName, SiteList, _site,
        "One site: its stores, whether they answer, what they hold.", on="site", tag="sites", keeps=2,
    ),
    Operation(
        "objective.status", "GET", "/objectives", "objective.show", Objectives, ObjectiveStatus, _objectives,
        "How each asset stands against its RPO and RTO, and why.", tag="objectives", pages="assets", keeps=5,
    ),
    Operation(
        "snapshot.list", "GET", "/assets/{asset:str}/snapshots", "list", Snapshots, SnapshotList, _snapshots,
        "The snapshots of an asset, oldest first.", on="asset", tag="assets", pages="snapshots", keeps=5,
    ),
    Operation(
        "snapshot.show", "GET", "/assets/{asset:str}/snapshots/{ref:str}", "show", ShowSnapshot, SnapshotShown,
        _snapshot, "Everything about one snapshot of an asset.", on="asset", tag="assets", keeps=5,
    ),
)  # fmt: skip
