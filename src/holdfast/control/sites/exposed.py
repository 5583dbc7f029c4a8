"""The series of exposure that rounds write, to be looked at: what was lost of each asset with the worst site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.control.sites.declared import DeclaredSites
from holdfast.homes import state_home
from holdfast.replication.following.exposing import Protection
from holdfast.replication.following.series import ExposureSeries, Sample

__all__ = ["ExposedPoint", "ExposureHistory", "exposure_file", "exposure_histories"]


class ExposedPoint(NamedTuple):
    """At `at` (ns since the epoch) `site` was the one whose loss would have cost most: content of `seconds`.

    `seconds`: None: all of it, whatever its age. `measured`: whether what survives had been read back there. `behind`:
    by how much the newest content that any store had was newer than what survives; None: nobody wrote it down.
    """

    at: int
    seconds: float | None
    measured: bool
    site: str
    behind: float | None = None

    def misses(self, rpo: float | None) -> bool:
        """Whether it is more than is owed. Of an RPO of 0: whether anything that was saved would be lost."""
        if rpo is None:
            return False
        lost = self.seconds if rpo > 0 else self.behind or 0.0
        return self.seconds is None or (lost is not None and lost > rpo)

    def is_judged(self, rpo: float | None) -> bool:
        """Whether `misses` says anything: what nobody measured can be a miss, and never none."""
        if rpo is None or self.misses(rpo):
            return rpo is not None
        return self.measured and (rpo > 0 or self.behind is not None)


class ExposureHistory(NamedTuple):
    """One asset, its points in the order of time. `site`: the only one looked at; empty for the worst of all.

    `missed_s`: for how long it was exposed by more than `rpo` (seconds), from point to point.
    """

    asset: str
    site: str
    rpo: float | None
    points: list[ExposedPoint]

    @property
    def worst(self) -> ExposedPoint | None:
        return max(self.points, key=_cost, default=None)

    @property
    def missed_s(self) -> float:
        missed = (later.at - point.at for point, later in pairwise(self.points) if point.misses(self.rpo))
        return sum(missed) / NANOSECONDS


def exposure_file(sites: DeclaredSites) -> Path | None:
    """Where the series of an organisation lies on this machine; None for a user without a home."""
    state = state_home(sites.environment)
    return None if state is None else state / "holdfast" / "exposure" / f"{sites.config.organisation}.jsonl"


def exposure_histories(
    sites: DeclaredSites, assets: Sequence[str], *, site: str = "", since_ns: int = 0
) -> list[ExposureHistory]:
    """Of these assets, as rounds of this machine saw it. Asks no store. Raises NotFoundError, OSError."""
    path = exposure_file(sites)
    owed = {name: sites.asset(name).owed.rpo.value for name in assets}
    if site:
        sites.require_site(site)
    found: dict[str, list[Sample]] = {name: [] for name in assets}
    for sample in ExposureSeries(path).read(site=site or None, since_ns=since_ns) if path is not None else ():
        if sample.asset in found:
            found[sample.asset].append(sample)
    return [ExposureHistory(name, site, owed[name], _worst(samples)) for name, samples in found.items()]


def _worst(samples: Iterable[Sample]) -> list[ExposedPoint]:
    """Of the samples of one round, which have one time, that of the site whose loss costs most."""
    in_time = sorted(samples, key=lambda one: one.at)
    return [max(map(_point, group), key=_cost) for _, group in groupby(in_time, key=lambda one: one.at)]


def _point(sample: Sample) -> ExposedPoint:
    if sample.protection == Protection.NONE.value:
        return ExposedPoint(sample.at, None, True, sample.site)
    measured = sample.seconds is not None
    seconds = sample.seconds if measured else sample.arrived
    return ExposedPoint(sample.at, seconds, measured, sample.site, sample.behind)


def _cost(point: ExposedPoint) -> tuple[bool, float, bool]:
    return point.seconds is None, point.seconds or 0.0, not point.measured
