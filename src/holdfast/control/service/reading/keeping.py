"""What stores said, kept for a moment: no page waits for a store that does not answer, and no two ask the same twice.

A value that is older than it should be is asked for anew in a thread of its own; whoever asks waits a little for it,
and else gets the old one, with its age.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.shapes import Freshness, Problem, clipped, problem_of, time_of
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["ACTED_ON", "Told", "forget", "kept"]

ACTED_ON: Final = ("run", "review", "drill", "incident")
"""What people and programs change through the server: beginnings of names of questions."""

_T = TypeVar("_T")
_VALUES: Final = 512
_AT_ONCE: Final = 8
_STALE_TIMES: Final = 5.0
_AGAIN_S: Final = 1.0  # what could not be answered is asked again sooner
_WAITING: Final = Problem(
    code="waiting", message="the stores have not answered yet", hint="this page asks again when it is loaded"
)


class Told(NamedTuple, Generic[_T]):
    """`problem`: why it could not be asked anew; `value` is then the last one, or what was given instead."""

    value: _T
    problem: Problem | None
    freshness: Freshness


class _Value:
    """What one question was answered with. `done` is set once it was."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.busy = False
        self.known = False
        self.value: object = None
        self.problem: Problem | None = None
        self.at_ns = 0
        self.tried = float("-inf")


class _Answers:
    """Of one service."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_name: dict[str, _Value] = {}
        self.room = threading.BoundedSemaphore(_AT_ONCE)


_services: weakref.WeakKeyDictionary[Service, _Answers] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def kept(
    service: Service,
    name: str,
    read: Callable[[], _T],
    instead: _T,
    *,
    seconds: float,
    wait: float = 4.0,
    behind: bool = False,
) -> Told[_T]:
    """What `read` gave at most `seconds` ago; it is waited for at most `wait` seconds. `name`: of the question.
    `behind`: a newer one is not waited for, where there is one.

    Only what `read` raises of `holdfast.errors` is a problem of the answer; anything else is a defect, and is raised by
    the thread that met it.
    """
    answers = _answers(service)
    with answers.lock:
        one = answers.by_name.get(name)
        if one is None:
            _make_room(answers)
            one = answers.by_name[name] = _Value()
        patience = seconds if one.problem is None else min(seconds, _AGAIN_S)
        due = service.clock.monotonic() - one.tried > patience
        if due and not one.busy:
            one.busy = True
            one.done.clear()
            threading.Thread(
                target=_ask, args=(answers, one, read, service), name="holdfast-reading", daemon=True
            ).start()
    if due and not (behind and one.known):
        one.done.wait(wait)
    return _told(service, name, one, instead, seconds)


def forget(service: Service, *prefixes: str) -> None:
    """Whoever asks next asks anew: something was just changed. Names that begin so."""
    answers = _answers(service)
    with answers.lock:
        for name in [name for name in answers.by_name if name.startswith(prefixes)]:
            del answers.by_name[name]


def _answers(service: Service) -> _Answers:
    with _lock:
        found = _services.get(service)
        if found is None:
            found = _services[service] = _Answers()
        return found


def _make_room(answers: _Answers) -> None:
    if len(answers.by_name) >= _VALUES:
        oldest = sorted(answers.by_name, key=lambda name: answers.by_name[name].tried)
        for name in oldest[: _VALUES // 4]:
            if not answers.by_name[name].busy:
                del answers.by_name[name]


def _ask(answers: _Answers, one: _Value, read: Callable[[], object], service: Service) -> None:
    try:
        with answers.room:
            begun = service.clock.now_ns()
            try:
                value, problem = read(), None
            except HoldfastError as error:
                value, problem = None, problem_of(error)
            except OSError as error:
                value, problem = None, Problem(code="failed", message=f"a file of this machine: {error.strerror}")
            with answers.lock:
                one.problem = problem
                if problem is None:
                    one.value, one.known, one.at_ns = value, True, begun
    finally:
        with answers.lock:
            one.busy, one.tried = False, service.clock.monotonic()
        one.done.set()


def _told(service: Service, name: str, one: _Value, instead: _T, seconds: float) -> Told[_T]:
    what = name.partition(" ")[0]
    problem = one.problem
    if not one.known:
        nothing = Freshness(what=what, at=None, age_seconds=None, stale=True)
        return Told(instead, _WAITING if problem is None else problem, nothing)
    age = max(0.0, (service.clock.now_ns() - one.at_ns) / NANOSECONDS)
    fresh = Freshness(
        what=what,
        at=time_of(one.at_ns),
        age_seconds=age,
        stale=problem is not None or age > _STALE_TIMES * max(seconds, 2.0),
        problem="" if problem is None else clipped(problem.message),
    )
    return Told(cast(_T, one.value), problem, fresh)  # whoever asks under a name always asks for the same
