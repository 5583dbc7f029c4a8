"""Eyes of a drill that know nothing of its fault: they ask again and again, and notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.clock import Clock
from holdfast.errors import HoldfastError
from holdfast.stores.local import LocalStore
from holdfast.vault.format.names import CONFIG

__all__ = ["Probe", "Watch", "store_probe"]

Probe = Callable[[], str]
"""Why something seems ill, in words; empty: it is well."""

_INTERVAL_SECONDS: Final = 0.1
_MISSES: Final = 2  # in a row: one alone may be chance


class Watch:
    """Asks a probe every 100 ms from its making until `stop`; two misses in a row are noticed."""

    def __init__(self, probe: Probe, clock: Clock) -> None:
        self._probe, self._clock = probe, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drill watch", daemon=True)
        self.asked = 0
        self.noticed: tuple[int, float, str] | None = None
        """UTC in ns, monotonic seconds, and what was seen."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        misses = 0
        while True:
            try:
                reason = self._probe()
            except (HoldfastError, OSError) as error:
                reason = str(error)
            self.asked += 1
            misses = misses + 1 if reason else 0
            if misses >= _MISSES:
                self.noticed = self._clock.now_ns(), self._clock.monotonic(), reason
                return
            if self._stop.wait(_INTERVAL_SECONDS):
                return


def store_probe(folder: Path) -> Probe:
    """Whether the store in a folder answers, and has a vault."""

    def look() -> str:
        try:
            found = next(iter(LocalStore(folder).list(CONFIG)), None)
        except HoldfastError as error:
            return f"it does not answer: {error.message}"
        return "" if found is not None else "no vault is there"

    return look
