"""Who goes first on the way to one store, and that nothing is sent twice."""

from __future__ import annotations

import threading
import time

import pytest

from holdfast.replication.copying.lanes import HIGH, LOW, NORMAL, Lane


class Tape:
    """What was sent, in order; each object takes a moment."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.sent: list[str] = []

    def send(self, key: str, priority: int, seconds: float = 0.01) -> int:
        def write() -> int:
            time.sleep(seconds)
            self.sent.append(key)
            return 7

        return self.lane.once(key, priority, write)


def test_what_matters_more_overtakes_what_was_begun_before() -> None:
    tape = Tape(Lane())
    begun = threading.Event()

    def backlog() -> None:
        with tape.lane.copying(LOW):
            for number in range(20):
                tape.send(f"low {number}", LOW)
                begun.set()

    low = threading.Thread(target=backlog)
    low.start()
    begun.wait(10)
    with tape.lane.copying(HIGH):
        for number in range(20):
            tape.send(f"high {number}", HIGH)
        here = list(tape.sent)
    low.join(30)
    high = [position for position, key in enumerate(here) if key.startswith("high")]
    between = [key for key in here[high[0] : high[-1]] if key.startswith("low")]
    assert len(between) <= 1  # what was on its way already
    assert len(tape.sent) == 40


def test_two_copies_that_need_the_same_object_send_it_once() -> None:
    tape = Tape(Lane())
    sizes: list[int] = []

    def copy() -> None:
        with tape.lane.copying(NORMAL):
            gate.wait()
            sizes.append(tape.send("packs/a", NORMAL, 0.1))
            gate.wait()

    gate = threading.Barrier(4)
    threads = [threading.Thread(target=copy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert tape.sent == ["packs/a"]
    assert sizes == [7, 7, 7, 7]


def test_an_object_that_failed_is_tried_by_whoever_waited() -> None:
    lane = Lane()
    attempts: list[str] = []

    def fail() -> int:
        attempts.append("failed")
        time.sleep(0.1)
        raise OSError("gone")

    def succeed() -> int:
        attempts.append("sent")
        return 3

    def first() -> None:
        with pytest.raises(OSError, match="gone"):
            lane.once("k", NORMAL, fail)

    with lane.copying(NORMAL):
        thread = threading.Thread(target=first)
        thread.start()
        while not attempts:
            time.sleep(0.001)
        assert lane.once("k", NORMAL, succeed) == 3
        thread.join()
    assert attempts == ["failed", "sent"]


def test_what_landed_is_forgotten_when_no_copy_goes_on() -> None:
    lane = Lane()
    count = [0]

    def send() -> int:
        count[0] += 1
        return 1

    for _ in range(2):  # between the two it may have been collected
        with lane.copying(NORMAL):
            lane.once("k", NORMAL, send)
    assert count == [2]


def test_a_copy_of_low_priority_is_not_held_up_for_ever() -> None:
    class Fast:
        def monotonic(self) -> float:
            return time.monotonic() * 1000

        def now_ns(self) -> int:
            return 0

        def sleep(self, seconds: float) -> None:
            pass

    lane = Lane(Fast())
    with lane.copying(HIGH), lane.copying(LOW):
        assert lane.once("k", LOW, lambda: 5) == 5


def test_what_landed_before_one_looked_is_sent_again() -> None:
    tape = Tape(Lane())
    with tape.lane.copying(NORMAL):
        tape.send("packs/a", NORMAL)
        looked = tape.lane.mark()
        assert tape.lane.once("packs/a", NORMAL, lambda: 8, since=looked) == 8
        assert tape.lane.once("packs/a", NORMAL, lambda: 9, since=looked) == 8
    assert tape.sent == ["packs/a"]
