"""Runs one input within bounds of time and memory, and says what came of it.

Time: of the processor (a busy machine is no hang) and, ten times as much, of the clock. Memory: the address space may
grow by what the target allows and not by more, so that a forged length fails although its pages are never touched.
"""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fuzz.model import MEMORY_FACTOR, SECONDS, Finding, Outcome, Target
from holdfast.errors import HoldfastError

__all__ = ["Hang", "judge"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SIGNALS = (signal.SIGPROF, signal.SIGALRM)


class Hang(BaseException):
    """The time is over: not an Exception, so that no handler of errors goes on after it."""


def judge(target: Target, data: bytes, *, seconds: float = SECONDS) -> Outcome | Finding:
    """Run the target on these bytes. Not for several threads, and only in the main one."""
    try:
        with _in_time(seconds), _in_memory(target.memory + MEMORY_FACTOR * len(data)):
            target.run(data)
        return Outcome.ACCEPTED
    except HoldfastError:
        return Outcome.REFUSED
    except Hang:
        return Finding("hang", _told(target, data))
    except Exception as error:
        return Finding(type(error).__name__, _told(target, data))


def _told(target: Target, data: bytes) -> str:
    return f"{target.name}: {len(data)} bytes\n{traceback.format_exc()}"


def _ring(number: int, frame: FrameType | None) -> None:
    raise Hang(f"signal {number}")


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    before = [signal.signal(one, _ring) for one in _SIGNALS]
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(one, handler)


@contextmanager
def _in_memory(allowed: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * _PAGE
    limit = held + allowed
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
