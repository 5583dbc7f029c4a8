"""What the planner of tiers is told. All of it is data: no clock, no store, no file.

Times are ns since the epoch by the stores' clocks, rates bytes per second, durations seconds. A store's name is unique
(`use1/hot`). Sites of one `domain` fail together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from holdfast.economics.book import PriceBook, Region, StoragePrice

__all__ = ["Tier", "Site", "Store", "Rate", "Owed", "Rules", "Asset", "Lying", "Snapshot", "Raised", "Facts", "PackId"]
__all__ += ["NANOSECONDS", "DAY_NS"]

NANOSECONDS = 1_000_000_000
DAY_NS = 86_400 * NANOSECONDS
PackId = str


class Tier(StrEnum):
    """How soon, and at which price, a store gives back what it holds."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


class _Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact."""


class Site(_Fact, frozen=True, kw_only=True):
    """A place that fails by itself, or together with others of its `domain` (empty: alone)."""

    name: str
    region: Region
    jurisdiction: str
    domain: str = ""
    line_per_gb: float | None = None

    @property
    def fails_with(self) -> str:
        return self.domain or self.name


class Store(_Fact, frozen=True, kw_only=True):
    """A store of a site. `first_byte_seconds`: declared or measured; None: the longest that its price row states."""

    name: str
    site: str
    tier: Tier
    price: StoragePrice
    first_byte_seconds: float | None = None
    capacity_bytes: int | None = None

    @property
    def wait_seconds(self) -> float:
        """From the request to the first byte."""
        return self.price.first_byte_seconds if self.first_byte_seconds is None else self.first_byte_seconds


class Rate(_Fact, frozen=True, kw_only=True):
    """What one restore from `store` to machines at `site` was measured to get. Hand in a share of it when many restores
    will have to run at once.
    """

    store: str
    site: str
    bytes_per_second: float
    measured_ns: int


class Owed(_Fact, frozen=True, kw_only=True):
    """What a class owes. `rto_seconds` None: a rule has to set it. `only_jurisdictions` None: any but `not_in`."""

    name: str
    rto_seconds: float | None
    copies: int = 1
    only_jurisdictions: frozenset[str] | None = None
    not_in: frozenset[str] = frozenset()

    def allows(self, jurisdiction: str) -> bool:
        only = self.only_jurisdictions
        return jurisdiction not in self.not_in and (only is None or jurisdiction in only)


class Rules(_Fact, frozen=True, kw_only=True):
    """When a snapshot goes to a tier: older than `…_after`, and unread for `…_unread` (seconds).

    The newest `hot_newest` snapshots of an asset, `latest` and `validated` stay hot at its home. Reading keeps a
    snapshot from going colder; it is raised again only when it was read `raise_reads` times within `…_unread`. A raised
    or newly copied snapshot leaves no store within `settle`. `margin`: the part of the RTO that a restore may take; the
    rest is for noticing and deciding. A move has to pay within `horizon`, by `gain` of what is saved, or it is not
    made. Measurements older than `fresh` count as none.
    """

    warm_after: float = 2 * 86_400.0
    warm_unread: float = 2 * 86_400.0
    cold_after: float = 30 * 86_400.0
    cold_unread: float = 30 * 86_400.0
    hot_newest: int = 1
    raise_reads: int = 2
    settle: float = 2 * 86_400.0
    margin: float = 0.8
    horizon: float = 180 * 86_400.0
    gain: float = 0.1
    fresh: float = 14 * 86_400.0


class Asset(_Fact, frozen=True, kw_only=True):
    """An asset. `sites`: where its copies lie, the home first. `recover_at`: sites with machines that it may be
    restored to. `verify_bytes_per_second`: measured, of reading a restored snapshot back; None: not measured.
    """

    name: str
    owed: Owed
    sites: tuple[str, ...]
    recover_at: tuple[str, ...]
    rules: Rules = Rules()
    verify_bytes_per_second: float | None = None


class Lying(_Fact, frozen=True, kw_only=True):
    """A snapshot at a store. `verified_ns`: when it was last read back whole there; None counts as no copy.

    `pointed_by`: what points to it in that store (`latest`, `validated`, `tag x`, `held: why`, `lease`, `locked`): it
    cannot leave it.
    """

    since_ns: int
    verified_ns: int | None = None
    pointed_by: tuple[str, ...] = ()


class Snapshot(_Fact, frozen=True, kw_only=True):
    """A snapshot. `bytes`: of its files; `fetch_bytes`: stored bytes that a restore reads; `packs`: all that it needs,
    bases of its deltas too. `reads_ns`: when it was read at its home, lately. `ends_ns`: when retention will drop it,
    as far as is known.
    """

    id: str
    asset: str
    time_ns: int
    bytes: int
    fetch_bytes: int
    packs: frozenset[PackId]
    at: Mapping[str, Lying]
    reads_ns: tuple[int, ...] = ()
    latest: bool = False
    validated: bool = False
    ends_ns: int | None = None


class Raised(_Fact, frozen=True, kw_only=True):
    """A snapshot that is wanted at a store until then, whatever its age: for a drill, a risk, an edge cache.

    `source`: the store that it is to be copied from; empty for the cheapest.
    """

    snapshot: str
    store: str
    until_ns: int
    reason: str
    source: str = ""


class Facts(_Fact, frozen=True, kw_only=True):
    """Everything. `packs`: pack → its bytes. `object_bytes`: for models, whose entries of `packs` are bundles of
    objects of that size; 0: each is one object.
    """

    now_ns: int
    book: PriceBook
    sites: tuple[Site, ...]
    stores: tuple[Store, ...]
    rates: tuple[Rate, ...]
    assets: tuple[Asset, ...]
    snapshots: tuple[Snapshot, ...]
    packs: Mapping[PackId, int]
    raised: tuple[Raised, ...] = ()
    object_bytes: int = 0
