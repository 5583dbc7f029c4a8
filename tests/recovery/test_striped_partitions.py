"""A set of stripes, 2+1, whose three sites are behind lines of their own: one is cut, then two, and they come back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.replication.striping import StripedStore, create_stripes, heal_stripes, verify_stripes
from holdfast.stores.cloud import connect
from holdfast.stores.memory import MemoryStore
from holdfast.stores.retrying import RetryingStore, RetryPolicy
from holdfast.testing.networks import HERE, Conditions, Network
from holdfast.testing.site_servers import GcsAt
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.vault.checking.verifying import verify_decoded
from holdfast.vault.format.records import Root

SITES = ("euw4", "euw3", "eun1")
LOSSY = Conditions(delay_s=0.01, loss=0.02, bits_per_s=10e6)
HOME = 0


class Set:
    """The sites, the first of them the home. What a server holds is seen past its line."""

    def __init__(self, network: Network, servers: list[GcsAt]) -> None:
        self.network, self.servers = network, servers
        self._random = default_rng(5)

    def create(self, spares: int | None = None) -> TrialVault:
        create_stripes(self.stores(), 2, home=HOME, spares=spares)
        self.trial = new_trial_vault(self.open(), pack_bytes=256 << 10)
        return self.trial

    def stores(self) -> list[RetryingStore]:
        times = {"connect_timeout": "2s", "timeout": "3s"}
        policy = RetryPolicy(3, 0.1, total_seconds_max=5)  # a lost packet is no cut
        return [RetryingStore(connect("gs", one.bucket, "", {**one.options, **times}), policy) for one in self.servers]

    def open(self) -> StripedStore:
        """As a process sees it that has just begun: it asks every site."""
        return StripedStore(self.stores(), retry_seconds=60)

    def save(self, step: int, store: StripedStore | None = None) -> Root:
        state = {"w": self._random.normal(size=50_000).astype("float32")}
        report = self.trial.open(store=store or self.open()).save("llama", state, step=step)
        assert report.validated
        return report.root

    def reads(self, root: Root, store: StripedStore | None = None) -> bool:
        """Whether the snapshot is what `latest` means and reads back, over the lines that there are."""
        vault = self.trial.open(store=store or self.open())
        return vault.find("llama").id == root.id and verify_decoded(vault.handle, root).bytes >= 200_000

    def cut(self, *positions: int) -> None:
        for position in positions:
            self.network.isolate(SITES[position])

    def held(self) -> list[MemoryStore]:
        """What the sites have."""
        copies = []
        for server in self.servers:
            copies.append(MemoryStore(name=f"held-{server.bucket}"))
            for name, content in server._server.bucket.contents().items():
                copies[-1].put(name, content)
        return copies

    def is_exact(self, roots: list[Root]) -> bool:
        """Whether all sites hold the same whole objects, and of each pack each its own shard, no more; and whatever
        two of them there are give every snapshot.
        """
        whole, packs = set(), set()
        for position, store in enumerate(self.held()):
            keys = [info.key for info in store.list("") if not info.key.startswith("stripes/")]
            shards = {key for key in keys if key.startswith("shards/")}
            assert shards and all(key.endswith(f"-{position}") for key in shards)
            whole.add(tuple((key, store.get(key)) for key in keys if key not in shards))
            packs.add(tuple(sorted(key.rpartition("-")[0] for key in shards)))
        assert verify_stripes(StripedStore(self.held())).is_clean
        for lost in range(3):
            left = self.held()
            left[lost] = MemoryStore(name="lost")
            vault = self.trial.open(store=StripedStore(left))
            assert vault.check(read_data=True).damages == []
            for root in roots:
                verify_decoded(vault.handle, root)
        return len(whole) == len(packs) == 1


@pytest.fixture
def stripes(tmp_path: Path) -> Iterator[Set]:
    with ExitStack() as held:
        held.enter_context(own_memory(tmp_path / "own"))
        network = held.enter_context(Network(*SITES, seed=7))
        servers = [held.enter_context(GcsAt(network[site])) for site in SITES]
        held.enter_context(servers[0].in_environment())
        for site in SITES:
            network.link(HERE, site).set(**LOSSY)
        yield Set(network, servers)


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_DRILL_NETWORKS" not in os.environ, reason="make drill-networks: poor lines take a minute")
def test_one_cut_leaves_reading_two_leave_nothing_and_no_save_is_acknowledged(stripes: Set) -> None:
    stripes.create()
    first = stripes.save(1)
    for cut in ((2,), (2, 1), (HOME,)):
        store = stripes.open()
        assert stripes.reads(first, store)
        stripes.cut(*cut)
        with pytest.raises(HoldfastError):
            stripes.save(2, store)
        if len(cut) == 1:
            assert stripes.reads(first, store)
        else:
            with pytest.raises(StoreUnreachableError):
                stripes.reads(first, store)
        stripes.network.heal()
        assert stripes.reads(first), cut  # no pointer moved to what was refused
    assert heal_stripes(stripes.open()).is_complete
    second = stripes.save(3)
    assert stripes.is_exact([first, second])


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_set_without_spares_goes_on_with_one_cut_and_owes_it_what_it_missed(stripes: Set) -> None:
    stripes.create(spares=0)
    first = stripes.save(1)
    stripes.cut(2)
    store = stripes.open()
    second = stripes.save(2, store)
    assert stripes.reads(second, store)
    stripes.cut(1)
    with pytest.raises(HoldfastError):
        stripes.save(3, store)
    with pytest.raises(StoreUnreachableError):
        stripes.reads(second, store)
    stripes.network.heal()
    assert stripes.reads(second)
    done = heal_stripes(stripes.open())
    assert done.is_complete
    assert done.bytes_written > 100_000  # a shard of two is half a pack
    assert heal_stripes(stripes.open()).bytes_written == 0
    assert stripes.is_exact([first, second])
