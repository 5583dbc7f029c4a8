"""Writers, an older program, retention, a replicator and two collectors, operation by operation: nothing is lost; and
what would lose something is found. The long form is `make soak`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import StoreUnreachableError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.cast import DROPPER, WRITERS
from holdfast.testing.faults import Crash
from holdfast.testing.invariants import BrokenInvariant
from holdfast.testing.machine import Scene
from holdfast.testing.older import OlderStore
from holdfast.testing.single_thread import without_pools
from holdfast.testing.stage import Blueprint, predictable
from holdfast.testing.turns import Actor
from holdfast.testing.workspace import own_memory

from .machine_rules import EVERYBODY, play
from .planted_bugs import PLANTED, SOUND


def test_nothing_is_lost() -> None:
    tally = play(EVERYBODY, scenes=8, steps=25, number=4)
    assert tally.scenes == 8
    assert tally.turns > 2000, tally
    for name in ("left", "right", "older", "replicator", "dropper", "collector", "collector there"):
        assert tally.ended[f"{name}: done"], f"{name} never came to an end: {tally}"


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_lost_without_delays(name: str) -> None:
    assert play(SOUND[name].members, scenes=3, steps=25, number=5).scenes == 3


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    planted = PLANTED[name]
    with planted.context(), pytest.raises(BrokenInvariant, match="What happened"):
        for number in range(planted.plays):
            play(planted.members, scenes=planted.scenes, steps=40, number=planted.seed + number)


def test_a_scene_is_a_function_of_its_seed(tmp_path: Path) -> None:
    def story(number: int) -> tuple[int, list[str]]:
        folder = tmp_path / f"{number}"
        with own_memory(folder / "memory"), predictable(7):
            scene = Scene(blueprint, [*WRITERS, DROPPER], folder, seed=7)
            scene.faults.fail("*", chance=0.02)
            scene.mingle(200, scene.random)
            scene.settle()
        return scene.turns, [line for line in scene.story if " index/" not in line]  # named by a random signature

    with without_pools(), own_memory(tmp_path / "memory"):
        blueprint = Blueprint(tmp_path / "blueprint", encrypted=False)
        assert story(1) == story(2)


def test_an_actor_stops_before_each_operation() -> None:
    store, clock = MemoryStore(), ManualClock()
    actor = Actor("somebody", clock)
    seen = actor.store(store)

    def work() -> bytes:
        seen.create("a", b"x")
        return seen.get("a")

    assert actor.begin(work) is None
    assert actor.pending is not None and actor.pending.verb == "create"
    assert not list(store.list(""))
    assert actor.step() is None
    assert [info.key for info in store.list("")] == ["a"]
    outcome = actor.step()
    assert outcome is not None and outcome.value == b"x"
    assert not actor.is_busy


@pytest.mark.parametrize("after", [False, True])
def test_an_actor_dies_before_or_after_its_operation(after: bool) -> None:
    store = MemoryStore()
    actor = Actor("somebody", ManualClock())
    seen = actor.store(store)
    cleaned: list[str] = []

    def work() -> None:
        try:
            seen.create("a", b"x")
        finally:
            try:
                seen.delete("a")
            except Crash:
                cleaned.append("a dead process cleans nothing up")

    actor.begin(work)
    outcome = actor.die(after=after)
    assert outcome is not None and outcome.crashed
    assert cleaned
    assert [info.key for info in store.list("")] == (["a"] if after else [])


def test_an_actor_tells_how_its_work_ended() -> None:
    actor = Actor("somebody", ManualClock())
    seen = actor.store(MemoryStore())

    def fails() -> None:
        list(seen.list(""))
        raise StoreUnreachableError("gone")

    actor.begin(fails)
    outcome = actor.step()
    assert outcome is not None and isinstance(outcome.error, StoreUnreachableError)

    def breaks() -> None:
        list(seen.list(""))
        raise ZeroDivisionError

    actor.begin(breaks)
    with pytest.raises(ZeroDivisionError):
        actor.step()


def test_what_an_older_program_does_not_know_it_neither_sees_nor_shows() -> None:
    store = MemoryStore()
    store.create("trash/00/0000000001", b"x")
    store.create("packs/1", b"x")
    older = OlderStore(store)
    assert [info.key for info in older.list("")] == ["packs/1"]
    older.create("leases/1", b"x")
    older.create("packs/2", b"x")
    assert [info.key for info in store.list("")] == ["packs/1", "packs/2", "trash/00/0000000001"]
    assert older.get("leases/1") == b"x"
    assert [info.key for info in older.list("leases/")] == ["leases/1"]
    assert older.folders("") == ["leases/", "packs/"]
