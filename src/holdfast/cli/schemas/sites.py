"""Outputs of `holdfast site`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, Time

__all__ = [
    "StoreFacts",
    "SiteFacts",
    "SiteList",
    "ArrivalFacts",
    "ExposureFacts",
    "CopyFacts",
    "SiteStatus",
    "CopiedFacts",
    "SiteSynced",
    "MoveFacts",
    "SiteChanged",
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

    `state`: `failed`, `draining` or `rebuilding`, empty for a site that is as declared.
    """

    name: str
    cloud: str
    region: str
    jurisdiction: str
    state: str
    stores: list[StoreFacts]
    homes: list[str]
    copies: list[str]


class SiteList(Record, frozen=True, kw_only=True, tag="holdfast/site-list/1"):
    """`site list` and `site show`. `config`: the file that declares them."""

    config: str
    sites: list[SiteFacts]


class ArrivalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How far a store is with an asset. `complete`: up to this time of content everything is there; `lag`: seconds by
    which the newest content is newer. `verified`: of those `there`, how many this machine has read back there.
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


class SiteStatus(Record, frozen=True, kw_only=True, tag="holdfast/site-status/1"):
    """`site status`. `stuck`: what a round could not do now, and why."""

    at: Time
    arrivals: list[ArrivalFacts]
    exposures: list[ExposureFacts]
    copies: list[CopyFacts]
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
    """`site sync`: one round, or with --dry-run what it would copy (`copies`)."""

    at: Time
    dry_run: bool
    settled: bool
    copied: list[CopiedFacts]
    copies: list[CopyFacts]
    exposures: list[ExposureFacts]
    stuck: list[str]


class MoveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of a site means for one asset. `home_before`, `home_after`: sites; the latter empty where no sound
    site is left. `only_here`: snapshots that no other store has, which are lost with the site, or are copied first.
    `lost_seconds`: by how much content at the site is newer than the newest that others have; null where it is not
    known, as the site does not answer or has no vault. `copies_left`: sites that will have a copy.
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


class SiteChanged(Record, frozen=True, kw_only=True, tag="holdfast/site-change/1"):
    """`site fail`, `drain`, `add` and `rebuild`: the plan, and with `applied` what was done. `change`: which of them.

    `settled`: whether all that was to be copied is there; null where nothing is copied.
    """

    site: str
    change: str
    answers: bool
    moves: list[MoveFacts]
    refusals: list[str]
    applied: bool
    settled: bool | None
    copied: list[CopiedFacts]
