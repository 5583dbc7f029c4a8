"""A crash after single operations on a store, and answers that are lost: what was there before is whole, and the next
attempt goes through. All points, and each looked at in whole: `make crash-points`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import RefusedError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.crashing import World, every_crash_point
from holdfast.testing.damage import contents_of, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import BrokenInvariant
from holdfast.trust.credentials import Credential
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.vault import open_vault

from .crash_cases import CASES, Worlds, run_case

_POINTS_PER_CASE = 3  # of each kind; 0.1 s each


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("worlds"))


@pytest.mark.parametrize("name", CASES)
def test_crashes_and_lost_answers(name: str, worlds: Worlds, tmp_path: Path) -> None:
    stride = max(1, CASES[name].points_min // _POINTS_PER_CASE)
    points = run_case(name, worlds, tmp_path, thorough=False, stride=stride)
    assert points.crashes >= min(points.operations, 2)
    assert points.lost_answers >= min(points.operations, 2)
    assert points.looked_at >= 1


def test_what_a_crash_tears_apart_is_found(worlds: Worlds, tmp_path: Path) -> None:
    """The search bites: somebody takes a pack away and puts it back, and dies between the two."""

    def repack(world: World) -> None:
        store = world.store()
        pack = next(iter(store.list("packs/"))).key
        data = store.get(pack)
        store.delete(pack)
        store.put(pack, data)

    with pytest.raises(BrokenInvariant, match="a crash after operation 3, delete packs/"):
        every_crash_point(worlds.get("two"), repack, tmp_path)


def test_a_crash_that_is_swallowed_is_found(worlds: Worlds, tmp_path: Path) -> None:
    def careless(world: World) -> None:
        try:
            list(world.store().list(""))
        except BaseException:
            return

    with pytest.raises(BrokenInvariant, match="went unnoticed"):
        every_crash_point(worlds.get("two"), careless, tmp_path)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_crash_anywhere_in_creating(passphrase: str | None) -> None:
    """Either there is no vault, and creating goes through; or it is there, and the key that was kept opens it."""
    store = MemoryStore()
    kept: list[Credential] = []

    def create(on: Store) -> None:
        create_vault(on, suite=Suite.HYBRID_1, label="", passphrase=passphrase, clock=SYSTEM_CLOCK, keep=kept.append)

    for count in range(1, 50):
        try:
            create(FaultyStore(store, Faults().stop_after(count)))
        except Crash:
            if not contents_of(store):
                continue
            assert open_vault(store, kept[-1]).snapshots() == []
            with pytest.raises(RefusedError):
                create(store)
            put_back(store, {})
        else:
            assert count > 2
            return
    raise AssertionError("creating never ends")
