"""The executor: order, attempts, people who pause, skip and stop, reviews that refuse, and who has the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.recovery.run_worlds import RUN, STEPS, Counting, Died, Signed, begin, go_on, passes, twelve_steps

from holdfast.errors import DamageError, FailedError, RefusedError, StoreUnreachableError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState, StepPhase
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.reviewing.review import Finding, Review
from holdfast.recovery.reviewing.warned import warned_facts, warned_of
from holdfast.recovery.running.actors import Facts, Task
from holdfast.recovery.running.executor import Executor
from holdfast.recovery.running.progress import Progress
from holdfast.stores.memory import MemoryStore


@pytest.fixture
def stores() -> list[MemoryStore]:
    found = [MemoryStore(name=name) for name in ("a", "b", "c")]
    begin(found)
    return found


class Doing(Counting):
    """Calls a function in each act, by the step's name."""

    def __init__(self, folder: Path, functions: dict[str, Callable[[], None]]) -> None:
        super().__init__(folder)
        self._functions = functions

    def act(self, task: Task) -> Facts:
        self._functions.get(task.step.id, lambda: None)()
        return super().act(task)


def person(stores: list[MemoryStore], name: str = "bela") -> Journal:
    journal = Journal(RUN, stores, Signed(), name)
    journal.read()
    return journal


def test_steps_that_do_not_wait_for_each_other_run_side_by_side(stores: list[MemoryStore], tmp_path: Path) -> None:
    both = threading.Barrier(2)
    functions = {name: lambda: both.wait(20) for name in ("restore-a", "restore-b")}
    assert go_on(stores, Doing(tmp_path, functions), "plane:1").verdict == "PASSED"


def test_another_attempt_where_it_may_help(stores: list[MemoryStore], tmp_path: Path) -> None:
    tries = []

    def once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StoreUnreachableError("not yet")

    state = go_on(stores, Doing(tmp_path, {"restore-a": once}), "plane:1")
    assert state.verdict == "PASSED" and state.steps["restore-a"].attempts == 2


def test_no_other_attempt_where_it_cannot_help(stores: list[MemoryStore], tmp_path: Path) -> None:
    tries = []

    def never() -> None:
        tries.append(1)
        raise DamageError("it is damaged")

    state = go_on(stores, Doing(tmp_path, {"restore-a": never}), "plane:1")
    assert state.verdict == "FAILED" and len(tries) == 1
    assert state.steps["restore-a"].phase is StepPhase.UNDONE, "also what was begun and did not work is taken back"


def test_a_bug_of_an_actor_is_a_failure_of_its_step(stores: list[MemoryStore], tmp_path: Path) -> None:
    state = go_on(stores, Doing(tmp_path, {"agree": lambda: {}["x"]}), "plane:1")
    assert state.verdict == "FAILED"
    assert any(one.text == "KeyError: 'x'" for one in person(stores).entries)


def test_pausing_and_going_on(stores: list[MemoryStore], tmp_path: Path) -> None:
    paused = threading.Event()

    def pause() -> None:
        person(stores).append(Deed.PAUSED, text="wait")
        paused.set()

    def resume() -> None:
        assert paused.wait(20)
        time.sleep(0.3)
        assert "agree" not in person(stores).state.steps
        person(stores).append(Deed.RESUMED)

    other = threading.Thread(target=resume)
    other.start()
    state = go_on(stores, Doing(tmp_path, {"check-a": pause}), "plane:1")
    other.join()
    assert state.verdict == "PASSED"


def test_stopping_takes_back_what_was_done(stores: list[MemoryStore], tmp_path: Path) -> None:
    actor = Doing(tmp_path, {"agree": lambda: person(stores).append(Deed.STOPPED, text="false alarm") and None})
    state = go_on(stores, actor, "plane:1")
    assert state.verdict == "STOPPED"
    assert "start" not in state.steps
    assert {key for key, count in actor.effects().items() if count} == {
        f"{RUN}/{name}" for name in ("fence-a", "fence-b", "check-a", "check-b")
    }


def test_skipping_with_a_reason(stores: list[MemoryStore], tmp_path: Path) -> None:
    person(stores).append(Deed.SKIPPED, step="tell", text="the webhook is gone")
    actor = Counting(tmp_path)
    state = go_on(stores, actor, "plane:1")
    assert state.verdict == "PASSED" and f"{RUN}/tell" not in actor.acts()
    assert state.steps["tell"].text == "the webhook is gone"


def test_the_review_refuses(stores: list[MemoryStore], tmp_path: Path) -> None:
    def refuses(plan: Plan, state: RunState) -> Review:
        finding = Finding(code="NOT_APPROVED", about="the approval", reason="0 of 1 approvals")
        return Review(plan=plan_hash(plan), at=0, refusals=(finding,))

    journal = Journal(RUN, stores, Signed(), "plane:1")
    executor = Executor(journal, dict.fromkeys(Kind, actor := Counting(tmp_path)), review=refuses)
    with pytest.raises(RefusedError, match="NOT_APPROVED: 0 of 1 approvals"):
        executor.run()
    assert not actor.acts() and not person(stores).state.owner


