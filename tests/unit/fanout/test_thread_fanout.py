"""The port of bulk work: every piece once, errors in their place, and sentences for what cannot be opened."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from holdfast.errors import DamageError, MissingExtraError, StoreUnreachableError, UsageError
from holdfast.fanout import Shares, ThreadFanout, WorkerShare, open_fanout


def test_every_piece_is_done_once() -> None:
    done = list(ThreadFanout(3).each(lambda piece: piece * piece, range(50)))
    assert sorted(outcome.piece for outcome in done) == list(range(50))
    assert all(outcome.result == outcome.piece**2 and outcome.error is None for outcome in done)
    assert {outcome.worker for outcome in done} <= {f"fanout_{number}" for number in range(3)}


def test_an_error_of_ours_belongs_to_its_piece_and_another_ends_it_all() -> None:
    def work(piece: int) -> int:
        if piece == 3:
            raise DamageError("bad")
        return piece

    outcomes = {outcome.piece: outcome for outcome in ThreadFanout(2).each(work, range(6))}
    assert isinstance(outcomes.pop(3).error, DamageError)
    assert len(outcomes) == 5 and all(one.error is None for one in outcomes.values())
    with pytest.raises(ZeroDivisionError):
        list(ThreadFanout(2).each(lambda piece: 1 // piece, range(3)))


def test_no_more_are_begun_than_are_ahead_and_none_after_the_end() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(piece: int) -> int:
        with lock:
            begun.append(piece)
        time.sleep(0.01)
        return piece

    results = ThreadFanout(2).each(work, range(1000))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 8
    before = list(begun)
    time.sleep(0.05)
    assert begun == before


def test_shares_are_added_up_by_worker() -> None:
    shares = Shares()
    for worker, size in (("b", 5), ("a", 1), ("b", 7)):
        shares.add(worker, size, 0.5)
    assert shares.all() == (WorkerShare("a", 1, 1, 0.5), WorkerShare("b", 2, 12, 1.0))


@pytest.mark.parametrize("where", ["", "spark:local", "ray", "ray:nowhere", "ray:host:port", "ray:host:0", "ray://"])
def test_what_is_no_fanout_is_a_mistake_of_the_call(where: str) -> None:
    with pytest.raises(UsageError, match=r"there is no fan-out|is no address of a Ray cluster"):
        open_fanout(where)


def test_a_cluster_that_does_not_answer_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(StoreUnreachableError, match=rf"no Ray cluster answers at 127\.0\.0\.1:{port}") as caught:
        open_fanout(f"ray:127.0.0.1:{port}")
    assert time.monotonic() - began < 5 and "ray status" in caught.value.hint


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"holdfast\[ray\]"):
        open_fanout("ray:auto")
