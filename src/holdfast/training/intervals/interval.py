"""Asking at each step whether to save now."""

from __future__ import annotations

import threading

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.objectives.failure_rates import FailureRate, given_rate
from holdfast.objectives.intervals import Choice, SaveCost, choose_interval
from holdfast.training.intervals.costs import CostMeter, Mean
from holdfast.training.intervals.told import META_NAME, IntervalNote, note_text

__all__ = ["Interval"]

_STEPS_REMEMBERED = 50


class Interval:
    """When to save, by Daly's optimum within an RPO (`holdfast.objectives.intervals`), re-estimated with every save.

    In the loop: `if interval.due(step): saver.save(…)`; whoever saves calls `saving` and then `saved` (or `failed`).
    With several ranks, ask on one of them and broadcast the answer: clocks differ, and a save needs all. Safe for
    several threads.
    """

    def __init__(
        self,
        *,
        rpo_seconds: float | None = None,
        mtbf_seconds: float | None = None,
        rate: FailureRate | None = None,
        cost: SaveCost | None = None,
        at_least: float = 0.0,
        at_most: float | None = None,
        first_seconds: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`mtbf_seconds` or `rate`: how often training fails. `cost`: of earlier runs, until it is measured here.

        Raises UsageError: both rates, times that cannot be, or nothing that says how often to save.
        """
        if mtbf_seconds is not None and rate is not None:
            raise UsageError("a mean time between failures and a rate are two answers", hint="give one of them")
        self._rate = given_rate(mtbf_seconds) if mtbf_seconds is not None else rate
        self._rpo, self._least, self._most, self._first = rpo_seconds, at_least, at_most, first_seconds
        self._known = cost
        self._meter = CostMeter()
        self._lock = threading.Lock()
        self._clock = clock
        self._began = clock.monotonic()
        self._step: tuple[int, float] | None = None
        self._step_seconds = Mean(_STEPS_REMEMBERED)
        self._under_way = False
        self._slowed = 0.0
        if self._rate is None and rpo_seconds is None and at_most is None:
            raise UsageError(
                "nothing says how often to save",
                hint="give rpo_seconds=, mtbf_seconds=, rate=estimate_rate(…), or at_most=",
            )
        self._choice = self._choose()

    @property
    def choice(self) -> Choice:
        """The interval now, and why."""
        with self._lock:
            return self._choice

    def due(self, step: int, now: float | None = None) -> bool:
        """Whether to save at this step, which was just done. `now`: monotonic seconds, by default of the clock.

        Saves come at ends of steps only: at the one that lies nearest to the interval's end; where an RPO or `at_most`
        decides, at the last one before it.
        """
        now = self._clock.monotonic() if now is None else now
        with self._lock:
            self._note_step(step, now)
            ahead = self._step_seconds.value or 0.0
            if self._choice.decided_by not in ("rpo", "at_most"):
                ahead /= 2
            return now - self._began + ahead > self._choice.seconds or self._choice.seconds == 0

    def saving(self, now: float | None = None) -> None:
        """A save begins: the next interval, too."""
        now = self._clock.monotonic() if now is None else now
        with self._lock:
            self._began = now
            self._step = None  # the step that saves is longer than the others
            self._under_way, self._slowed = True, 0.0

    def saved(self, cost: SaveCost) -> Choice:
        """A save became durable; what it cost. Returns the interval from here on. Raises UsageError.

        Where the cost tells of no slowdown, it is by how much the steps since `saving` took longer than those outside
        of saves.
        """
        with self._lock:
            if cost.slowed_seconds == 0:
                cost = msgspec.structs.replace(cost, slowed_seconds=max(0.0, self._slowed))
            self._under_way = False
            self._meter.add(cost)
            self._choice = self._choose()
            return self._choice

    def failed(self, retry_seconds: float = 0.0, now: float | None = None) -> None:
        """A save failed: the next one is due after `retry_seconds` or the usual time, whichever comes first."""
        now = self._clock.monotonic() if now is None else now
        with self._lock:
            self._under_way = False
            self._began = min(self._began, now + retry_seconds - self._choice.seconds)

    def fails_at(self, rate: FailureRate) -> Choice:
        """From now on count on this rate: after an incident, say. Returns the interval from here on."""
        with self._lock:
            self._rate = rate
            self._choice = self._choose()
            return self._choice

    def metadata(self) -> dict[str, str]:
        """For the snapshot: what `holdfast objective status` explains. One entry, JSON."""
        with self._lock:
            note = IntervalNote(
                cost=self._meter.cost or self._known,
                measured_saves=self._meter.saves,
                rate=self._rate,
                seconds=self._choice.seconds,
                decided_by=self._choice.decided_by,
                rpo_seconds=self._rpo,
                step_seconds=self._step_seconds.value,
            )
        return {META_NAME: note_text(note)}

    def _note_step(self, step: int, now: float) -> None:
        if self._step is not None and step > self._step[0]:
            steps = step - self._step[0]
            each = max(0.0, now - self._step[1]) / steps
            if not self._under_way:
                self._step_seconds.add(each)
            elif self._step_seconds.value is not None:
                self._slowed += (each - self._step_seconds.value) * steps
        self._step = (step, now)

    def _choose(self) -> Choice:
        return choose_interval(
            cost=self._meter.cost or self._known,
            rate=self._rate,
            rpo_seconds=self._rpo,
            at_least=self._least,
            at_most=self._most,
            first_seconds=self._first,
        )
