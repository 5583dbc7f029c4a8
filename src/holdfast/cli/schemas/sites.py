"""Outputs of `holdfast site`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, Time, WorkerFacts

__all__ = [
    "StoreFacts",
    "SiteFacts",
    "SiteList",
    "ArrivalFacts",
    "ExposureFacts",
    "CopyFacts",
    "SiteStatus",
    "ConfiguredFacts",
    "CopiedFacts",
    "SiteSynced",
    "MoveFacts",
    "SiteChanged",
    "SiteCreated",
    "StripeSiteFacts",
    "StripesFacts",
    "HealedFacts",
]

StoreName = Annotated[str, msgspec.Meta(description="a store of a site: SITE/TIER")]


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One store of a site. `answers`: absent unless it was asked; `snapshots`: of all assets declared to lie there."""

    tier: str
    url: str
    restore_seconds: Seconds
    answers: bool | None = None
    problem: str = ""
    snapshots: Count | None = None


class SiteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A site, its stores, and the assets that lie there: those whose home it is, and those that are copied to it.

    `state`: `failed`, `draining` or `rebuilding`, empty for a site that is as declared. `since`, `reason`, `by`: when
    it was said, why, and whose key signed it. `rivals`: what somebody else said at the same time, and does not count.
    """

    name: str
    cloud: str
    region: str
    jurisdiction: str
    state: str
    since: Time | None
    reason: str
    by: str
    rivals: list[str]
    stores: list[StoreFacts]
    homes: list[str]
    copies: list[str]


class SiteList(Record, frozen=True, kw_only=True, tag="holdfast/site-list/1"):
    """`site list` and `site show`. `config`: the file that declares them."""

    config: str
    sites: list[SiteFacts]


class ArrivalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a site is with an asset, all its tiers together. `complete`: up to this time of content everything is
    there; `lag`: seconds by which the newest content is newer. `verified`: of those `there`, how many this machine has
    read back there.
    """

    asset: str
    store: StoreName
    home: bool
    there: Count
    wanted: Count
    verified: Count
    complete: Time | None
    lag: Seconds | None
    problem: str


class ExposureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What would be lost of an asset if a site died now. `protection`: `verified` (the newest surviving snapshot was
    read back where it lies), `arrived` (it is there, and was not), `none`. `seconds` counts only what was verified, and
    is null without that: NOT_MEASURED. `behind_seconds`: by how much newer content exists at the dying site: 0 when all
    that was saved survives. `rpo`: what the asset owes; `met`: null where nothing was measured.
    """

    asset: str
    site: str
    protection: str
    seconds: Seconds | None
    arrived_seconds: Seconds | None
    snapshot: str
    store: str
    behind_seconds: Seconds | None
    rpo: Seconds | None
    met: bool | None


class CopyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a round would copy. `bytes`: at most; what the target has of it already is not sent."""

    asset: str
    target: StoreName
    sources: list[StoreName]
    snapshots: Count
    bytes: Bytes


class StripeSiteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One site of a set of stripes. `home`: whether it orders what must be ordered, as the set itself says. `packs`: of
    how many it lacks its shard; `objects`: how many others it lacks; null where it is not asked: `problem` says why.
    """

    store: StoreName
    home: bool
    problem: str
    packs: Count | None
    objects: Count | None


class StripesFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A set of stripes. `stripes`: `2+1`, data and parity. `packs`: that any k sites give now, and `fragments`: that
    they do not; null where nothing could be said: `problem` says why.
    """

    assets: list[str]
    stripes: str
    sites: list[StripeSiteFacts]
    packs: Count | None
    fragments: Count | None
    problem: str


class HealedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was written to sites of a set of stripes that lacked it, or would be. `unhealed`: sentences: what is owed
    still, and why.
    """

    assets: list[str]
    stripes: str
    packs: Count
    objects: Count
    bytes_read: Bytes
    bytes_written: Bytes
    unhealed: list[str]


class ConfiguredFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A store whose configuration (who reads, who writes, who was revoked) lay behind. `generations`: how many it was
    given, 0 where it is only said what would be done. `error`: why it was not given all.
    """

    store: StoreName
    source: str
    generations: Count
    error: str


class SiteStatus(Record, frozen=True, kw_only=True, tag="holdfast/site-status/1"):
    """`site status`. `stuck`: what a round could not do now, and why. `stripes`: sets of stripes, whose assets have no
    `arrivals`. `outdated`: stores whose configuration is not the newest.
    """

    at: Time
    arrivals: list[ArrivalFacts]
    stripes: list[StripesFacts]
    exposures: list[ExposureFacts]
    copies: list[CopyFacts]
    outdated: list[StoreName]
    stuck: list[str]


class CopiedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one copy. `error`: why it ended early, empty if it did not."""

    asset: str
    target: StoreName
    source: StoreName
    arrived: Count
    left_out: Count
    objects: Count
    bytes: Bytes
    seconds: Seconds
    error: str


class SiteSynced(Record, frozen=True, kw_only=True, tag="holdfast/site-sync/1"):
    """`site sync`: one round, or with --dry-run what it would copy (`copies`). `healed`: sets of stripes. `configured`:
    stores whose configuration lay behind.

    `workers`: with --fanout, who carried how much so far.
    """

    at: Time
    dry_run: bool
    settled: bool
    configured: list[ConfiguredFacts]
    copied: list[CopiedFacts]
    copies: list[CopyFacts]
    healed: list[HealedFacts]
    exposures: list[ExposureFacts]
    stuck: list[str]
    workers: list[WorkerFacts]


class MoveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of a site means for one asset. `home_before`, `home_after`: sites; the latter empty where no sound
    site is left. `only_here`: snapshots that no other store has, which are lost with the site, or are copied first.
    `lost_seconds`: by how much content at the site is newer than the newest that others have; null where it is not
    known, as the site does not answer or has no vault. `copies_left`: sites that will have a copy.

    `stripes`: `2+1` where it lies in stripes, else empty. Then `home_before` and `home_after` are those of the set,
    `copies_left` is one more than the sites that may be lost afterwards, and `packs` is of how many the site gets its
    shard.
    """

    asset: str
    home_before: str
    home_after: str
    only_here: Count
    lost_seconds: Seconds | None
    copies_left: Count
    copies_owed: Count | None
    to_copy: Count
    bytes: Bytes
    stripes: str
    packs: Count


class SiteChanged(Record, frozen=True, kw_only=True, tag="holdfast/site-change/1"):
    """`site fail`, `drain`, `add`, `rebuild` and `home`: the plan, and with `applied` what was done. `change`: which of
    them.

    `settled`: whether all that was to be copied is there; null where nothing is copied. `told`: stores, and sets of
    stripes, whose vault says now what became of the site, so that other machines know; `untold`: which do not, and why.
    """

    site: str
    change: str
    answers: bool
    moves: list[MoveFacts]
    refusals: list[str]
    applied: bool
    settled: bool | None
    copied: list[CopiedFacts]
    healed: list[HealedFacts]
    told: list[str]
    untold: list[str]


class SiteCreated(Record, frozen=True, kw_only=True, tag="holdfast/site-create/1"):
    """`site create`: a new, empty set of stripes, and the vault in it. `vault` and `key_file` are empty with --dry-run.

    `assets`: all that will lie in it; `sites`: its stores, the home first; `url`: what `--vault` takes on any machine.
    """

    dry_run: bool
    assets: list[str]
    stripes: str
    sites: list[StoreName]
    url: str
    vault: str
    encrypted: bool
    suite: int
    key_file: str
    recipients: list[str]
    refusals: list[str]
