"""A signal asks for a save at the end of the step, or for a save and the end: the same step on every rank."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from typing import Any, Literal

__all__ = ["Signals"]

_KEY = "holdfast/asked"


class Signals:
    """Listens while training runs. Only the main thread can; elsewhere, and where the program has a handler, nothing is
    changed. `save`, `stop`: the signals.
    """

    def __init__(self, save: Sequence[signal.Signals], stop: Sequence[signal.Signals]) -> None:
        self._save, self._stop = tuple(save), tuple(stop)
        self._before: dict[signal.Signals, Any] = {}
        self._asked: Literal["", "save", "stop"] = ""

    def listen(self) -> None:
        """Take the signals that nobody handles (those would end the process)."""
        if threading.current_thread() is not threading.main_thread():
            return
        for one in (*self._save, *self._stop):
            if signal.getsignal(one) is signal.SIG_DFL:
                self._before[one] = signal.signal(one, self._heard)

    def restore(self) -> None:
        """Leave the signals as they were."""
        if threading.current_thread() is threading.main_thread():
            for one, before in self._before.items():
                signal.signal(one, before)
            self._before.clear()

    def asked(self, step: int, world: int) -> Literal["", "save", "stop"]:
        """What to do at the end of this step; each request is answered once.

        With several ranks, whoever heard the signal at the end of step n writes "n + 1" to the store of the process
        group, and all act at the end of step n + 1. Nobody misses that: the gradients of step n + 1 need every rank,
        so all of them were behind the end of step n before any reaches the next one.
        """
        if world == 1:
            asked, self._asked = self._asked, ""
            return asked
        from torch.distributed.distributed_c10d import _get_default_store

        store = _get_default_store()
        if self._asked:
            asked, self._asked = self._asked, ""
            store.set(f"{_KEY}/{asked}/{step + 1}", "1")
        if store.check([f"{_KEY}/stop/{step}"]):
            return "stop"
        return "save" if store.check([f"{_KEY}/save/{step}"]) else ""

    def _heard(self, number: int, frame: object) -> None:
        one = signal.Signals(number)
        if one in self._stop:
            self._asked = "stop"
        elif self._asked != "stop":
            self._asked = "save"
