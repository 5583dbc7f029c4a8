"""The lines of the simulated year, hour by hour, and what a daily measurement sees of them."""

from __future__ import annotations

import numpy as np

from holdfast.replication.tiering.facts import DAY_NS, Rate, Site, Store

from .workload import LINE_RATES

__all__ = ["Lines"]

_SPREAD = 0.12  # of the logarithm of an hour's rate
_BAD_DAYS = 8  # a year and path, of which twelve hours are slow
_SLOW = 0.6
_SEEN_DAYS = 14


class Lines:
    """`worst[day]`: (store, site) → the slowest hour's bytes per second of that day."""

    def __init__(self, stores: tuple[Store, ...], sites: tuple[Site, ...], days: int, seed: int, share: float) -> None:
        random = np.random.default_rng(seed)
        self._pairs = [(store, site.name) for store in stores for site in sites]
        usual = [LINE_RATES[store.tier if store.site == site else "between sites"] for store, site in self._pairs]
        hours = np.exp(random.normal(0.0, _SPREAD, (len(usual), days, 24)))
        bad = random.random((len(usual), days)) < _BAD_DAYS / 365
        hours[:, :, 8:20] *= np.where(bad, _SLOW, 1.0)[:, :, None]
        rates = share * np.array(usual)[:, None, None] * hours
        self._worst = rates.min(axis=2)
        # Each path is measured once a day, at any hour: the worst day may well go unseen.
        at = random.integers(0, 24, (len(usual), days))
        self._seen = np.take_along_axis(rates, at[:, :, None], axis=2)[:, :, 0]

    def worst(self, day: int) -> dict[tuple[str, str], float]:
        """The slowest hour of a day, on every path at once."""
        return {
            (store.name, site): float(rate)
            for (store, site), rate in zip(self._pairs, self._worst[:, day], strict=True)
        }

    def measured(self, day: int, now_ns: int) -> tuple[Rate, ...]:
        """What the planner is told: the lowest of the measurements of the last two weeks."""
        lowest = self._seen[:, max(0, day - _SEEN_DAYS + 1) : day + 1].min(axis=1)
        return tuple(
            Rate(store=store.name, site=site, bytes_per_second=float(rate), measured_ns=now_ns - DAY_NS // 2)
            for (store, site), rate in zip(self._pairs, lowest, strict=True)
        )
