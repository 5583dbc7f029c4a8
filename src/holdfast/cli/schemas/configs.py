"""Outputs of `holdfast config`."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.cli.schemas.common import Count, Record, Seconds

__all__ = [
    "ConfigChecked",
    "ConfigProblem",
    "ConfigShown",
    "ConfigSchema",
    "SiteShown",
    "StoreShown",
    "AssetShown",
    "PlacementShown",
    "RulesShown",
    "TierRuleShown",
    "SecondsFrom",
    "CountFrom",
    "FlagFrom",
    "TextFrom",
]


class ConfigProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the file, and the line on which it stands. `place`: the names that lead there, from the top."""

    line: Count
    message: str
    place: list[str | int]


class ConfigChecked(Record, frozen=True, kw_only=True, tag="holdfast/config-check/1"):
    """`config check`. `problems`: what keeps the file from being used; `findings`: what somebody should look at.

    The numbers are of what could be understood.
    """

    file: str
    sites: Count
    assets: Count
    groups: Count
    problems: list[ConfigProblem]
    findings: list[ConfigProblem]


class SecondsFrom(msgspec.Struct, frozen=True, kw_only=True):
    """A duration, where it comes from, and on which line it stands (null for a default)."""

    value: Seconds | None
    source: str
    line: Count | None


class CountFrom(msgspec.Struct, frozen=True, kw_only=True):
    """A number, where it comes from, and on which line it stands (null for a default)."""

    value: Count | None
    source: str
    line: Count | None


class FlagFrom(msgspec.Struct, frozen=True, kw_only=True):
    """Yes or no, where that comes from, and on which line it stands (null for a default)."""

    value: bool
    source: str
    line: Count | None


class TextFrom(msgspec.Struct, frozen=True, kw_only=True):
    """Words, where they come from, and on which line they stand (null for a default)."""

    value: str
    source: str
    line: Count | None


class StoreShown(msgspec.Struct, frozen=True, kw_only=True):
    """A store of a site. `restore`: until a restore's first byte. `paths`: ways to reach it."""

    tier: str
    url: str
    restore: SecondsFrom
    lock_seconds: Seconds | None
    paths: Count


class SiteShown(msgspec.Struct, frozen=True, kw_only=True):
    """A site, and what it has."""

    name: str
    cloud: str
    region: str
    jurisdiction: str
    stores: list[StoreShown]


class PlacementShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where an asset lies. `home`: site/tier. A save returns when `quorum` of `synchronous`, the home first, have it.

    `stripes`: null for whole copies. `losses`: how many sites may be lost at once. `tiers`: site → tier to which
    snapshots come first. `chosen`: nobody named the sites, they are the first of the file that the rules allow.
    """

    home: str
    synchronous: list[str]
    asynchronous: list[str]
    quorum: Count
    stripes: str | None
    losses: Count
    tiers: dict[str, str]
    chosen: bool
    source: str
    line: Count | None


class RulesShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where copies may lie: the rules of all levels together. `only`: null without such a rule."""

    only: list[str] | None
    not_in: list[str]
    lines: list[Count]


class TierRuleShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is older than `after_seconds`, and was not read for `unread_seconds`, goes to `tier`."""

    tier: str
    after_seconds: Seconds
    unread_seconds: Seconds


class AssetShown(msgspec.Struct, frozen=True, kw_only=True):
    """What counts for an asset. `kind`: the class that comes with Holdfast which its own is, or is like."""

    name: str
    class_name: str = msgspec.field(name="class")
    kind: str
    watch: str | None
    path: str | None
    rpo: SecondsFrom
    rto: SecondsFrom
    copies: CountFrom
    immutable: FlagFrom
    verify_every: SecondsFrom
    save_every: SecondsFrom
    replicate_every: SecondsFrom
    priority: CountFrom
    keep: TextFrom
    tiers: list[TierRuleShown]
    jurisdictions: RulesShown
    placement: PlacementShown


class ConfigShown(Record, frozen=True, kw_only=True, tag="holdfast/config-show/1"):
    """`config show`. With `--asset` only that one, and the sites at which it lies."""

    file: str
    organisation: str
    sites: list[SiteShown]
    assets: list[AssetShown]


class ConfigSchema(Record, frozen=True, kw_only=True, tag="holdfast/config-schema/1"):
    """`config schema`. `definition`: a JSON Schema (2020-12) of holdfast.yaml."""

    definition: dict[str, Any]
