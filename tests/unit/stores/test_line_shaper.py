"""The token bucket and the shaper: how much goes when, and who goes first. Time moves only when told to."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, ManualClock
from holdfast.stores.lines.bucket import Bucket, Ticket
from holdfast.stores.lines.measured import Estimator
from holdfast.stores.lines.shaper import Shaper
from holdfast.stores.lines.terms import Limit, Schedule
from holdfast.stores.memory import MemoryStore
from holdfast.stores.throttled import ThrottledStore

MONDAY_NOON = 1_795_435_200 * NANOSECONDS  # 2026-11-23T12:00:00Z


class SteppingClock(ManualClock):
    """Sleeping moves it; any thread may."""


@st.composite
def demands(draw: st.DrawFn) -> list[tuple[float, int, int]]:
    """(when, size, priority), in order of time."""
    found = draw(
        st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5000), st.integers(0, 9)), min_size=1, max_size=60)
    )
    return sorted(found)


@given(demands(), st.sampled_from([100.0, 1000.0, 50_000.0]), st.sampled_from([0.0, 0.05, 0.3]))
def test_never_more_than_the_rate_and_everything_in_the_end(
    wanted: list[tuple[float, int, int]], rate: float, share: float
) -> None:
    """In any stretch of time: rate × time + what can be saved + one request that is larger than that."""
    bucket = Bucket(rate, 0.0, 0.05, share)
    went: list[tuple[float, int]] = []
    now, left = 0.0, list(wanted)
    while True:
        while left and left[0][0] <= now:
            _, size, priority = left.pop(0)
            bucket.ask(Ticket(size, priority))
        went += [(now, ticket.size) for ticket in bucket.run(now)]
        wait = bucket.wait()
        if wait is None and not left:
            break
        steps = [left[0][0] - now] if left else []
        if wait is not None:
            steps.append(wait)
        now += max(min(steps), 1e-9)
    assert sum(size for _, size in went) == sum(size for _, size, _ in wanted)
    largest = max(size for _, size, _ in wanted)
    for first, (begin, _) in enumerate(went):
        total = 0
        for end, size in went[first:]:
            total += size
            assert total <= rate * (end - begin) + bucket.depth + largest + 1e-3


@given(demands())
def test_of_what_waits_the_highest_goes_first(wanted: list[tuple[float, int, int]]) -> None:
    bucket = Bucket(1000.0, 0.0, 0.05, 0.0)
    tickets = [Ticket(size, priority) for _, size, priority in wanted]
    for ticket in tickets:
        bucket.ask(ticket)
    order: list[Ticket] = []
    now = 0.0
    while (wait := bucket.wait()) is not None:
        now += wait + 1e-9
        order += bucket.run(now)
    assert order == sorted(tickets, key=lambda ticket: -ticket.priority)  # stable: equals in order of asking


def test_a_small_share_keeps_the_low_ones_alive() -> None:
    """High ones ask for all there is, for a minute; the lower two get their twentieth, and none of them starves."""
    bucket = Bucket(10_000.0, 0.0, 0.05, 0.05)
    moved = {9: 0, 3: 0, 0: 0}
    for priority in moved:
        bucket.ask(Ticket(100, priority))
    now = 0.0
    while now < 60:
        now += bucket.wait() or 1e-6
        for ticket in bucket.run(now):
            moved[ticket.priority] += ticket.size
            bucket.ask(Ticket(100, ticket.priority))
    assert sum(moved.values()) == pytest.approx(600_000, rel=0.01)
    assert (moved[3] + moved[0]) / sum(moved.values()) == pytest.approx(0.05, rel=0.05)
    assert moved[0] == pytest.approx(moved[3], rel=0.05)


def test_without_anybody_above_the_low_ones_have_all() -> None:
    bucket = Bucket(10_000.0, 0.0, 0.05, 0.05)
    bucket.ask(Ticket(10_000, 0))
    bucket.run(0.0)
    assert bucket.wait() is None  # larger than what can be saved: it runs into debt at once
    bucket.ask(Ticket(500, 0))
    assert bucket.run(0.99) == []
    assert len(bucket.run(1.1)) == 1


def test_what_was_withdrawn_does_not_stand_in_the_way() -> None:
    bucket = Bucket(1000.0, 0.0, 0.05, 0.05)
    first, second = Ticket(50, 9), Ticket(50, 9)
    assert bucket.take_at_once(50, 0.0)
    for ticket in (first, second):
        bucket.ask(ticket)
    bucket.withdraw(first)
    assert bucket.run(0.05) == [second]
    bucket.withdraw(second)  # granted, not used: given back
    assert bucket.take_at_once(50, 0.05)
    assert not bucket.take_at_once(50, 0.05)


def test_without_a_rate_everything_goes_at_once() -> None:
    bucket = Bucket(None, 0.0, 0.05, 0.05)
    assert bucket.take_at_once(1 << 40, 0.0)
    bucket.ask(Ticket(1 << 40, 0))
    assert bucket.wait() == 0.0
    assert len(bucket.run(0.0)) == 1


@pytest.mark.parametrize("rate", [1 << 20, 10 << 20, 100 << 20])
def test_the_rate_is_kept_over_five_seconds(rate: int) -> None:
    clock = ManualClock()
    shaper = Shaper(Schedule(float(rate)), clock)
    size = 5 * rate
    shaper.acquire(size)
    assert clock.monotonic() == pytest.approx(5.0, rel=0.011)  # 50 ms had been saved
    assert shaper.snapshot().moved == ((5, size),)


def test_the_rate_changes_at_the_minute() -> None:
    clock = ManualClock(MONDAY_NOON - 2 * NANOSECONDS)
    limits = (Limit(12 * 60, 12 * 60 + 1, 1e6, ("mon",)),)
    shaper = Shaper(Schedule(10e6, limits=limits), clock)
    moved: list[tuple[float, int]] = []
    while clock.monotonic() < 66:
        shaper.acquire(100_000)
        moved.append((clock.monotonic(), 100_000))

    def between(begin: float, end: float) -> float:
        return sum(size for when, size in moved if begin < when <= end) / (end - begin)

    assert between(0.1, 2.0) == pytest.approx(10e6, rel=0.02)
    assert between(2.1, 62.0) == pytest.approx(1e6, rel=0.02)
    assert between(62.2, 66.0) == pytest.approx(10e6, rel=0.02)


def test_a_clock_that_was_set_is_noticed() -> None:
    clock = ManualClock(MONDAY_NOON - 3600 * NANOSECONDS)
    shaper = Shaper(Schedule(None, limits=(Limit(720, 780, 5.0),)), clock)
    assert shaper.rate is None
    clock._now_ns += 3600 * NANOSECONDS
    clock._monotonic += 1.1
    assert shaper.rate == 5.0


def test_closed_until_the_minute_is_over() -> None:
    clock = ManualClock(MONDAY_NOON + 10 * NANOSECONDS)
    shaper = Shaper(Schedule(1e6, limits=(Limit(720, 721, 0.0),)), clock)
    assert not shaper.take_at_once(1, 9)
    shaper.acquire(1000)
    assert 50 <= clock.monotonic() < 51.1


def test_a_higher_priority_overtakes_threads_that_wait() -> None:
    """Eight threads saturate 2 MB/s; what is urgent takes as long as it would alone."""
    shaper = Shaper(Schedule(2e6), SYSTEM_CLOCK)
    ended = threading.Event()

    def saturate() -> None:
        while not ended.is_set():
            shaper.acquire(100_000, 1)

    threads = [threading.Thread(target=saturate) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    begun = time.monotonic()
    shaper.acquire(200_000, 9)
    took = time.monotonic() - begun
    ended.set()
    for thread in threads:
        thread.join()
    assert took < 0.5  # 0.105 s and its share


def test_folders_share_a_shaper_in_order_of_priority() -> None:
    clock = ManualClock()
    up, down = Shaper(Schedule(1e6), clock), Shaper(Schedule(2e6), clock)
    store = ThrottledStore(MemoryStore(clock), clock=clock, shapers=(up, down), priority=7)
    store.put("a", bytes(1_000_000))
    assert clock.monotonic() == pytest.approx(0.95)
    assert len(store.get("a")) == 1_000_000
    assert clock.monotonic() == pytest.approx(0.95 + 0.45)
    assert up.snapshot().moved == down.snapshot().moved == ((7, 1_000_000),)


def test_an_interrupted_wait_leaves_the_line() -> None:
    class Interrupting(ManualClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    shaper = Shaper(Schedule(1000.0), Interrupting())
    with pytest.raises(KeyboardInterrupt):
        shaper.acquire(10_000)
    assert shaper.snapshot().waiting == ()


def test_what_is_measured_is_busy_time_only() -> None:
    estimator = Estimator()
    now = 0.0
    assert estimator.measured(now) is None
    for _ in range(5):  # bursts of 2 s at 1 MB/s, a minute apart
        for _ in range(200):
            now += 0.01
            estimator.add(10_000, now)
        now += 60
    found = estimator.measured(now)
    assert found is not None
    assert found.bytes_per_s == pytest.approx(1e6, rel=0.01)
    assert found.best_bytes_per_s == pytest.approx(1e6, rel=0.01)
    assert found.busy_s == pytest.approx(10, abs=0.5)
    assert found.age_s == pytest.approx(60)


def test_what_was_measured_long_ago_counts_less() -> None:
    estimator = Estimator()
    now = 0.0
    for rate, seconds in ((1e6, 100), (3e6, 60)):
        for _ in range(int(seconds / 0.01)):
            now += 0.01
            estimator.add(int(rate * 0.01), now)
    found = estimator.measured(now)
    assert found is not None
    assert 2.8e6 < found.bytes_per_s < 3e6
    assert found.best_bytes_per_s == pytest.approx(3e6, rel=0.01)
