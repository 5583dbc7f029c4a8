"""Signals that ask for a save at the end of a step."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from holdfast.training.callbacks.signals import Signals


@pytest.fixture
def signals():
    before = {one: signal.getsignal(one) for one in (signal.SIGUSR1, signal.SIGUSR2)}
    for one in before:
        signal.signal(one, signal.SIG_DFL)
    yield Signals([signal.SIGUSR1], [signal.SIGUSR2])
    for one, handler in before.items():
        signal.signal(one, handler)


def test_each_request_is_answered_once(signals: Signals) -> None:
    signals.listen()
    assert signals.asked(1, 1) == ""
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signals.asked(2, 1) == "save"
    assert signals.asked(3, 1) == ""


def test_a_stop_is_not_weakened_to_a_save(signals: Signals) -> None:
    signals.listen()
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signals.asked(1, 1) == "stop"


def test_what_the_program_handles_itself_is_left_to_it(signals: Signals) -> None:
    heard = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    signals.listen()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]
    assert signals.asked(1, 1) == ""


def test_handlers_are_as_before_at_the_end(signals: Signals) -> None:
    signals.listen()
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    signals.restore()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_outside_of_the_main_thread_nothing_is_changed(signals: Signals) -> None:
    other = threading.Thread(target=signals.listen)
    other.start()
    other.join()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
