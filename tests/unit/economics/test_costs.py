"""Amounts: against worked examples of published pages, and laws that they keep."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.economics.amounts import Cost, CostLine, add_costs, cost_of, format_money
from holdfast.economics.book import MONTH_SECONDS, Region, StoragePrice, load_list_prices
from holdfast.economics.copying import Copy, CopyEnd, cost_of_copy
from holdfast.economics.storing import (
    DAY_SECONDS,
    billed_bytes,
    early_deletion_amount,
    lifetime_amount,
    monthly_amount,
    read_amount,
    read_back_amount,
    storage_amount,
    write_amount,
)
from holdfast.errors import UsageError

BOOK = load_list_prices()
GB = BOOK.gb_bytes
US, EU = Region("aws", "us-east-1"), Region("gcp", "europe-west4")
FLEXIBLE = BOOK.storage_price("aws/s3-glacier-flexible", "us-east-1")
ARCHIVE = BOOK.storage_price("gcp/archive", "europe-west4")
bytes_ = st.integers(0, 10**16)
prices = st.sampled_from(BOOK.storage)


def test_worked_examples_of_published_pages() -> None:
    # c3x.dev: 1.2 TB of FSx for Lustre, 125 MB/s/TiB: about 174 dollars a month
    fsx = BOOK.storage_price("aws/fsx-lustre-ssd-125", "us-east-1")
    assert monthly_amount(BOOK, fsx, 1200 * GB) == pytest.approx(174)
    # repost.aws: 15,000,000 objects, 102,400 GB, standard retrieval from Glacier Flexible: 750 + 1,024 dollars
    asked = msgspec.structs.replace(FLEXIBLE, read_requests=0.0)
    assert read_amount(BOOK, asked, 102_400 * GB, 15_000_000) == pytest.approx(1774)
    # dev.to (mateenali66): 10 TB from AWS to the internet: 900 dollars
    ends = CopyEnd(site="use1", region=US), CopyEnd(site="euw4", region=EU)
    copy = Copy(source=ends[0], target=ends[1], objects=0, bytes=10_000 * GB)
    assert cost_of_copy(BOOK, [copy]).total == pytest.approx(900)


def test_small_objects_and_overheads() -> None:
    ia = BOOK.storage_price("aws/s3-standard-ia", "us-east-1")
    assert billed_bytes(ia, 1000, 10) == 10 * 128 * 1024
    assert billed_bytes(ia, 10 * GB, 10) == 10 * GB
    assert billed_bytes(FLEXIBLE, 1000, 10) == 1000 + 10 * 40 * 1024
    assert billed_bytes(FLEXIBLE, 0, 0) == 0


def test_what_goes_early_is_billed_to_the_end_of_its_minimum() -> None:
    half = early_deletion_amount(BOOK, ARCHIVE, GB, 182.5 * DAY_SECONDS)
    assert half == pytest.approx(storage_amount(BOOK, ARCHIVE, GB, 182.5 * DAY_SECONDS))
    assert early_deletion_amount(BOOK, ARCHIVE, GB, 400 * DAY_SECONDS) == 0
    assert lifetime_amount(BOOK, ARCHIVE, GB, 10 * DAY_SECONDS) == pytest.approx(0.0012 * 365 * 24 / 730)


def test_archives_are_read_back_before_they_are_archived() -> None:
    assert read_back_amount(BOOK, FLEXIBLE, GB, 0) == 0
    assert read_back_amount(BOOK, ARCHIVE, GB, 0) == pytest.approx(ARCHIVE.retrieval)


@given(prices, bytes_, bytes_, st.floats(0, 1e9), st.floats(0, 1e9))
def test_laws(price: StoragePrice, one: int, other: int, seconds: float, more: float) -> None:
    alone = storage_amount(BOOK, price, one, seconds)
    assert alone >= 0
    together = storage_amount(BOOK, price, one + other, seconds)
    assert together == pytest.approx(alone + storage_amount(BOOK, price, other, seconds))
    assert storage_amount(BOOK, price, one, seconds + more) >= alone
    # Living to the end and being deleted early cost the same until the minimum is over.
    early = alone + early_deletion_amount(BOOK, price, one, seconds)
    assert early == pytest.approx(lifetime_amount(BOOK, price, one, seconds))
    assert monthly_amount(BOOK, price, one) == storage_amount(BOOK, price, one, MONTH_SECONDS)


def test_a_copy_counts_egress_retrieval_and_requests_and_says_what_is_unconfirmed() -> None:
    source = CopyEnd(site="use1", region=US, price=BOOK.storage_price("aws/s3-standard-ia", "us-east-1"))
    target = CopyEnd(site="euw4", region=EU, price=ARCHIVE)
    cost = cost_of_copy(BOOK, [Copy(source=source, target=target, objects=1000, bytes=100 * GB)])
    lines = {line.what: line.amount for line in cost.lines}
    assert lines == {
        "egress use1 to euw4 (internet)": pytest.approx(9.0),
        "reading aws/s3-standard-ia at use1": pytest.approx(1.0 + 0.001),
        "writing gcp/archive at euw4": pytest.approx(0.05),
    }
    assert (cost.currency, cost.as_of, cost.confirmed) == ("USD", BOOK.as_of, False)
    assert str(cost) == f"USD 10.05 (list prices of {BOOK.as_of}, in part unconfirmed)"
    own = msgspec.structs.replace(source, line_per_gb=0.02)
    contract = cost_of_copy(BOOK, [Copy(source=own, target=target, objects=0, bytes=10**9)])
    assert contract.lines[0] == CostLine("egress use1 to euw4 (own price)", pytest.approx(0.02))
    here = Copy(source=own, target=msgspec.structs.replace(target, region=US), objects=0, bytes=GB)
    assert cost_of_copy(BOOK, [here]).lines[0].what.startswith("reading")  # nothing leaves the region
    with pytest.raises(UsageError, match="cannot be copied"):
        cost_of_copy(BOOK, [msgspec.structs.replace(here, bytes=-1)])


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**15)), max_size=5))
def test_before_and_after_are_one_function(counted: list[tuple[int, int]]) -> None:
    """What was planned in pieces costs what was done in one: no amount depends on how the counting is cut."""
    source = CopyEnd(site="use1", region=US, price=FLEXIBLE)
    target = CopyEnd(site="euw4", region=EU, price=ARCHIVE)
    pieces = [Copy(source=source, target=target, objects=count, bytes=size) for count, size in counted]
    whole = Copy(
        source=source, target=target, objects=sum(one for one, _ in counted), bytes=sum(one for _, one in counted)
    )
    assert cost_of_copy(BOOK, pieces).total == pytest.approx(cost_of_copy(BOOK, [whole]).total)


def test_sums() -> None:
    one = cost_of(BOOK, [CostLine("a", 1.0), CostLine("b", 2.0, confirmed=False), CostLine("nothing", 0.0)])
    both = add_costs([one, one])
    assert both.total == 6 and [line.what for line in both.lines] == ["a", "b"] and not both.confirmed
    with pytest.raises(UsageError, match="EUR, USD"):
        add_costs([one, Cost(currency="EUR", as_of="2026-01-01")])
    with pytest.raises(UsageError):
        add_costs([])
    assert write_amount(BOOK, BOOK.storage_price("aws/s3-express-one-zone", "us-east-1"), GB, 1000) == pytest.approx(
        0.0032 + 0.00113
    )
    assert [format_money(amount, "USD") for amount in (0, 0.0123, 1234.5)] == ["USD 0.00", "USD 0.0123", "USD 1,234.50"]
