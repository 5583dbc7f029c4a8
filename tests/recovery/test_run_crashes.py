"""A run of twelve steps whose control plane dies at every operation, and inside the steps: the next one goes on.

Effects are counted outside. Here it is each sixth operation, and a few processes that are really killed;
`make drill-orchestrator` takes all of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.recovery.run_worlds import RUN, STEPS, Counting, Died, Signed, begin, go_on, kill_at

from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, ObjectInfo, Store


class Crashing(MemoryStore):
    """Dies at an operation that changes something: `before` it is done, or after it, with the answer lost."""

    countdown: list[int]  # shared by the stores of a run
    before = True

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self.countdown[0] -= 1
        if self.countdown[0] == 0 and self.before:
            raise Died
        written = super().create(key, data)
        if self.countdown[0] == 0:
            raise Died
        return written


def crashing(before: bool) -> list[Crashing]:
    stores = [Crashing(name=name) for name in ("a", "b", "c")]
    countdown = [-1]
    for store in stores:
        store.countdown, store.before = countdown, before
    return stores


def run_with_deaths(folder: Path, before: bool, at: int, broken: str = "") -> tuple[bool, RunState, Counting]:
    """A run whose first control plane dies at its operation `at`; whether it did."""
    stores = crashing(before)
    begin(stores)
    stores[0].countdown[0] = at
    actor = Counting(folder, broken=broken)
    try:
        state = go_on(stores, actor, "plane:1")
        died = False
    except Died:
        died = True
        stores[0].countdown[0] = -1
        state = go_on(stores, actor, "plane:2")
    return died, state, actor


_ALL = bool(os.environ.get("HOLDFAST_ALL_KILLS"))
_STRIDE = 1 if _ALL else 6


def all_points(tmp_path: Path, judge: Callable[[RunState, Counting], None], broken: str = "") -> int:
    points = 0
    for before in (True, False):
        for at in range(1, 400, _STRIDE):
            folder = tmp_path / f"{before}-{at}"
            folder.mkdir()
            died, state, actor = run_with_deaths(folder, before, at, broken)
            judge(state, actor)
            if not died:
                break
            points += 1
    print(f"{points} deaths")
    return points


def judge_passed(state: RunState, actor: Counting) -> None:
    assert state.verdict == "PASSED", state
    assert actor.acts() == Counter({f"{RUN}/{name}": 1 for name in STEPS}), "each effect once"
    assert set(state.done) == set(STEPS)
    place = {name: number for number, name in enumerate(state.done)}
    assert all(place[before] < place[name] for name, after in STEPS.items() for before in after)


def judge_taken_back(state: RunState, actor: Counting) -> None:
    assert state.verdict == "FAILED", state
    effects = {key.removeprefix(f"{RUN}/"): count for key, count in actor.effects().items() if count}
    kept = {"fence-a": 1, "fence-b": 1, "check-a": 1, "check-b": 1}
    assert effects == kept, "what can be taken back was, once; what cannot is in effect once"


def test_death_at_every_operation(tmp_path: Path) -> None:
    assert all_points(tmp_path, judge_passed) * _STRIDE > 100


def test_death_at_every_operation_of_a_run_that_fails(tmp_path: Path) -> None:
    """`start` is broken: what was done before is taken back, by whoever is alive."""
    assert all_points(tmp_path, judge_taken_back, broken="start") * _STRIDE > 100


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_death_inside_a_step(tmp_path: Path, step: str, moment: str) -> None:
    """Before its effect and after it: with `after`, nobody has written down that it is in effect."""

    def dies(seam: str) -> None:
        if seam == f"{moment} {step}":
            raise Died

    stores = [MemoryStore(name=name) for name in ("a", "b", "c")]
    begin(stores)
    with pytest.raises(Died):
        go_on(stores, Counting(tmp_path, dies), "plane:1")
    judge_passed(go_on(stores, actor := Counting(tmp_path), "plane:2"), actor)


@pytest.mark.parametrize("step", ["drain", "compute", "restore-a", "restore-b", "agree"])
@pytest.mark.parametrize("moment", ["before undo", "after undo"])
def test_death_inside_a_rollback(tmp_path: Path, step: str, moment: str) -> None:
    def dies(seam: str) -> None:
        if seam == f"{moment} {step}":
            raise Died

    stores = [MemoryStore(name=name) for name in ("a", "b")]
    begin(stores)
    with pytest.raises(Died):
        go_on(stores, Counting(tmp_path, dies, broken="start"), "plane:1")
    judge_taken_back(go_on(stores, actor := Counting(tmp_path, broken="start"), "plane:2"), actor)


def _in_a_process(folder: Path, seam: str, plane: str) -> None:
    go_on(_stores(folder), Counting(folder, kill_at(seam)), plane)


def _stores(folder: Path) -> list[Store]:
    return [LocalStore(folder / name) for name in ("a", "b", "c")]


SEAMS = [f"{moment} {step}" for step in STEPS for moment in ("before", "after")]


@pytest.mark.parametrize("seam", SEAMS if _ALL else SEAMS[3::7])
def test_a_process_that_is_killed(tmp_path: Path, seam: str) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    begin(_stores(tmp_path))
    spawned = multiprocessing.get_context("forkserver").Process(target=_in_a_process, args=(tmp_path, seam, "plane:1"))
    spawned.start()
    spawned.join(60)
    assert spawned.exitcode == -signal.SIGKILL
    judge_passed(go_on(_stores(tmp_path), actor := Counting(tmp_path), "plane:2"), actor)
    assert Journal(RUN, _stores(tmp_path), Signed(), "x").read().taken == 2
