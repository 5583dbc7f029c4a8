"""What copying costs, before (from a plan) and after (from what was counted): one function for both."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast.economics.amounts import Cost, CostLine, cost_of
from holdfast.economics.book import PriceBook, Region, StoragePrice
from holdfast.economics.storing import read_amount, write_amount
from holdfast.errors import UsageError

__all__ = ["Copy", "CopyEnd", "cost_of_copy"]


class CopyEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a copy: a store of a site. Without `price` its requests and retrieval are not counted, which is said.

    `line_per_gb`: what 10^9 bytes away from here cost by contract, in place of the price book's.
    """

    site: str
    region: Region
    price: StoragePrice | None = None
    line_per_gb: float | None = None


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """So many objects and bytes from one store to another: planned, or done."""

    source: CopyEnd
    target: CopyEnd
    objects: int
    bytes: int


def cost_of_copy(book: PriceBook, copies: Iterable[Copy]) -> Cost:
    """Egress, retrieval and requests of these copies. Raises NotFoundError for a line without a price, UsageError."""
    lines: list[CostLine] = []
    for copy in copies:
        if copy.objects < 0 or copy.bytes < 0:
            raise UsageError(f"{copy.bytes} bytes in {copy.objects} objects cannot be copied")
        lines += _lines(book, copy)
    return cost_of(book, lines)


def _lines(book: PriceBook, copy: Copy) -> list[CostLine]:
    source, target = copy.source, copy.target
    found = []
    if source.line_per_gb is not None and source.region != target.region:
        amount = source.line_per_gb * copy.bytes / 1e9
        found.append(CostLine(f"egress {source.site} to {target.site} (own price)", amount))
    else:
        row = book.transfer_price(source.region, target.region)
        amount = row.per_gb * copy.bytes / book.gb_bytes
        found.append(CostLine(f"egress {source.site} to {target.site} ({row.to})", amount, row.confirmed))
    if source.price is not None:
        read = read_amount(book, source.price, copy.bytes, copy.objects)
        found.append(CostLine(f"reading {source.price.name} at {source.site}", read, source.price.confirmed))
    if target.price is not None:
        written = write_amount(book, target.price, copy.bytes, copy.objects)
        found.append(CostLine(f"writing {target.price.name} at {target.site}", written, target.price.confirmed))
    return found
