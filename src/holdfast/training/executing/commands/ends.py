"""How a command ended, in the words of the failure vocabulary of NVIDIA's resiliency extension (NVRx).

======================  =============================================================================================
DONE                    exit code 0
WORKLOAD_EXC            another exit code below 128: an exception of the program's own, as a rule
GPU_ERROR               the same, and the error file of torch names the device (`torch_errors.py`)
SIGNAL_EXC              exit code 128 + n: the program, or a shell in between, says that signal n ended something in it
OS_ABORT, SEGFAULT      SIGABRT; SIGSEGV and SIGBUS
SIGINT, SIGTERM, …      died by that signal
SIGSTOP                 stopped; it has not ended
HANG                    nothing was written for too long, and it was ended for that (LOCK_GIL looks like this)
======================  =============================================================================================
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import NamedTuple

from holdfast.errors import UsageError

__all__ = ["End", "Recoverable", "end_of", "signal_name", "parse_signal", "KINDS"]

KINDS = frozenset(("WORKLOAD_EXC", "GPU_ERROR", "SIGNAL_EXC", "OS_ABORT", "SEGFAULT", "HANG"))
_ANY = "ANY"
_BY_SIGNAL = {signal.SIGABRT: "OS_ABORT", signal.SIGSEGV: "SEGFAULT", signal.SIGBUS: "SEGFAULT"}
_MEANINGS = {
    "OS_ABORT": "it aborted",
    "SEGFAULT": "it touched memory that is not its own",
    "SIGKILL": "it was killed: by somebody, or for want of memory",
    "SIGTERM": "it was asked to end",
    "SIGINT": "it was interrupted",
}


class End(NamedTuple):
    """`code`: what a shell would give, 128 + n for signal n. `words`: for a person."""

    kind: str
    code: int
    signal: int | None
    words: str


def end_of(status: int, *, device_error: str = "", hung: bool = False, out_of_memory: bool = False) -> End:
    """The end that a status of `waitpid` tells. `device_error`: what torch said of a device, empty for nothing."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal_name(number)
        kind = "HANG" if hung else _BY_SIGNAL.get(signal.Signals(number), name) if name != "SIG?" else name
        meaning = "it hung, and was ended" if hung else _MEANINGS.get(kind, "")
        if out_of_memory and number == signal.SIGKILL and not hung:
            meaning = "the kernel killed it for want of memory"
        return End(kind, 128 + number, number, f"{kind}: {name}" + (f", {meaning}" if meaning else ""))
    code = os.waitstatus_to_exitcode(status)
    if hung:
        return End("HANG", code, None, f"HANG: it hung, and ended with exit code {code} when it was asked to")
    if code == 0:
        return End("DONE", 0, None, "exit code 0")
    if device_error:
        return End("GPU_ERROR", code, None, f"GPU_ERROR: exit code {code}; {device_error}")
    if code > 128 and signal_name(code - 128) != "SIG?":
        return End("SIGNAL_EXC", code, None, f"SIGNAL_EXC: exit code {code}, so it tells of {signal_name(code - 128)}")
    return End("WORKLOAD_EXC", code, None, f"WORKLOAD_EXC: exit code {code}")


class Recoverable(NamedTuple):
    """After which ends to start again."""

    codes: Collection[int] = ()
    signals: Collection[int] = ()
    kinds: Collection[str] = ()
    any: bool = False

    @classmethod
    def parse(cls, text: str) -> Recoverable:
        """`1,75,SIGKILL,GPU_ERROR` or `any`. Raises UsageError naming the word that is none of that."""
        words = [word.strip().upper() for word in text.split(",") if word.strip()]
        codes, signals, kinds = set(), set(), set()
        for word in words:
            if word.isascii() and word.isdigit() and 1 <= int(word) <= 255:
                codes.add(int(word))
            elif word in KINDS:
                kinds.add(word)
            elif word != _ANY:
                signals.add(parse_signal(word))
        return cls(frozenset(codes), frozenset(signals), frozenset(kinds), _ANY in words)

    def covers(self, end: End) -> bool:
        """By exit code (128 + n for a signal, too), by signal, by kind; `any`: all but a good end and Ctrl-C."""
        if end.kind == "DONE":
            return False
        if self.any and end.signal != signal.SIGINT:
            return True
        return end.code in self.codes or end.signal in self.signals or end.kind in self.kinds

    @property
    def is_empty(self) -> bool:
        return not (self.any or self.codes or self.signals or self.kinds)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `SIG?` for what has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "SIG?"


def parse_signal(text: str) -> int:
    """`SIGUSR1`, `USR1` or `10`. Raises UsageError."""
    word = text.strip().upper()
    if word.isascii() and word.isdigit() and signal_name(int(word[:4])) != "SIG?":
        return int(word)
    try:
        return int(signal.Signals[word if word.startswith("SIG") else f"SIG{word}"])
    except KeyError as error:
        raise UsageError(
            f"{text[:40]!r} is no exit code from 1 to 255, no signal and no kind of death",
            hint=f"for example 1,75,SIGKILL,GPU_ERROR; kinds: {', '.join(sorted(KINDS))}, or any",
        ) from error