def test_what_the_review_warns_of_is_in_the_journal(stores: list[MemoryStore], tmp_path: Path) -> None:
    doubts = tuple(
        Finding(code="RTO_MISSED", about=f"run {number}", reason="it takes 9 s: too long") for number in range(22)
    )

    def warns(plan: Plan, state: RunState) -> Review:
        return Review(plan=plan_hash(plan), at=0, refusals=(), warnings=doubts)

    journal = Journal(RUN, stores, Signed(), "plane:1")
    executor = Executor(
        journal, dict.fromkeys(Kind, Counting(tmp_path)), review=warns, poll=0.02, terms={"target": "/there"}
    )
    assert executor.run().verdict == "PASSED"
    entries = person(stores).entries
    [taken] = [one for one in entries if one.deed is Deed.TAKEN]
    assert taken.facts["target"] == "/there"
    told = warned_of(entries)
    assert told[0] == ("RTO_MISSED", "run 0", "it takes 9 s: too long")
    assert len(told) == 21 and told[-1].reason == "the review warned of 2 things more"
    assert warned_facts(()) == {} and warned_of([]) == []


def test_a_plane_from_which_the_run_was_taken(stores: list[MemoryStore], tmp_path: Path) -> None:
    def taken() -> None:
        journal = person(stores, "plane:2")
        journal.append(Deed.TAKEN)

    with pytest.raises(RefusedError, match="plane:2 has the run"):
        go_on(stores, Doing(tmp_path, {"restore-a": taken}), "plane:1")
    state = go_on(stores, actor := Counting(tmp_path), "plane:3")
    assert state.verdict == "PASSED" and set(actor.acts().values()) == {1}


def test_what_cannot_be_taken_back_is_told(stores: list[MemoryStore], tmp_path: Path) -> None:
    class Stuck(Counting):
        def undo(self, task: Task) -> None:
            if task.step.id == "compute":
                raise FailedError("the quota service is down")
            super().undo(task)

    state = go_on(stores, Stuck(tmp_path, broken="start"), "plane:1")
    end = person(stores).entries[-1]
    assert state.verdict == "FAILED" and end.facts["not_taken_back"] == "compute"
    assert "the quota service is down" in state.steps["compute"].text


def test_a_step_that_takes_too_long(tmp_path: Path) -> None:
    stores = [MemoryStore(name="a")]
    plan = twelve_steps(attempts=1)
    steps = [msgspec.structs.replace(one, timeout=0.1) if one.id == "restore-a" else one for one in plan.steps]
    slow = msgspec.json.encode(msgspec.structs.replace(plan, steps=tuple(steps)), order="sorted").decode()
    Journal(RUN, stores, Signed(), "ada").append(Deed.PLANNED, plan=slow)
    late = threading.Event()
    journal = Journal(RUN, stores, Signed(), "plane:1")
    actor = Doing(tmp_path, {"restore-a": lambda: late.wait(30) and None})
    executor = Executor(
        journal, dict.fromkeys(Kind, actor), review=passes, poll=0.02, back_off=0.0, grace=0.1, linger=0.1
    )
    state = executor.run()
    late.set()
    assert state.verdict == "FAILED"
    assert any("took longer than" in one.text for one in journal.entries)


def test_progress_and_checks(stores: list[MemoryStore], tmp_path: Path) -> None:
    told: list[Progress] = []
    journal = Journal(RUN, stores, Signed(), "plane:1")
    actors = dict.fromkeys(Kind, Counting(tmp_path))
    executor = Executor(journal, actors, review=passes, told=told.append, poll=0.02)
    assert executor.check(twelve_steps()) == {}
    assert executor.run().verdict == "PASSED"
    assert [one.done for one in told] == sorted(one.done for one in told) and told[-1].done == len(STEPS)
    with pytest.raises(RefusedError, match="of the kind shell"):
        Executor(person(stores, "plane:2"), {}, review=passes).run()
    without = Executor(journal, {}, review=passes).check(twelve_steps())
    assert without.keys() == set(STEPS)


def test_what_was_begun_is_taken_back_though_it_was_skipped_since(stores: list[MemoryStore], tmp_path: Path) -> None:
    def skip() -> None:
        person(stores).append(Deed.SKIPPED, step="restore-a", text="by hand")

    def fail() -> None:
        raise DamageError("it is damaged")

    actor = Doing(tmp_path, {"check-a": skip, "start": fail})
    assert go_on(stores, actor, "plane:1").verdict == "FAILED"
    assert actor.effects()[f"{RUN}/restore-a"] == 0


def test_nobody_goes_on_with_a_run_of_which_something_was_taken_back(stores: list[MemoryStore], tmp_path: Path) -> None:
    def dies(seam: str) -> None:
        if seam.startswith("after undo"):
            raise Died

    with pytest.raises(Died):
        go_on(stores, Counting(tmp_path, dies, broken="restore-a"), "plane:1")
    person(stores).append(Deed.SKIPPED, step="restore-a", text="by hand")
    actor = Counting(tmp_path)
    assert go_on(stores, actor, "plane:2").verdict == "FAILED"
    assert not [key for key, count in actor.effects().items() if count and "fence" not in key and "check" not in key]
