"""Facts about exposure over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.exposures import AssetExposure, ExposurePoint, SiteExposure
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.sites.exposed import ExposedPoint, ExposureHistory

__all__ = ["site_exposure_facts"]


def site_exposure_facts(
    histories: Iterable[ExposureHistory], since_ns: int | None, until_ns: int, svg: str = ""
) -> SiteExposure:
    """`svg`: the file that is written."""
    return SiteExposure(
        since=None if since_ns is None else to_rfc3339(since_ns),
        until=to_rfc3339(until_ns),
        assets=[
            AssetExposure(
                asset=clean(one.asset),
                site=one.site,
                rpo=one.rpo,
                missed_seconds=one.missed_s,
                worst=None if one.worst is None else _point(one.worst, one.rpo),
                points=[_point(point, one.rpo) for point in one.points],
            )
            for one in histories
        ],
        svg=clean(svg),
    )


def _point(point: ExposedPoint, rpo: float | None) -> ExposurePoint:
    return ExposurePoint(
        at=to_rfc3339(point.at),
        site=clean(point.site),
        seconds=point.seconds,
        measured=point.measured,
        met=not point.misses(rpo) if point.is_judged(rpo) else None,
    )
