"""A process that opens the vault for one piece of work, and ends: `python -m holdfast.training.executing.worker`.

The question comes on stdin, the answer goes to stdout (`asks.py`). It has a session of its own, so that Ctrl-C of a
terminal does not break off a save, and, unless somebody waits for it, the lowest priority; the kernel derives that of
its reads and writes from it (ioprio: best effort, (nice + 20) / 5).
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

import msgspec

from holdfast.errors import HoldfastError
from holdfast.training.executing.asks import Answer, Ask, Done, Note, Wrong

__all__ = ["main"]

_NICE = 10  # a tenth of what a busy process of the training gets; at 19 a save would starve beside data loaders


class _Telling:
    """Answers, a line each; as the vault's `Progress` it passes notes on. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()

    def say(self, answer: Answer) -> None:
        line = self._encoder.encode(answer) + b"\n"
        with self._lock, suppress(BrokenPipeError):
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        self.say(Note(message))


def main() -> int:
    """Answer one question. The last line is the answer, or what was wrong."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    telling = _Telling()
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)
    if ask.verb == "begin":  # what it does to the folder must not meet the next one; a save may well end without us
        from holdfast.training.executing.commands.family import die_with_parent

        die_with_parent()
    if not ask.urgent and ask.verb in ("save", "copy"):
        with suppress(OSError):
            os.nice(_NICE)
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        telling.say(_answer(ask, telling))
    except HoldfastError as error:
        telling.say(Wrong(error.code, error.message, error.hint))
        return error.exit_code
    except Exception as error:
        if os.environ.get("HOLDFAST_DEBUG") == "1":
            raise
        telling.say(Wrong("unexpected", f"unexpected {type(error).__name__} in a {ask.verb}: a fault in holdfast"))
        return 1
    return 0


def _answer(ask: Ask, telling: _Telling) -> Answer:
    if ask.verb in ("look", "begin"):
        from holdfast.training.executing.beginning import begin

        return begin(ask, telling.say, telling)
    if ask.verb == "save":
        from holdfast.training.executing.saving import save

        return save(ask, telling)
    if ask.verb == "copy":
        from holdfast.training.executing.saving import copy

        return Done(copy(ask, telling))
    from holdfast.training.executing.vaults import open_to_save, record_in

    assert ask.attempt is not None
    record_in(open_to_save(ask.place, telling).vault, ask.place.asset, ask.attempt)
    return Done()


if __name__ == "__main__":
    sys.exit(main())
