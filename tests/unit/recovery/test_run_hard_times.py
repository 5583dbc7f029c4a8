"""An approval that ends too early, two who begin at once, a clock that jumps, a store of the journal that is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.recovery.run_worlds import RUN, STEPS, Counting, Signed, begin, passes, twelve_steps

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK
from holdfast.errors import RefusedError, StoreUnreachableError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.reviewing.approvals import Approval, approval_problem, approved_until
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.running.actors import Facts, Task
from holdfast.recovery.running.executor import Executor, Reviewer
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo, Store

_HOUR = 3600 * NANOSECONDS


class Losable(MemoryStore):
    """Answers nothing any more once it is lost."""

    lost = False

    def get(self, key: str) -> bytes:
        self._require()
        return super().get(key)

    def head(self, key: str) -> ObjectInfo:
        self._require()
        return super().head(key)

    def create(self, key: str, data: Any) -> ObjectInfo:
        self._require()
        return super().create(key, data)

    def _require(self) -> None:
        if self.lost:
            raise StoreUnreachableError(f"{self.url} is gone")


class Jumping:
    """The system's clock, whose wall time is moved by `by` nanoseconds."""

    by = 0

    def now_ns(self) -> int:
        return SYSTEM_CLOCK.now_ns() + self.by

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    def sleep(self, seconds: float) -> None:
        SYSTEM_CLOCK.sleep(seconds)


class Doing(Counting):
    def __init__(self, folder: Path, before: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._before = before

    def act(self, task: Task) -> Facts:
        self._before(task.step.id)
        return super().act(task)


def executor(
    stores: Sequence[Store], actor: Counting, plane: str = "plane:1", *, clock: Jumping | None = None, review: Reviewer
) -> Executor:
    journal = Journal(RUN, stores, Signed(), plane, clock or SYSTEM_CLOCK)
    return Executor(
        journal, dict.fromkeys(Kind, actor), review=review, clock=clock or SYSTEM_CLOCK, poll=0.02, back_off=0.001
    )


def test_an_approval_that_ends_between_the_review_and_the_beginning(tmp_path: Path) -> None:
    """While the stores are probed, and while others write to the journal, time passes."""
    stores = [MemoryStore(name="a")]
    begin(stores)
    clock = Jumping()
    ends = clock.now_ns() + _HOUR

    def slow(plan: Plan, state: RunState) -> Review:
        clock.by += 2 * _HOUR
        return Review(plan=plan_hash(plan), at=ends - 1, refusals=(), approved_until=ends)

    actor = Counting(tmp_path)
    with pytest.raises(RefusedError, match=r"ended at .* before this was written"):
        executor(stores, actor, clock=clock, review=slow).run()
    journal = Journal(RUN, stores, Signed(), "ada")
    assert not journal.read().owner and not actor.acts(), "nobody has the run, and nothing was done"


def test_until_when_enough_approvals_count() -> None:
    plan = twelve_steps()
    name = plan_hash(plan)

    def by(who: str, until: int, *, asked: bool = True) -> Approval:
        return Approval(plan=name, by=who, at=1, until=until, asked=asked)

    given = [by("bela", 50), by("bela", 70), by("cleo", 90), by("ada", 99), by("dora", 10)]
    assert [approved_until(given, plan, wanted, 20) for wanted in (0, 1, 2, 3)] == [0, 90, 70, 0]
    problem = approval_problem(by("bela", 50, asked=False), plan, 20)
    assert problem is not None and problem[0] == "INITIATOR_UNKNOWN" and "ada never signed" in problem[1]


def test_of_two_who_begin_at_once_one_begins(tmp_path: Path) -> None:
    """Both saw that nobody has it, and were reviewed: the second one takes nothing away from the first."""
    stores = [MemoryStore(name=name) for name in ("a", "b", "c")]
    begin(stores)
    actor = Counting(tmp_path)

    def other_begins(plan: Plan, state: RunState) -> Review:
        first = Journal(RUN, stores, Signed(), "plane:2")
        first.read()
        first.append(Deed.TAKEN, text="started")
        return passes(plan, state)

    with pytest.raises(RefusedError, match="plane:2 has taken the run"):
        executor(stores, actor, review=other_begins).run()
    after = Journal(RUN, stores, Signed(), "x")
    assert after.read().owner == "plane:2" and after.state.taken == 1 and not actor.acts()


@pytest.mark.parametrize("jump", [-48 * _HOUR, 48 * _HOUR])
def test_a_wall_clock_that_jumps_during_a_run(tmp_path: Path, jump: int) -> None:
    """Back or forward by days, and back again: each step once, no time limit is passed by it, the chain holds."""
    stores = [MemoryStore(name=name) for name in ("a", "b", "c")]
    begin(stores)
    clock = Jumping()

    def jumps(step: str) -> None:
        if step in ("restore-a", "start"):
            clock.by += jump if step == "restore-a" else -jump

    actor = Doing(tmp_path, jumps)
    state = executor(stores, actor, clock=clock, review=passes).run()
    assert state.verdict == "PASSED" and not state.ignored
    assert actor.acts() == {f"{RUN}/{name}": 1 for name in STEPS}
    read = Journal(RUN, stores, Signed(), "x")
    assert read.read() == state
    times = [entry.at for entry in read.entries]
    assert times != sorted(times), "the clock did jump, and its times are kept as they were"


@pytest.mark.parametrize(("count", "lost"), [(3, 0), (3, 1), (3, 2), (2, 0), (2, 1)])
def test_a_store_of_the_journal_is_lost_while_the_executor_runs(tmp_path: Path, count: int, lost: int) -> None:
    """Of three any may go; of two each is needed: then this control plane stops, and the run waits for the store."""
    stores = [Losable(name=name) for name in "abc"[:count]]
    begin(stores)
    begun = threading.Event()

    def goes(step: str) -> None:
        if step == "agree" and not begun.is_set():
            begun.set()
            stores[lost].lost = True

    actor = Doing(tmp_path, goes)
    first = executor(stores, actor, review=passes)
    if count == 3:
        assert first.run().verdict == "PASSED"
    else:
        with pytest.raises(StoreUnreachableError, match="1 of the 2 stores of the journal"):
            first.run()
        assert "start" not in {key.partition("/")[2] for key in actor.acts()}, "nothing is begun that is not written"
    stores[lost].lost = False
    state = executor(stores, actor, "plane:2", review=passes).run()
    assert state.verdict == "PASSED" and set(actor.acts().values()) == {1}
