"""The executor: steps that are ready run side by side; each is in the journal before it begins, and before it counts.

Whoever runs it may die at any moment. The next control plane takes the run, asks of each step that has begun and not
ended whether it is in effect, and goes on; a rollback that was under way goes on, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final, NamedTuple

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import DamageError, HoldfastError, RefusedError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState, StepPhase
from holdfast.recovery.plans import Plan, Step, require_rules
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.reviewing.warned import warned_facts
from holdfast.recovery.running.actors import Actor, Actors, Facts, Task
from holdfast.recovery.running.progress import Progress, is_failing, progress_of, ready_steps
from holdfast.units import format_duration

__all__ = ["Executor", "plan_of", "steady"]

_POLL_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 60.0
_BACK_OFF_SECONDS: Final = 2.0
Reviewer = Callable[[Plan, RunState], Review]
Told = Callable[[Progress], None]


def steady() -> list[str]:
    """A steady state that nobody looks at has no problems to tell."""
    return []


def plan_of(state: RunState) -> Plan:
    """The plan of a run, which keeps the rules of all plans, whoever wrote it there. Raises DamageError."""
    try:
        plan = msgspec.json.decode(state.plan, type=Plan)
        require_rules(plan)
        return plan
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError, HoldfastError) as error:
        raise DamageError(f"the journal holds no plan that this Holdfast understands ({error})") from error


class _Attempt(NamedTuple):
    """`until`: when it is given up (monotonic seconds). `over`: it was."""

    step: Step
    until: float
    over: threading.Event


class Executor:
    """Runs the plan of one journal to its end.

    `review` is asked once, before anything is done; `look` after a rollback: what is not as it should be, in words.
    `terms` are kept with the entry that takes the run: what the next control plane has to know. `told` hears of every
    change. What people say is heard within `poll` seconds; attempts are `back_off` seconds apart, then twice that, and
    so on.

    An attempt is given up `grace` seconds after its time limit: it is told so, and the next one begins when it has
    ended, as two at once would undo each other's care. One that has not ended `linger` seconds later fails the step for
    good, and is not taken back while it is under way. At most `workers` attempts are under way at once.
    """

    def __init__(
        self,
        journal: Journal,
        actors: Actors,
        *,
        review: Reviewer,
        look: Callable[[], list[str]] = steady,
        terms: Facts | None = None,
        told: Told = lambda progress: None,
        clock: Clock = SYSTEM_CLOCK,
        poll: float = _POLL_SECONDS,
        back_off: float = _BACK_OFF_SECONDS,
        grace: float = _GRACE_SECONDS,
        linger: float = _LINGER_SECONDS,
        workers: int = 8,
    ) -> None:
        self._journal = journal
        self._actors = actors
        self._review = review
        self._look = look
        self._terms = terms
        self._told = told
        self._clock = clock
        self._poll = poll
        self._back_off = back_off
        self._grace, self._linger = grace, linger
        self._workers = workers
        self._running: dict[Future[Facts], _Attempt] = {}
        self._stuck: dict[str, Future[Facts]] = {}
        self._not_before: dict[str, float] = {}

    def run(self) -> RunState:
        """Take the run, and go on with it until it has ended. Returns the state with its verdict.

        Raises RefusedError (by the review; or another control plane has taken it). Errors of the journal
        (StoreUnreachableError, ConflictError, DamageError, UntrustedError) end this control plane, and not the run.
        """
        # Whoever has read it a moment ago need not look again: what was written since is met where the run is taken.
        state = self._journal.state if self._journal.entries else self._journal.read()
        plan = plan_of(state)
        self._require_actors(plan)
        if state.verdict:
            return state
        review = None if state.owner else self._require_passed(plan, state)
        until = 0 if review is None else review.approved_until
        if state.owner != self._journal.by:
            # Of two who saw nobody have it one takes it: the other would only do again what the first one does.
            text = "adopted" if state.owner else "started"
            facts = {**(self._terms or {}), **warned_facts(() if review is None else review.warnings)}
            self._journal.append(Deed.TAKEN, text=text, facts=facts, owner=state.owner, before_ns=until)
        try:
            self._settle(plan)
            return self._loop(plan)
        finally:
            for attempt in self._running.values():
                attempt.over.set()
            wait(self._running, timeout=self._grace)

    def check(self, plan: Plan) -> dict[str, str]:
        """Each step that could not be done now → why. No side effects."""
        problems: dict[str, str] = {}
        for step in plan.steps:
            actor = self._actors.get(step.kind)
            try:
                problem = "nobody here does steps of this kind" if actor is None else actor.check(self._task(step))
            except HoldfastError as error:
                problem = error.message
            if problem:
                problems[step.id] = problem
        return problems

    def _require_actors(self, plan: Plan) -> None:
        missing = sorted({step.kind for step in plan.steps} - self._actors.keys())
        if missing:
            raise RefusedError(f"nobody here does steps of the kind {', '.join(missing)}")

    def _require_passed(self, plan: Plan, state: RunState) -> Review:
        """Raises RefusedError."""
        review = self._review(plan, state)
        if not review.passed:
            reasons = "; ".join(f"{one.code}: {one.reason}" for one in review.refusals)
            raise RefusedError(f"the review refuses the plan: {reasons}", hint="plan again, or do what the review says")
        return review

    def _settle(self, plan: Plan) -> None:
        """What a control plane that is gone began, and nobody ended: is it in effect?"""
        for name, one in self._journal.state.steps.items():
            if one.phase is not StepPhase.BEGUN:
                continue
            step = plan.step(name)
            try:
                facts = self._actors[step.kind].done(self._task(step))
            except HoldfastError as error:
                facts, why = None, f"nobody can tell whether it is in effect: {error.message}"
            else:
                why = "it was begun by a control plane that is gone, and is not in effect"
            if facts is not None:
                self._journal.append(Deed.DONE, step=name, attempt=one.attempts, text="found in effect", facts=facts)
            else:
                self._journal.append(Deed.DROPPED, step=name, attempt=one.attempts, text=why)

    def _loop(self, plan: Plan) -> RunState:
        state = self._journal.state
        while True:
            if state.owner != self._journal.by:
                raise RefusedError(f"{state.owner} has the run {self._journal.run} now: this one changes nothing more")
            self._told(progress_of(plan, state))
            failing = is_failing(plan, state)
            if not failing and not state.paused:
                self._begin(plan, state)
            if not self._running:
                if failing:
                    return self._take_back(plan)
                if not ready_steps(plan, state) and not state.paused:
                    self._journal.append(Deed.ENDED, text="PASSED")
                    return self._journal.state
            head = self._journal.head
            self._collect()
            # What was written just now came after all that others had said: that is as good as a look.
            state = self._journal.read() if self._journal.head == head else self._journal.state

    def _begin(self, plan: Plan, state: RunState) -> None:
        under_way = {attempt.step.id for attempt in self._running.values()}
        for step in ready_steps(plan, state):
            if step.id in under_way or self._clock.monotonic() < self._not_before.get(step.id, 0.0):
                continue
            if len(self._running) >= self._workers:
                return
            before = state.steps.get(step.id)
            self._journal.append(Deed.BEGUN, step=step.id, attempt=1 + (before.attempts if before is not None else 0))
            until = self._clock.monotonic() + step.timeout + self._grace
            attempt = _Attempt(step, until, threading.Event())
            task = self._task(step)._replace(over=attempt.over.is_set)
            self._running[_started(self._actors[step.kind], task)] = attempt

    def _collect(self) -> None:
        """Wait for the first step to end, and write down what came of it. What has had its time is told to end."""
        if not self._running:
            self._clock.sleep(self._poll)
            return
        wait(self._running, timeout=self._poll, return_when=FIRST_COMPLETED)
        for future, under_way in list(self._running.items()):
            step, attempt = under_way.step, self._journal.state.steps[under_way.step.id].attempts
            now = self._clock.monotonic()
            if future.done():
                del self._running[future]
                self._ended(under_way, attempt, future)
            elif now > under_way.until + self._linger:
                del self._running[future]
                self._stuck[step.id] = future
                limit = format_duration(step.timeout)
                why = f"it took longer than {limit}, and could not be ended: another attempt would meet this one"
                self._journal.append(Deed.FAILED, step=step.id, attempt=attempt, text=why, facts={"retry": False})
            elif now > under_way.until:
                under_way.over.set()

    def _ended(self, under_way: _Attempt, attempt: int, future: Future[Facts]) -> None:
        step, late = under_way.step, ""
        if under_way.over.is_set():
            late = f"it took longer than {format_duration(step.timeout)}"
        try:
            facts = future.result()
        except HoldfastError as error:
            why, again = error.message, error.retry
        except Exception as error:  # noqa: BLE001 - an actor of somebody else's: the run has to know whatever it is
            why, again = f"{type(error).__name__}: {error}", False
        else:
            # Done too late is done: another attempt would only find it in effect.
            self._journal.append(Deed.DONE, step=step.id, attempt=attempt, text=late, facts=facts)
            return
        if late:
            why, again = f"{late} ({why})", True
        self._not_before[step.id] = self._clock.monotonic() + self._back_off * 2 ** (attempt - 1)
        self._journal.append(Deed.FAILED, step=step.id, attempt=attempt, text=why[:2000], facts={"retry": again})

    def _take_back(self, plan: Plan) -> RunState:
        """Undo what was begun, in reverse, and look at the steady state again."""
        left: list[str] = []
        for step in reversed(plan.steps):
            one = self._journal.state.steps.get(step.id)
            if one is None or one.phase is StepPhase.UNDONE or not one.begun or not step.undo:
                continue  # what was begun, and skipped then, may be in effect
            self._journal.append(Deed.UNDOING, step=step.id)
            problem = self._undo(step)
            if problem is None:
                self._journal.append(Deed.UNDONE, step=step.id)
            else:
                left.append(step.id)
                text = f"it could not be taken back: {problem}"[:2000]
                self._journal.append(Deed.FAILED, step=step.id, attempt=one.attempts, text=text, facts={"retry": False})
            self._told(progress_of(plan, self._journal.state))
        try:
            problems = self._look()
        except HoldfastError as error:
            problems = [f"nobody could look at the steady state: {error.message}"]
        facts: Facts = {"not_taken_back": ", ".join(left)[:2000], "problems": "; ".join(problems)[:2000]}
        verdict = "STOPPED" if self._journal.state.stopped else "FAILED"
        self._journal.append(Deed.ENDED, text=verdict, facts=facts)
        return self._journal.state

    def _undo(self, step: Step) -> str | None:
        """Why it could not be taken back; None: it was."""
        stuck, why = self._stuck.get(step.id), ""
        if stuck is not None and not stuck.done():
            return "an attempt of it is under way still, and may bring it into effect again"
        for attempt in range(step.attempts):
            if attempt:
                self._clock.sleep(self._back_off * 2 ** (attempt - 1))
            try:
                self._actors[step.kind].undo(self._task(step))
            except HoldfastError as error:
                why = error.message
                if not error.retry:
                    return why
            except Exception as error:  # noqa: BLE001 - as above
                return f"{type(error).__name__}: {error}"
            else:
                return None
        return why

    def _task(self, step: Step) -> Task:
        return Task(step, self._journal.run, f"{self._journal.run}/{step.id}", step.timeout)


def _started(actor: Actor, task: Task) -> Future[Facts]:
    """The act in a thread of its own, which keeps no process alive: one that hangs is left behind with it."""
    future: Future[Facts] = Future()

    def act() -> None:
        try:
            future.set_result(actor.act(task))
        except BaseException as error:  # noqa: BLE001 - raised where the future is looked at
            future.set_exception(error)

    threading.Thread(target=act, name=f"recovery {task.step.id}", daemon=True).start()
    return future
