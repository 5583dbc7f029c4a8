"""Pages do not wait for stores that are silent, and say how old what they show is."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from holdfast.clock import ManualClock
from holdfast.control.service.reading.keeping import Told, forget, kept
from holdfast.errors import StoreUnreachableError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service


class _Fake(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


class Store:
    """What is read from. `silent`: until it is set, nobody gets an answer; `gone`: it cannot be reached."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.gone = False
        self.asked = 0

    def read(self) -> str:
        self.asked += 1
        number = self.asked
        assert self.answers.wait(10)
        if self.gone:
            raise StoreUnreachableError("the store cannot be reached")
        return f"answer {number}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(clock: ManualClock) -> Iterator[Service]:
    yield cast("Service", _Fake(clock=clock))
    gc.collect()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.answers.set()


def _ask(service: Service, store: Store, wait: float = 5.0) -> Told[str]:
    return kept(service, "stores 1", store.read, "nothing", seconds=4.0, wait=wait)


def _settled(service: Service, store: Store, words: str) -> Told[str]:
    for _ in range(200):
        told = _ask(service, store, wait=0.01)
        if told.value == words:
            return told
        time.sleep(0.01)
    raise AssertionError(f"it still says {told.value!r}")


def test_an_answer_is_kept_and_asked_anew_when_it_is_old(service: Service, store: Store, clock: ManualClock) -> None:
    first = _ask(service, store)
    assert (first.value, first.problem, first.freshness.age_seconds) == ("answer 1", None, 0)
    clock.sleep(3)
    second = _ask(service, store)
    assert (second.value, second.freshness.age_seconds, second.freshness.stale) == ("answer 1", 3, False)
    clock.sleep(2)
    assert _ask(service, store).value == "answer 2"


def test_nobody_waits_longer_than_they_said_for_a_silent_store(
    service: Service, store: Store, clock: ManualClock
) -> None:
    store.answers.clear()
    begun = time.monotonic()
    told = _ask(service, store, wait=0.05)
    assert time.monotonic() - begun < 2
    assert told.value == "nothing" and told.problem is not None and told.problem.code == "waiting"
    assert told.freshness.at is None and told.freshness.stale
    for _ in range(20):
        clock.sleep(10)
        _ask(service, store, wait=0)
    assert store.asked == 1  # however many ask, one waits
    store.answers.set()
    assert _settled(service, store, "answer 1").freshness.stale  # asked long ago: what it says is as old as that


def test_what_is_gone_leaves_the_last_answer_with_its_age_and_the_reason(
    service: Service, store: Store, clock: ManualClock
) -> None:
    _ask(service, store)
    store.gone = True
    clock.sleep(600)
    told = _ask(service, store)
    assert told.value == "answer 1" and told.problem is not None
    assert told.freshness.stale and told.freshness.age_seconds == 600
    assert "cannot be reached" in told.freshness.problem
    store.gone = False
    clock.sleep(2)  # what could not be answered is asked again sooner
    assert _ask(service, store).problem is None


def test_a_change_is_seen_at_once(service: Service, store: Store) -> None:
    assert _ask(service, store).value == "answer 1"
    forget(service, "other")
    assert _ask(service, store).value == "answer 1"
    forget(service, "stores")
    assert _ask(service, store).value == "answer 2"


def test_a_change_while_a_store_is_silent_is_not_covered_by_the_old_answer(service: Service, store: Store) -> None:
    store.answers.clear()
    _ask(service, store, wait=0)
    forget(service, "stores")
    _ask(service, store, wait=0)
    store.answers.set()
    assert _settled(service, store, "answer 2")
