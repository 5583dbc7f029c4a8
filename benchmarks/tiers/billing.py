"""What the simulated year is billed: bytes at rest day by day, what comes and goes, and what goes too early."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from holdfast.economics.book import PriceBook
from holdfast.economics.storing import (
    DAY_SECONDS,
    billed_bytes,
    early_deletion_amount,
    read_amount,
    read_back_amount,
    storage_amount,
    write_amount,
)
from holdfast.replication.tiering.facts import Site, Store

__all__ = ["Bills", "Shelf", "OBJECT_BYTES"]

OBJECT_BYTES = 32 << 20
GRACE_DAYS = 2  # what no snapshot needs any more is collected in two runs; until then it is stored, and billed


def objects_of(size: int) -> int:
    return -(-size // OBJECT_BYTES)


class Bills:
    """Money by day and by what it is for. Nothing is billed while `counting` is False."""

    def __init__(self) -> None:
        self.counting = True
        self.day = 0
        self.by_what: Counter[str] = Counter()
        self.by_day: dict[int, float] = defaultdict(float)
        self.by_tier: dict[int, Counter[str]] = defaultdict(Counter)

    def add(self, what: str, amount: float) -> None:
        if self.counting and amount:
            self.by_what[what] += amount
            self.by_day[self.day] += amount


class Shelf:
    """One store: which packs lie there since when, how many snapshots need each, what waits to be collected."""

    def __init__(self, store: Store, site: Site, book: PriceBook, sizes: Mapping[str, int], bills: Bills) -> None:
        self.store, self.site, self._book, self._sizes, self._bills = store, site, book, sizes, bills
        self._since: dict[str, int] = {}
        self._needed: Counter[str] = Counter()
        self._waiting: dict[str, int] = {}
        self.bytes = 0

    def put(self, packs: Iterable[str], source: Shelf | None) -> None:
        """A snapshot comes. From another shelf (None: from the training job, at the same site) with what is missing."""
        for pack in packs:
            self._needed[pack] += 1
            self._waiting.pop(pack, None)
            if pack in self._since:
                continue
            size = self._sizes[pack]
            self._since[pack] = self._bills.day
            self.bytes += size
            objects = objects_of(size)
            self._bills.add("requests", write_amount(self._book, self.store.price, size, objects))
            if source is not None:
                source.send(size, objects, self.site)
                self._bills.add("reading back", read_back_amount(self._book, self.store.price, size, objects))

    def send(self, size: int, objects: int, to: Site) -> None:
        """Bytes are read here and go to a site."""
        price = self.store.price
        self._bills.add("requests", read_amount(self._book, price, 0, objects))
        self._bills.add("retrieval", read_amount(self._book, price, size, 0))
        row = self._book.transfer_price(self.site.region, to.region)
        self._bills.add("egress", row.per_gb * size / self._book.gb_bytes)

    def take(self, packs: Iterable[str]) -> None:
        """A snapshot goes."""
        for pack in packs:
            self._needed[pack] -= 1
            if not self._needed[pack]:
                del self._needed[pack]
                self._waiting[pack] = self._bills.day + GRACE_DAYS

    def end_of_day(self) -> None:
        """Bill what lies here, and collect what waited long enough."""
        price, book, day = self.store.price, self._book, self._bills.day
        billed = billed_bytes(price, self.bytes, objects_of(self.bytes)) if self.bytes else 0
        self._bills.add(f"storage {self.store.tier}", storage_amount(book, price, billed, DAY_SECONDS))
        self._bills.by_tier[day][self.store.tier] += self.bytes
        for pack in [pack for pack, due in self._waiting.items() if due <= day]:
            del self._waiting[pack]
            size = self._sizes[pack]
            self.bytes -= size
            lived = (day + 1 - self._since.pop(pack)) * DAY_SECONDS
            self._bills.add("early deletion", early_deletion_amount(book, price, size, lived))
