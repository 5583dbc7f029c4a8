"""Running an experiment: steady state, method, steady state, rollbacks; and the journal of it, in the same format."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from holdfast.clock import Clock, to_rfc3339
from holdfast.drills.chaos.calling import call
from holdfast.drills.chaos.model import Activity, Experiment
from holdfast.drills.chaos.tolerating import within
from holdfast.drills.troubles import DrillStopped
from holdfast.errors import HoldfastError
from holdfast.version import VERSION

__all__ = ["Ran", "RanActivity", "run"]

_LOOK_SECONDS: Final = 0.5


class RanActivity(NamedTuple):
    """`status`: `succeeded` or `failed`; `tolerance_met`: of probes of the steady state."""

    section: str
    name: str
    kind: str
    status: str
    seconds: float
    tolerance_met: bool | None
    entry: dict[str, Any]


class Ran(NamedTuple):
    """`status`: `completed`, `failed` (the steady state was not there to begin with), `aborted` or `interrupted`.
    `state`: PASSED, FAILED (it deviated), STOPPED, ERROR (it could not be tried), or NOT_MEASURED (it has no steady
    state that could be looked at). `journal`: the whole of it.
    """

    title: str
    status: str
    state: str
    deviated: bool
    steady_before: bool | None
    steady_after: bool | None
    activities: Sequence[RanActivity]
    journal: dict[str, Any]


def run(
    experiment: Experiment,
    clock: Clock,
    *,
    modules: Sequence[str],
    environment: Mapping[str, str],
    look: Callable[[], None],
    told: Callable[[str], None],
) -> Ran:
    """`look` raises DrillStopped when it is to stop; rollbacks are made all the same, unless it says `never`."""
    return _Run(experiment, clock, modules, environment, look, told).run()


class _Run:
    def __init__(
        self,
        experiment: Experiment,
        clock: Clock,
        modules: Sequence[str],
        environment: Mapping[str, str],
        look: Callable[[], None],
        told: Callable[[str], None],
    ) -> None:
        self._experiment, self._clock, self._modules, self._environment = experiment, clock, modules, environment
        self._look_outside, self._told = look, told
        self._ended: str | None = None
        """Why whatever still runs is to end."""
        self._done: list[RanActivity] = []
        self._background: list[Future[None]] = []

    def run(self) -> Ran:
        began, monotonic = self._clock.now_ns(), self._clock.monotonic()
        before: bool | None = None
        after: bool | None = None
        status = "completed"
        with ThreadPoolExecutor(8, thread_name_prefix="experiment") as pool:
            try:
                before = self._steady("before")
                if before:
                    for one in self._experiment.method:
                        self._do("method", one, pool)
                    for waiting in self._background:
                        waiting.result()
                    after = self._steady("after")
                else:
                    status = "failed"
            except DrillStopped as error:
                self._ended = error.message
                self._told(error.message)
                status = "interrupted"
            except KeyboardInterrupt:
                self._ended = "it was interrupted"
                status = "interrupted"
        deviated = after is False
        self._roll_back(status, deviated)
        tried = status == "completed" and all(
            one.status == "succeeded" for one in self._done if one.section in ("method", "rollbacks")
        )
        state = "STOPPED" if status == "interrupted" else "ERROR" if not tried else "FAILED" if deviated else "PASSED"
        if state == "PASSED" and not self._experiment.steady:
            state, before, after = "NOT_MEASURED", None, None  # nothing was looked at
        return Ran(
            self._experiment.title,
            status,
            state,
            deviated,
            before,
            after,
            list(self._done),
            self._journal(status, deviated, began, self._clock.monotonic() - monotonic),
        )

    def _steady(self, when: str) -> bool:
        """Whether every probe is within its tolerance: all are asked, so that the journal has them."""
        found = [self._probe(f"steady state {when}", one) for one in self._experiment.steady]
        return all(found)

    def _probe(self, section: str, one: Activity) -> bool:
        done = self._act(section, one)
        return done.status == "succeeded" and done.tolerance_met is not False

    def _do(self, section: str, one: Activity, pool: ThreadPoolExecutor) -> None:
        if one.background:
            self._background.append(pool.submit(self._in_background, section, one))
        else:
            self._act(section, one)

    def _in_background(self, section: str, one: Activity) -> None:
        self._act(section, one)

    def _act(self, section: str, one: Activity) -> RanActivity:
        self._pause(one.before)
        self._told(f"{section}: {one.name}")
        began, monotonic = self._clock.now_ns(), self._clock.monotonic()
        entry: dict[str, Any] = {"activity": one.raw, "start": _iso(began)}
        met: bool | None = None
        try:
            found = call(one, self._modules, self._environment, self._look)
            entry |= {"output": found, "status": "succeeded"}
            if one.tolerance is not None:
                met = entry["tolerance_met"] = within(one.tolerance, found, one, self._ask)
        except DrillStopped as error:
            entry |= {"output": None, "status": "failed", "exception": [error.message]}
            entry |= {"end": _iso(self._clock.now_ns()), "duration": round(self._clock.monotonic() - monotonic, 6)}
            took = self._clock.monotonic() - monotonic
            self._done.append(RanActivity(section, one.name, one.kind, "failed", took, None, entry))
            raise
        except HoldfastError as error:
            entry |= {"output": None, "status": "failed", "exception": [error.message]}
            if one.tolerance is not None:
                met = entry["tolerance_met"] = False
        seconds = self._clock.monotonic() - monotonic
        entry |= {"end": _iso(self._clock.now_ns()), "duration": round(seconds, 6)}
        done = RanActivity(section, one.name, one.kind, entry["status"], seconds, met, entry)
        self._done.append(done)
        self._pause(one.after)
        return done

    def _look(self) -> None:
        if self._ended is not None:
            raise DrillStopped(self._ended)
        self._look_outside()

    def _ask(self, probe: Activity) -> Any:
        return call(probe, self._modules, self._environment, self._look)

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        self._look()
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _LOOK_SECONDS))
            self._look()

    def _roll_back(self, status: str, deviated: bool) -> None:
        strategy = self._experiment.rollback_strategy
        wanted = {
            "default": status == "completed",
            "always": True,
            "never": False,
            "deviated": deviated or status == "interrupted",
        }[strategy]
        if status == "interrupted" and strategy == "default":
            wanted = True  # what was broken on purpose is not left so because somebody pulled a lever
        if not wanted:
            return
        self._look_outside, self._ended = _nobody, None
        for one in self._experiment.rollbacks:
            self._act("rollbacks", one)

    def _journal(self, status: str, deviated: bool, began: int, seconds: float) -> dict[str, Any]:
        def section(name: str) -> list[dict[str, Any]]:
            return [one.entry for one in self._done if one.section == name]

        def steady(when: str) -> dict[str, Any]:
            probes = section(f"steady state {when}")
            met = all(one.get("tolerance_met") is not False and one["status"] == "succeeded" for one in probes)
            return {"steady_state_met": met, "probes": probes}

        return {
            "chaoslib-version": f"holdfast {VERSION}",
            "platform": platform.platform(),
            "node": "",
            "experiment": self._experiment.raw,
            "start": _iso(began),
            "status": status,
            "deviated": deviated,
            "steady_states": {"before": steady("before"), "after": steady("after"), "during": []},
            "run": section("method"),
            "rollbacks": section("rollbacks"),
            "end": _iso(self._clock.now_ns()),
            "duration": round(seconds, 6),
        }


def _nobody() -> None:
    return


def _iso(time_ns: int) -> str:
    return to_rfc3339(time_ns).removesuffix("Z")
