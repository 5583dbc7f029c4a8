"""Price books: files that people write, or get from somewhere."""

from __future__ import annotations

import math

import msgspec

from fuzz.model import Broken, Target
from holdfast.economics.book import PriceBook, Region, load_list_prices, parse_book, with_own_prices
from holdfast.economics.own_prices import parse_own_prices
from holdfast.economics.storing import lifetime_amount, read_amount, write_amount
from holdfast.errors import HoldfastError, UsageError

__all__ = ["TARGETS"]

_OWN = b"""{"version": 1, "currency": "USD", "as_of": "2026-11-21", "storage": [{"name": "a/b", "region": "r",
"storage": 0.02, "minimum_days": 30, "source": "us"}], "transfer": [{"cloud": "a", "to": "internet", "per_gb": 0.09,
"source": "us"}]}"""


_YAML = b"""version: 1
currency: USD
as_of: 2027-01-31
transfer:
  - {cloud: a, to: internet, per_gb: 0.09, source: us}
storage:
  - name: a/b
    region: r
    storage: 4e-3
    minimum_days: 30
    source: our contract
"""


def _book(data: bytes) -> None:
    _judge(parse_book(data, "prices.json"))


def _own(data: bytes) -> None:
    """What is refused names a line; what is taken is what JSON of the same would have given."""
    try:
        book = parse_own_prices(data, "prices.yaml")
    except UsageError as error:
        if not error.message.startswith(("prices.yaml, line ", "prices.yaml is empty", "prices.yaml has more than")):
            raise Broken(f"{error.message} names no line") from error
        raise
    _judge(book)
    if parse_book(msgspec.json.encode(book), "prices.json") != book:
        raise Broken("it is another book as JSON")


def _judge(book: PriceBook) -> None:
    for row in book.storage:
        amounts = [lifetime_amount(book, row, 1 << 50, 1e9), read_amount(book, row, 1 << 50, 1e9)]
        amounts.append(write_amount(book, row, 1 << 50, 1e9))
        if not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
            raise Broken(f"{row.name} costs {amounts}")
        if book.storage_price(row.name, row.region) != row:
            raise Broken(f"{row.name} in {row.region} is not found again")
    try:
        with_own_prices(load_list_prices(), book).transfer_price(Region("aws", "us-east-1"), Region("gcp", "x"))
    except HoldfastError:
        return


TARGETS = [
    Target(
        "price-book",
        "`parse_book`, `with_own_prices`",
        _book,
        lambda: [_OWN],
        (
            b'"as_of"',
            b"1e308",
            b"-0",
            b"1e400",
            b"NaN",
            b'"gb_bytes": 1,',
            b"[[[[",
            b"\\ud800",
            b"0000-00-00",
            b"9" * 30,
        ),
    ),
    Target(
        "price-file",
        "`parse_own_prices`",
        _own,
        lambda: [_YAML, _OWN],
        (b"as_of: ", b"4e-3", b"1e308", b"-0.5", b".5", b"- {", b"storage: ", b"0000-00-00", b"&a", b"9" * 30),
    ),
]
