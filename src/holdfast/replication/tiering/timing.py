"""How long a restore takes from a store, by what was measured. Pure.

seconds = time to the first byte + stored bytes / measured rate + bytes / measured rate of verifying

The three follow each other here; a restore that verifies while it reads is faster, which nobody may count on.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.replication.tiering.facts import NANOSECONDS, Asset, Rate, Snapshot, Store

__all__ = ["Rates", "restore_seconds"]

_SKEW_NS = 300 * NANOSECONDS


class Rates:
    """The measured rates by store and site of the machines. One that is stale, of the future, or no rate, is none."""

    def __init__(self, rates: Iterable[Rate], now_ns: int) -> None:
        self._now = now_ns
        self._rates: dict[tuple[str, str], Rate] = {}
        for rate in sorted(rates, key=lambda one: one.measured_ns):
            self._rates[rate.store, rate.site] = rate

    def of(self, store: str, site: str, fresh_seconds: float) -> float | NotMeasured:
        """Bytes per second, or NOT_MEASURED."""
        rate = self._rates.get((store, site))
        if rate is None or not 0 < rate.bytes_per_second < float("inf"):
            return NOT_MEASURED
        age = self._now - rate.measured_ns
        return rate.bytes_per_second if -_SKEW_NS <= age <= fresh_seconds * NANOSECONDS else NOT_MEASURED


def restore_seconds(snapshot: Snapshot, asset: Asset, store: Store, site: str, rates: Rates) -> float | NotMeasured:
    """From asking to a restored and verified snapshot on machines at `site`; NOT_MEASURED if any part of it is."""
    rate = rates.of(store.name, site, asset.rules.fresh)
    verify = asset.verify_bytes_per_second
    if isinstance(rate, NotMeasured) or verify is None or not verify > 0:
        return NOT_MEASURED
    return store.wait_seconds + snapshot.fetch_bytes / rate + snapshot.bytes / verify
