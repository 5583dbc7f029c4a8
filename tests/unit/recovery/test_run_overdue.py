"""Attempts that ignore their time limit: never two of one step at once, nothing taken back under a running act."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest
from tests.recovery.run_worlds import RUN, Counting, Signed, passes, twelve_steps

from holdfast.errors import ConflictError, RefusedError
from holdfast.infra.calling.commands import AgainError, run_command
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.plans import Kind
from holdfast.recovery.running.actors import Facts, Task
from holdfast.recovery.running.executor import Executor
from holdfast.stores.memory import MemoryStore

SLOW = "restore-a"


class Overdue(Counting):
    """The first attempts of one step go on until they are let go, or until they are told that they are given up.

    Each attempt leaves `enter` and `leave` in a file: whether two were at it at once is seen from outside.
    """

    def __init__(self, folder: Path, slow: int = 1, *, heeds: bool = False) -> None:
        super().__init__(folder)
        self.let_go, self.told = threading.Event(), threading.Event()
        self._slow, self._heeds, self._log = slow, heeds, folder / "attempts"

    def act(self, task: Task) -> Facts:
        if task.step.id != SLOW:
            return super().act(task)
        self._note("enter")
        try:
            self._slow -= 1
            if self._slow >= 0 and not self._waits(task):
                raise ConflictError("it was given up")
            return super().act(task)
        finally:
            self._note("leave")

    def _waits(self, task: Task) -> bool:
        """Whether it goes on with it afterwards."""
        while not self.let_go.wait(0.005):
            if task.over():
                self.told.set()
                if self._heeds:
                    return False
        return True

    def _note(self, word: str) -> None:
        with self._lock, self._log.open("a") as file:
            file.write(f"{word}\n")

    def undo(self, task: Task) -> None:
        if task.step.id == SLOW:
            self._note("undo")
        super().undo(task)

    def log(self) -> list[str]:
        return self._log.read_text().split()


def planned(attempts: int) -> list[MemoryStore]:
    plan = twelve_steps(attempts=attempts)
    steps = [msgspec.structs.replace(one, timeout=0.05) if one.id == SLOW else one for one in plan.steps]
    body = msgspec.json.encode(msgspec.structs.replace(plan, steps=tuple(steps)), order="sorted").decode()
    stores = [MemoryStore(name="a")]
    Journal(RUN, stores, Signed(), "ada").append(Deed.PLANNED, plan=body)
    return stores


def executor(stores: list[MemoryStore], actor: Overdue, *, linger: float) -> Executor:
    journal = Journal(RUN, stores, Signed(), "plane:1")
    actors = dict.fromkeys(Kind, actor)
    return Executor(journal, actors, review=passes, poll=0.01, back_off=0.001, grace=0.01, linger=linger)


def phases(stores: list[MemoryStore]) -> list[tuple[Deed, str]]:
    journal = Journal(RUN, stores, Signed(), "x")
    journal.read()
    return [(one.deed, one.text) for one in journal.entries if one.step == SLOW]


def test_the_next_attempt_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    stores, actor = planned(2), Overdue(tmp_path, heeds=True)
    state = executor(stores, actor, linger=60).run()
    assert state.verdict == "PASSED" and actor.log() == ["enter", "leave", "enter", "leave"]
    assert [deed for deed, _ in phases(stores)] == [Deed.BEGUN, Deed.FAILED, Deed.BEGUN, Deed.DONE]
    assert phases(stores)[1][1].startswith("it took longer than ") and "(it was given up)" in phases(stores)[1][1]
    assert actor.acts()[f"{RUN}/{SLOW}"] == 1


def test_one_that_comes_to_its_end_too_late_is_done_and_not_done_again(tmp_path: Path) -> None:
    stores, actor = planned(2), Overdue(tmp_path)
    threading.Thread(target=lambda: actor.told.wait(30) and actor.let_go.set(), daemon=True).start()
    state = executor(stores, actor, linger=60).run()
    assert state.verdict == "PASSED" and actor.log() == ["enter", "leave"]
    assert [deed for deed, _ in phases(stores)] == [Deed.BEGUN, Deed.DONE]
    assert "took longer than" in phases(stores)[1][1]


def test_one_that_never_ends_fails_its_step_and_is_not_taken_back_under_way(tmp_path: Path) -> None:
    stores, actor = planned(3), Overdue(tmp_path, slow=3)
    state = executor(stores, actor, linger=0.05).run()
    journal = Journal(RUN, stores, Signed(), "x")
    journal.read()
    assert state.verdict == "FAILED" and actor.log() == ["enter"], "no second attempt, no undo beside it"
    assert any("could not be ended" in text for _, text in phases(stores))
    assert journal.entries[-1].facts["not_taken_back"] == SLOW
    assert "is under way still" in state.steps[SLOW].text
    assert actor.effects()[f"{RUN}/drain"] == 0, "all others were"
    actor.let_go.set()


def test_one_that_ended_before_it_is_taken_back_is_taken_back(tmp_path: Path) -> None:
    """It is found out too late that it failed for good; by then its act, which had an effect, is over."""
    stores = planned(2)

    class LetGo(Overdue):
        def undo(self, task: Task) -> None:
            if task.step.id == "restore-b":  # the one before it
                self.let_go.set()
                while "leave" not in self.log():
                    time.sleep(0.005)
            super().undo(task)

    actor = LetGo(tmp_path, slow=2)
    state = executor(stores, actor, linger=0.05).run()
    assert state.verdict == "FAILED" and actor.log() == ["enter", "leave", "undo"]
    assert actor.effects()[f"{RUN}/{SLOW}"] == 0


def test_a_plane_that_lost_the_run_tells_what_it_has_under_way(tmp_path: Path) -> None:
    stores = planned(2)

    class Taken(Overdue):
        def _waits(self, task: Task) -> bool:
            other = Journal(RUN, stores, Signed(), "plane:2")
            other.read()
            other.append(Deed.TAKEN)
            return super()._waits(task)

    actor = Taken(tmp_path, heeds=True)
    control = executor(stores, actor, linger=60)
    control._grace = 60.0  # its time is not over: it hears only that the run was taken
    with pytest.raises(RefusedError, match="plane:2 has the run"):
        control.run()
    assert actor.told.is_set() and actor.log() == ["enter", "leave"]
    assert not actor.acts()[f"{RUN}/{SLOW}"]


def test_a_command_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    asked = threading.Event()

    def over() -> bool:
        asked.set()
        return True

    with pytest.raises(AgainError, match="nobody waits for it"):
        run_command(("/bin/sh", "-c", f"sleep 600; touch {mark}"), {}, 300.0, over=over)
    assert asked.is_set() and not mark.exists()
    assert run_command(("/bin/sh", "-c", "echo fine"), {}, 30.0, over=lambda: False).said == "fine"
