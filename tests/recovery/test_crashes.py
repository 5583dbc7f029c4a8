"""A crash after single operations on a store, and answers that are lost: what was there before is whole, and the next
attempt goes through. All points, and each looked at in whole: `make crash-points`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import RefusedError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.crashing import World, every_crash_point
from holdfast.testing.damage import Delete, Flip, contents_of, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.invariants import BrokenInvariant
from holdfast.testing.workspace import own_memory
from holdfast.trust.credentials import Credential
from holdfast.trust.passphrase import Cost
from holdfast.trust.recipients import passphrase_recipient
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.vault import open_vault

from .crash_acts import collect_again, no_worse
from .crash_cases import CASES, Worlds, run_case
from .crash_worlds import SITE

_POINTS_PER_CASE = 3  # of each kind; 0.1 s each


@pytest.fixture(scope="module", autouse=True)
def passphrases_that_are_guessed_soon() -> Iterator[None]:
    """A vault says what its passphrase costs to guess: a fifth of a second each time would be most of such a case."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(passphrase_recipient.__kwdefaults__, "cost", Cost(passes=1, lanes=1, memory_kib=8))
        yield


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("worlds"))


@pytest.mark.parametrize("name", CASES)
def test_crashes_and_lost_answers(name: str, worlds: Worlds, tmp_path: Path) -> None:
    stride = max(1, CASES[name].points_min // (2 if CASES[name].is_dear else _POINTS_PER_CASE))
    points = run_case(name, worlds, tmp_path, thorough=False, stride=stride)
    assert points.crashes >= min(points.operations, 2)
    assert points.lost_answers >= min(points.operations, 2)
    assert points.looked_at >= 1


def test_the_second_collection_does_all_that_a_collection_can(worlds: Worlds, tmp_path: Path) -> None:
    """So that crashing it means something: rewriting, what rewriting made superfluous, the index, deleting."""
    world = worlds.get("sparse")
    with own_memory(tmp_path / "memory") as memory:
        report = collect_again(world.copied(memory))
    assert report.rewritten.objects and report.condemned.objects and report.deleted.objects
    assert report.index_written and report.index_removed and not report.waiting


def test_a_repair_that_touches_what_is_sound_is_found(worlds: Worlds, tmp_path: Path) -> None:
    """The look at a vault that is damaged anyway bites: an object that was sound is gone, or is something new."""
    begin = worlds.get("broken")
    begun, whole = contents_of(begin.vault_store), contents_of(begin.sites[SITE])
    sound = next(key for key in sorted(begun) if key.startswith("packs/") and whole[key] == begun[key])
    hurt = next(key for key in sorted(begun) if key.startswith("packs/") and whole[key] != begun[key])
    damages = (Delete(sound), "was sound"), (Flip(sound, 5), "was sound"), (Flip(hurt, 5), "neither site")
    for number, (damage, said) in enumerate(damages):
        world = begin.copied(tmp_path / str(number))
        damage.apply(world.vault_store)
        with pytest.raises(BrokenInvariant, match=said):
            no_worse(begun, world, tmp_path / "out")


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
