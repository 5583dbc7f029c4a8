"""The contract of stores, on a set of stripes. What holds while sites are down: tests/unit/replication."""

from __future__ import annotations

import pytest

from holdfast.replication.striping import create_stripes
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.store_contract import StoreContract


class TestStripesInMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return create_stripes([MemoryStore(name=f"site-{number}") for number in range(3)], 2, home=1)
