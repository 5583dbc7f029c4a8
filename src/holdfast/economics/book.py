"""The price book: what stores and lines cost, from a file that says of when, from where, and what was not confirmed.

The one that comes with the package (`list_prices.json`) has public list prices; a file of the user's own replaces its
rows. Prices are per month of 730 hours and per "GB" of `gb_bytes` (2^30: the large clouds bill binary gigabytes).
"""

from __future__ import annotations

import math
from datetime import date
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from holdfast.errors import NotFoundError, UsageError

__all__ = ["PriceBook", "StoragePrice", "TransferPrice", "Region", "Boundary", "BOOK_BYTES_MAX", "MONTH_SECONDS"]
__all__ += ["load_list_prices", "parse_book", "with_own_prices"]

BOOK_BYTES_MAX = 4 << 20
MONTH_SECONDS = 730 * 3600.0
_AMOUNT = msgspec.Meta(ge=0, le=1e6)
_COUNT = msgspec.Meta(ge=0, le=1 << 50)
Boundary = Literal["same-region", "same-continent", "other-continent", "internet"]


class Region(msgspec.Struct, frozen=True):
    """Where a store is: `aws`, `us-east-1`. `onprem` has any name; lines between such places have no list price."""

    cloud: str
    name: str

    def __str__(self) -> str:
        return f"{self.cloud}/{self.name}"


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the book."""


class StoragePrice(_Row, frozen=True, kw_only=True):
    """One class of storage in one region.

    Per GB: `storage` (a month), `retrieval` (read back), `upload` (written). Per 1,000: `write_requests`,
    `read_requests`, `retrieval_requests` (objects of an archive that are asked for). What is deleted before
    `minimum_days` is billed until then. An object counts as `least_object_bytes` at least, and `overhead_bytes` more.
    `first_byte_seconds`: from the request to the first byte, the longest that is published. `confirmed`: storage and
    retrieval were compared with a published figure; `source` says where from, and what is from memory.
    """

    name: str
    region: str
    storage: Annotated[float, _AMOUNT]
    retrieval: Annotated[float, _AMOUNT] = 0.0
    upload: Annotated[float, _AMOUNT] = 0.0
    write_requests: Annotated[float, _AMOUNT] = 0.0
    read_requests: Annotated[float, _AMOUNT] = 0.0
    retrieval_requests: Annotated[float, _AMOUNT] = 0.0
    minimum_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 0.0
    least_object_bytes: Annotated[int, _COUNT] = 0
    overhead_bytes: Annotated[int, _COUNT] = 0
    first_byte_seconds: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 0.0
    source: str
    confirmed: bool = False


class TransferPrice(_Row, frozen=True, kw_only=True):
    """What a GB costs that leaves a region of `cloud`, by where it goes."""

    cloud: str
    to: Boundary
    per_gb: Annotated[float, _AMOUNT]
    source: str
    confirmed: bool = False


class PriceBook(_Row, frozen=True, kw_only=True):
    """All prices, in one currency, as of one day (`as_of`, YYYY-MM-DD). `continents`: `cloud/region` → continent."""

    version: Literal[1]
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]
    as_of: str
    storage: tuple[StoragePrice, ...]
    transfer: tuple[TransferPrice, ...]
    gb_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)] = 1 << 30
    continents: dict[str, str] = {}
    note: str = ""

    def storage_price(self, name: str, region: str) -> StoragePrice:
        """The row of a class of storage. Raises NotFoundError."""
        for row in self.storage:
            if (row.name, row.region) == (name, region):
                return row
        regions = sorted({row.region for row in self.storage if row.name == name})
        known = ", ".join(regions) if regions else ", ".join(sorted({row.name for row in self.storage}))
        raise NotFoundError(
            f"the price book has no {name} in {region}", hint=f"it has {known}; add a row in a file of your own"
        )

    def boundary(self, source: Region, target: Region) -> Boundary:
        """What bytes cross between two regions. A region of an unknown continent is taken for another continent."""
        if source == target:
            return "same-region"
        if source.cloud != target.cloud:
            return "internet"
        here, there = self.continents.get(str(source)), self.continents.get(str(target))
        return "same-continent" if here is not None and here == there else "other-continent"

    def transfer_price(self, source: Region, target: Region) -> TransferPrice:
        """What a GB costs between two regions. Raises NotFoundError where the book has no such row."""
        boundary = self.boundary(source, target)
        if boundary == "same-region":
            return TransferPrice(cloud=source.cloud, to=boundary, per_gb=0.0, source="free", confirmed=True)
        for row in self.transfer:
            if (row.cloud, row.to) == (source.cloud, boundary):
                return row
        raise NotFoundError(
            f"the price book has no price for bytes from {source} to {target} ({boundary})",
            hint=f"add a row for cloud {source.cloud!r} in a file of your own, or give the line's own price",
        )


def load_list_prices() -> PriceBook:
    """The list prices that come with the package."""
    data = files("holdfast.economics").joinpath("list_prices.json").read_bytes()
    return parse_book(data, "list_prices.json")


def parse_book(data: bytes, name: str) -> PriceBook:
    """The price book in a JSON file. Unknown keys are errors. Raises UsageError that names the file and the place."""
    if len(data) > BOOK_BYTES_MAX:
        raise UsageError(f"{name} has more than {BOOK_BYTES_MAX >> 20} MiB: it is no price book")
    try:
        book = msgspec.json.decode(data, type=PriceBook)
        date.fromisoformat(book.as_of)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"{name} is no price book: {error}", hint="see docs/economics.md for an example") from error
    _check_rows(book, name)
    return book


def _check_rows(book: PriceBook, name: str) -> None:
    seen: set[tuple[str, str]] = set()
    for row in book.storage:
        _check_once(seen, (row.name, row.region), name)
    for line in book.transfer:
        _check_once(seen, (line.cloud, line.to), name)
        if not math.isfinite(line.per_gb):
            raise UsageError(f"{name}: the price of {line.cloud} to {line.to} is no number")


def _check_once(seen: set[tuple[str, str]], key: tuple[str, str], name: str) -> None:
    if key in seen:
        raise UsageError(f"{name} has two rows for {key[0]} in {key[1]}")
    seen.add(key)


def with_own_prices(book: PriceBook, own: PriceBook) -> PriceBook:
    """The book with the rows of `own` in place of its own. The older of the two dates counts.

    Raises UsageError where currencies or the size of a GB differ: amounts could not be added.
    """
    if (own.currency, own.gb_bytes) != (book.currency, book.gb_bytes):
        raise UsageError(
            f"prices in {own.currency} per {own.gb_bytes} bytes cannot be mixed with those in {book.currency} per "
            f"{book.gb_bytes}",
            hint="convert your rows, or give a book that has all that you use",
        )
    storage = {(row.name, row.region): row for row in (*book.storage, *own.storage)}
    transfer = {(row.cloud, row.to): row for row in (*book.transfer, *own.transfer)}
    return msgspec.structs.replace(
        book,
        as_of=min(book.as_of, own.as_of),
        storage=tuple(storage.values()),
        transfer=tuple(transfer.values()),
        continents=book.continents | own.continents,
        note=own.note or book.note,
    )
