"""The output of `holdfast site exposure`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record, Seconds, Time

__all__ = ["AssetExposure", "ExposurePoint", "SiteExposure"]


class ExposurePoint(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds`: age of the newest content that would have survived the loss of `site`; null: none would have.

    `measured`: whether what survives had been read back there. `met`: null where nothing is owed, or where ages cannot
    tell (an RPO of 0).
    """

    at: Time
    site: str
    seconds: Seconds | None
    measured: bool
    met: bool | None


class AssetExposure(msgspec.Struct, frozen=True, kw_only=True):
    """One asset, its points in the order of time. `site`: the only one looked at; empty for the worst of each time.

    `missed_seconds`: for how long it was exposed by more than `rpo`. `worst`: null without points.
    """

    asset: str
    site: str
    rpo: Seconds | None
    missed_seconds: Seconds
    worst: ExposurePoint | None
    points: list[ExposurePoint]


class SiteExposure(Record, frozen=True, kw_only=True, tag="holdfast/site-exposure/1"):
    """`site exposure`: from `since` (null: from the beginning) until `until`. `svg`: the file that was written."""

    since: Time | None
    until: Time
    assets: list[AssetExposure]
    svg: str
