"""Prices and sizes that costs are counted by, each with who said so, or why nobody did. Nothing is fetched here."""

from __future__ import annotations

import msgspec

from holdfast.objectives import NOT_MEASURED, NotMeasured

__all__ = ["CostTerms", "PoolTerms", "Told", "TrainingTerms", "WayTerms"]


class Told(msgspec.Struct, frozen=True):
    """A figure and its source; without the figure, why there is none."""

    value: float | NotMeasured = NOT_MEASURED
    source: str = ""


class PoolTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of a shape at a site: GPUs of one, and its price for an hour."""

    site: str
    shape: str
    gpus: Told = Told()
    hourly: Told = Told()


class WayTerms(msgspec.Struct, frozen=True, kw_only=True):
    """From a store to a site. `egress`: for `egress_gb` bytes; `retrieval`: for `gb` bytes; `requests`: for 1,000."""

    store: str
    site: str
    egress: Told = Told()
    egress_gb: int = 1 << 30
    retrieval: Told = Told()
    requests: Told = Told()
    gb: int = 1 << 30


class TrainingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset was trained on at `site` before the fault: machines, GPUs of one, its price, seconds of a step."""

    asset: str
    site: str = ""
    machines: Told = Told()
    gpus: Told = Told()
    hourly: Told = Told()
    step_seconds: Told = Told()


class CostTerms(msgspec.Struct, frozen=True, kw_only=True):
    """All that costs of a run are counted by, in one currency, by the prices of the day `as_of`."""

    currency: str
    as_of: str
    pools: tuple[PoolTerms, ...] = ()
    ways: tuple[WayTerms, ...] = ()
    training: tuple[TrainingTerms, ...] = ()

    def pool(self, site: str, shape: str) -> PoolTerms | None:
        return next((one for one in self.pools if (one.site, one.shape) == (site, shape)), None)

    def way(self, store: str, site: str) -> WayTerms | None:
        return next((one for one in self.ways if (one.store, one.site) == (store, site)), None)

    def of_training(self, asset: str) -> TrainingTerms | None:
        return next((one for one in self.training if one.asset == asset), None)
