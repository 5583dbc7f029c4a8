"""What `holdfast.yaml` says, as types: sites and their stores and links, classes, assets, groups, and what comes later.

Each struct is a mapping of the file, with the same names (but `class` is `class_name`, `from` is `begin` and `to` is
`end`). Durations are seconds, rates bytes per second. None and empty mean that nothing was said: what then counts is
worked out in `effective.py`, with where it comes from. The JSON Schema is made from these types, too.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.config.compute_model import Compute, Service
from holdfast.config.detecting_model import Automatic, Detect
from holdfast.config.drill_model import Drill
from holdfast.config.identity_model import Identity
from holdfast.config.notify_model import Notify, Pagerduty
from holdfast.config.section import Section
from holdfast.config.serving_model import Serve
from holdfast.config.webhooks_model import Webhook
from holdfast.config.words import (
    Approvers,
    AssetName,
    Clock,
    Cloud,
    ComponentName,
    Day,
    Dscp,
    Duration,
    FilePath,
    Home,
    Jurisdiction,
    Name,
    Price,
    Priority,
    Rate,
    Reference,
    Sites,
    Strategy,
    Stripes,
    Text,
    Tier,
    Url,
    Version,
    Zone,
)
from holdfast.config.workers_model import Work
from holdfast.objectives.retention_rules import BUCKETS, Keep, Rule

__all__ = ["Config", "Site", "StoreSpec", "PathSpec", "Way", "Link", "Limit", "Compute", "Service", "TierRule", "Place"]
__all__ += [
    "ClassSpec",
    "Asset",
    "AssetKeep",
    "Group",
    "Hook",
    "Witness",
    "Recovery",
    "Automatic",
    "Detect",
    "Drill",
    "Notify",
    "Pagerduty",
    "Identity",
    "Serve",
]


class Limit(Section, frozen=True, kw_only=True):
    """No more than `rate` from `begin` to `end` (minutes since midnight, in the link's time zone) on these days.

    `end` before `begin` means on the following day; the days are those on which it begins. No days mean every day.
    """

    begin: Clock = msgspec.field(name="from")
    end: Clock = msgspec.field(name="to")
    rate: Rate
    days: tuple[Day, ...] = ()


class Link(Section, frozen=True, kw_only=True):
    """What connects a site to the others. `up` is away from the site, `down` towards it; None is unlimited.

    `reserve`: of each direction this much is left to others. `price_per_gb`: for 10^9 bytes away from the site.
    `dscp`: the mark of its packets. Of several `limits` that hold at a time the lowest counts.
    """

    up: Rate | None = None
    down: Rate | None = None
    reserve: Rate = 0.0
    price_per_gb: Price | None = None
    dscp: Dscp | None = None
    timezone: Zone = "UTC"
    limits: tuple[Limit, ...] = ()


class PathSpec(Section, frozen=True, kw_only=True):
    """One more way to a store. What it does not say is as the store says; options are added to the store's."""

    url: Url = ""
    options: dict[Name, Text | Reference] = {}
    link: Name = ""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A store by one of its paths: what to open, and over which link of the site (`Site.link_called`)."""

    url: str
    options: dict[str, str | Reference]
    credentials: dict[str, Reference]
    link: str


class StoreSpec(Section, frozen=True, kw_only=True):
    """One store of a site. `restore`: seconds until its first byte arrives when a restore asks (cold ones: hours).

    `lock`: objects are locked for at least that long. `options`, `credentials`: as `holdfast.stores` names them; only
    `credentials` are secret, and only references. `paths`: several ways to the same bytes, the best first.
    """

    url: Url
    restore: Duration | None = None
    lock: Duration | None = None
    options: dict[Name, Text | Reference] = {}
    credentials: dict[Name, Reference] = {}
    link: Name = ""
    paths: tuple[PathSpec, ...] = ()

    def ways(self) -> list[Way]:
        """All ways to it, the best first: at least one."""
        return [
            Way(
                url=path.url or self.url,
                options=self.options | path.options,
                credentials=self.credentials,
                link=path.link or self.link,
            )
            for path in self.paths or (PathSpec(),)
        ]


class Site(Section, frozen=True, kw_only=True):
    """A place that fails by itself. Sites of one cloud and region are one failure domain.

    `link` is for the usual case of one; `links` for several, by name.
    """

    cloud: Cloud
    region: Name
    jurisdiction: Jurisdiction
    stores: dict[Tier, StoreSpec]
    compute: tuple[Compute, ...] = ()
    link: Link | None = None
    links: dict[Name, Link] = {}

    @property
    def failure_domain(self) -> tuple[str, str]:
        """What fails together."""
        return self.cloud.value, self.region

    def link_called(self, name: str) -> Link:
        """The link of that name; for an empty name the only one, or the first, or one without any limit."""
        if name:
            return self.links[name]
        return self.link or next(iter(self.links.values()), Link())


class TierRule(Section, frozen=True, kw_only=True):
    """When snapshots go to a tier: those older than `after` that nobody read for `unread`."""

    after: Duration
    unread: Duration = 0.0


class Place(Section, frozen=True, kw_only=True):
    """Where the copies of an asset lie, and where they may.

    `synchronous`: sites of which `quorum`, the home among them, have a snapshot whole before a save returns;
    `asynchronous`: those that get it later. `stripes`: packs are cut over `sites` instead. `only_jurisdiction`,
    `not_in`: rules that every copy, shard and cache keeps. Where no sites are named, the first of the file that the
    rules allow are taken.
    """

    synchronous: tuple[Name, ...] = ()
    asynchronous: tuple[Name, ...] = ()
    sites: tuple[Name, ...] = ()
    stripes: Stripes | None = None
    quorum: Sites | None = None
    only_jurisdiction: tuple[Jurisdiction, ...] = ()
    not_in: tuple[Jurisdiction, ...] = ()


class AssetKeep(Keep, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The retention rule of one asset: as a rule of a retention policy, without its `assets`."""

    tags: Literal["protect", "ignore"] | tuple[Text, ...] = "protect"
    components: dict[ComponentName, Keep] = msgspec.field(default_factory=dict)

    def rule_for(self, asset: str) -> Rule:
        """As a rule of a retention policy."""
        names = ("last", "within", *BUCKETS)
        return Rule(
            assets=asset,
            keep=Keep(**{name: getattr(self, name) for name in names}),
            tags=self.tags if isinstance(self.tags, str) else list(self.tags),
            components=self.components,
        )


class _Owed(Section, frozen=True, kw_only=True):
    """What a class owes, and what an asset may say in its place. None: as the level above says.

    `save_every`: how often a snapshot is made; `replicate_every`: how often is looked for what is to be copied.
    `priority`: 0 to 9; what has a higher one is copied first. `immutable`: each copy that counts is locked.
    """

    rpo: Duration | None = None
    rto: Duration | None = None
    copies: Sites | None = None
    verify_every: Duration | None = None
    save_every: Duration | None = None
    replicate_every: Duration | None = None
    priority: Priority | None = None
    immutable: bool | None = None
    tiers: dict[Tier, TierRule] | None = None
    place: Place = Place()
    keep: AssetKeep | None = None


class ClassSpec(_Owed, frozen=True, kw_only=True):
    """A class. One that does not come with Holdfast says which of those it is `like`."""

    like: Name = ""


class Asset(_Owed, frozen=True, kw_only=True):
    """What is protected. `watch`: a folder of checkpoints; `path`: a file or folder that is saved as it is. `service`:
    what runs with it.
    """

    class_name: Name = msgspec.field(name="class")
    watch: FilePath = ""
    path: FilePath = ""
    home: Home | None = None
    service: Service | None = None


class Hook(Section, frozen=True, kw_only=True):
    """Commands around the cut of a group, as lists of arguments. Each has until `timeout`."""

    before: tuple[Text, ...] = ()
    after: tuple[Text, ...] = ()
    timeout: Duration = 60.0


class Group(Section, frozen=True, kw_only=True):
    """Assets that must agree when they are restored.

    `saved_as`: the asset whose snapshots hold all of them. `hold`: for how long hooks hold at most. `staging`: where
    the cut lies until it is saved. `datasets`: whose versions are kept with it: paths, `lakefs://…`, `hf://…`.
    """

    assets: tuple[AssetName, ...]
    saved_as: AssetName = ""
    hooks: dict[Name, Hook] = {}
    hold: Duration = 120.0
    staging: FilePath = ""
    datasets: dict[Name, Text] = {}


class Witness(Section, frozen=True, kw_only=True):
    """Who cosigns the audit log of a vault, and at which site: what it keeps and is sent lies there.

    `name`: of its key. `state`: its own store, where that is none of a site's; `url`: where it listens. `assets`: those
    whose vaults it witnesses; all without.
    """

    name: Text
    site: Name
    state: Url = ""
    url: Text = ""
    assets: tuple[AssetName, ...] = ()


class Recovery(Section, frozen=True, kw_only=True):
    """How an asset, or a group, comes back. `to`: sites, the preferred one first. `steps`: a runbook of one's own.

    `approvers`: how many people other than who asks have to agree. `automatic`: when it begins by itself.
    """

    asset: AssetName = ""
    group: Name = ""
    strategy: Strategy
    to: tuple[Name, ...]
    steps: FilePath = ""
    approvers: Approvers = 1
    automatic: Automatic | None = None


class Config(Section, frozen=True, kw_only=True):
    """What an organisation declares about its sites, what its classes of assets owe, and its assets."""

    version: Version
    organisation: Name
    sites: dict[Name, Site]
    classes: dict[Name, ClassSpec] = {}
    assets: dict[AssetName, Asset] = {}
    groups: dict[Name, Group] = {}
    witnesses: dict[Name, Witness] = {}
    recoveries: dict[Name, Recovery] = {}
    drills: dict[Name, Drill] = {}
    detect: Detect = Detect()
    notify: Notify = Notify()
    webhooks: dict[Name, Webhook] = {}
    identity: Identity = Identity()
    serve: Serve = Serve()
    work: Work = Work()
