"""The contract of stores, on every store and wrapper we ship."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

from holdfast.errors import ObjectNotFoundError, StoreUnreachableError
from holdfast.stores.counting import CountingStore
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.stores.retrying import RetryingStore, RetryPolicy
from holdfast.stores.throttled import ThrottledStore
from holdfast.testing.endpoints import Endpoint
from holdfast.testing.faults import Faults
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.servers import AzuriteServer, SeaweedServer
from holdfast.testing.store_contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(tmp_path / "made" / "by-the-first-write")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


@pytest.mark.servers
class TestS3OnSeaweed(StoreContract):
    @pytest.fixture
    def store(self, seaweed: SeaweedServer) -> Store:
        return _fresh(seaweed)


@pytest.mark.servers
class TestAzureOnAzurite(StoreContract):
    @pytest.fixture
    def store(self, azurite: AzuriteServer) -> Store:
        return _fresh(azurite)


class TestGcsOnItsDouble(StoreContract):
    @pytest.fixture
    def store(self, gcs: GcsDouble) -> Store:
        return _fresh(gcs)


class TestRetriesHideFaults(StoreContract):
    """Every tenth operation fails, every tenth answer is lost: with retries, that is a store like any other."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        faults = Faults(seed=7).fail("*", chance=0.1).fail("*", chance=0.1, before_effect=False)
        policy = RetryPolicy(attempts_max=40, first_delay_seconds=0.0005, delay_seconds_max=0.002)
        return RetryingStore(FaultyStore(LocalStore(tmp_path / "store"), faults), policy, random=random.Random(7))


class TestThrottledStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return ThrottledStore(LocalStore(tmp_path / "store"), bytes_per_second=1 << 31)


class TestCountingStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return CountingStore(LocalStore(tmp_path / "store"))


def _fresh(endpoint: Endpoint) -> Store:
    """An empty part of the server's bucket; obstore reads the credentials when it opens a store, and not again."""
    with endpoint.in_environment():
        return open_store(f"{endpoint.url}/{secrets.token_hex(4)}/vault", options=endpoint.options)


def test_the_faults_of_the_contract_above_do_happen(tmp_path: Path) -> None:
    store = FaultyStore(LocalStore(tmp_path), Faults(seed=7).fail("*", chance=0.1))
    failed = 0
    for number in range(100):
        try:
            store.put(f"{number}", b"x")
        except StoreUnreachableError:
            failed += 1
    assert 2 <= failed <= 25


def test_what_is_read_is_counted_in_bytes_and_requests(tmp_path: Path) -> None:
    inner = LocalStore(tmp_path)
    inner.put("a/b", bytes(1 << 20))
    inner.put("a/c", b"1234")
    store = CountingStore(inner)
    assert (store.bytes, store.requests) == (0, 0)
    store.get("a/c")
    assert (store.bytes, store.requests) == (4, 1)
    store.get_ranges("a/b", [(0, 10), (100, 10), (1 << 19, 10), (5, 0)])  # two near each other are one request
    assert (store.bytes, store.requests) == (4 + 110 + 10, 3)
    out = bytearray(20)
    assert hasattr(store, "read_ranges_into") and not hasattr(CountingStore(MemoryStore()), "read_ranges_into")
    store.read_ranges_into("a/b", [(0, 10), (1 << 19, 10)], memoryview(out))
    assert (store.bytes, store.requests) == (144, 5)
    assert [one.key for one in store.list("a/")] == ["a/b", "a/c"] and store.head("a/c").size == 4
    assert (store.bytes, store.requests) == (144, 7)
    with pytest.raises(ObjectNotFoundError):
        store.get("a/d")
    assert (store.bytes, store.requests) == (144, 8)
