"""The price book: what comes with the package, files of the user's own, and files that are none."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.economics.book import Region, load_list_prices, parse_book, with_own_prices
from holdfast.errors import NotFoundError, UsageError

BOOK = load_list_prices()


def own(**changes: Any) -> bytes:
    plain = {"version": 1, "currency": "USD", "as_of": "2027-01-31", "storage": [], "transfer": []}
    return json.dumps(plain | changes).encode()


def test_every_row_says_where_it_is_from_and_whether_that_was_confirmed() -> None:
    assert date.fromisoformat(BOOK.as_of) and BOOK.currency == "USD" and "from memory" in BOOK.note
    for row in BOOK.storage:
        assert row.source and row.storage > 0
        doubted = row.source.replace("requests from memory", "")
        assert not (row.confirmed and "from memory" in doubted), row.name
        assert f"{row.name.partition('/')[0]}/{row.region}" in BOOK.continents
    assert {line.to for line in BOOK.transfer} == {"same-continent", "other-continent", "internet"}


@pytest.mark.parametrize(
    ("name", "region", "storage", "retrieval", "days", "first_byte"),
    [
        ("aws/s3-standard", "us-east-1", 0.023, 0, 0, 0.1),
        ("aws/s3-standard-ia", "us-east-1", 0.0125, 0.01, 30, 0.1),
        ("aws/s3-glacier-instant", "us-east-1", 0.004, 0.03, 90, 0.1),
        ("aws/s3-glacier-flexible", "us-east-1", 0.0036, 0.01, 90, 5 * 3600),
        ("aws/s3-deep-archive", "us-east-1", 0.00099, 0.02, 180, 12 * 3600),
        ("gcp/standard", "europe-west1", 0.020, 0, 0, 0.1),
        ("gcp/nearline", "europe-west1", 0.010, 0.01, 30, 0.1),
        ("gcp/coldline", "europe-west1", 0.004, 0.02, 90, 0.1),
        ("gcp/archive", "europe-west1", 0.0012, 0.05, 365, 0.1),
        ("azure/cool", "westeurope", 0.01, 0.01, 30, 0.1),
        ("azure/archive", "westeurope", 0.0018, 0.02, 180, 15 * 3600),
    ],
)
def test_the_rows_that_plans_lean_on(
    name: str, region: str, storage: float, retrieval: float, days: int, first_byte: float
) -> None:
    row = BOOK.storage_price(name, region)
    assert (row.storage, row.retrieval, row.minimum_days, row.first_byte_seconds) == (
        storage, retrieval, days, first_byte,
    )  # fmt: skip


def test_what_bytes_cross_decides_their_price() -> None:
    use1, usw2 = Region("aws", "us-east-1"), Region("aws", "us-west-2")
    euw1, euw4 = Region("aws", "eu-west-1"), Region("gcp", "europe-west4")
    assert BOOK.transfer_price(use1, use1).per_gb == 0
    assert BOOK.boundary(use1, usw2) == "same-continent" and BOOK.transfer_price(use1, usw2).per_gb == 0.02
    assert BOOK.boundary(use1, euw1) == "other-continent"
    assert BOOK.boundary(use1, euw4) == "internet" and BOOK.transfer_price(use1, euw4).per_gb == 0.09
    assert BOOK.transfer_price(euw4, use1).per_gb == 0.12
    assert BOOK.boundary(Region("aws", "mars-1"), Region("aws", "mars-2")) == "other-continent"
    with pytest.raises(NotFoundError, match="onprem/basement"):
        BOOK.transfer_price(Region("onprem", "basement"), use1)


def test_unknown_rows_are_named_with_what_there_is() -> None:
    with pytest.raises(NotFoundError) as caught:
        BOOK.storage_price("aws/s3-standard", "eu-central-9")
    assert "eu-west-1" in caught.value.hint
    with pytest.raises(NotFoundError, match="no ibm/cold"):
        BOOK.storage_price("ibm/cold", "x")


def test_own_rows_replace_those_of_the_package() -> None:
    row = {"name": "aws/s3-standard", "region": "us-east-1", "storage": 0.019, "source": "our contract"}
    line = {"cloud": "aws", "to": "internet", "per_gb": 0.01, "source": "our contract"}
    mine = parse_book(own(storage=[row], transfer=[line], as_of="2026-01-31"), "prices.json")
    both = with_own_prices(BOOK, mine)
    assert both.storage_price("aws/s3-standard", "us-east-1").storage == 0.019
    assert both.transfer_price(Region("aws", "us-east-1"), Region("gcp", "europe-west4")).per_gb == 0.01
    assert both.storage_price("gcp/archive", "us-central1").storage == 0.0012
    assert both.as_of == "2026-01-31" and len(both.storage) == len(BOOK.storage)
    with pytest.raises(UsageError, match="EUR"):
        with_own_prices(BOOK, msgspec.structs.replace(mine, currency="EUR"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no price book"),
        (b"\xff\xfe", "no price book"),
        (b"[" * 100_000, "no price book"),
        (own(version=2), "version"),
        (own(extra=1), "extra"),
        (own(currency="dollars"), "currency"),
        (own(as_of="lately"), "lately"),
        (own(storage=[{"name": "a", "region": "b", "storage": -1, "source": ""}]), r"storage\[0\]\.storage"),
        (own(storage=[{"name": "a", "region": "b", "storage": 1}]), "source"),
        (own(storage=[{"name": "a", "region": "b", "storage": 1, "source": ""}] * 2), "two rows for a in b"),
        (own(transfer=[{"cloud": "a", "to": "internet", "per_gb": 1, "source": ""}] * 2), "two rows"),
        (own(gb_bytes=0), "gb_bytes"),
        (own(storage=[{"name": "a", "region": "b", "storage": 1e300, "source": ""}]), "storage"),
    ],
)
def test_a_file_that_is_no_price_book_is_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_book(data, "prices.json")
    assert caught.value.message.startswith("prices.json")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_book_or_a_usage_error(data: bytes) -> None:
    with suppress(UsageError):
        assert parse_book(data, "prices.json").version == 1
