"""Stores for faults are stores: without a sentence that says otherwise, nothing is different."""

from __future__ import annotations

import pytest

from holdfast.clock import ManualClock
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.faults import Faults
from holdfast.testing.store_contract import StoreContract


class TestFaultyStoreWithoutSentences(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return Faults().over(MemoryStore())


class TestFaultyStoreWhosePastIsOver(StoreContract):
    """Every object lags for a second that has passed whenever anybody looks."""

    @pytest.fixture
    def store(self) -> Store:
        clock = _Hasty()
        faults = Faults(clock=clock).list_late(seconds=1).list_deleted(seconds=1).read_stale(seconds=1)
        return faults.over(MemoryStore())


class _Hasty(ManualClock):
    def now_ns(self) -> int:
        self.sleep(2)
        return super().now_ns()
