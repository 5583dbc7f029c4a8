"""Claims on requests are renewed while the requests are done, so that no other server takes them for abandoned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from holdfast.control.service.kept_rows import Claim
from holdfast.errors import HoldfastError

__all__ = ["Renewing"]

_RENEW_S: Final = 8.0


class Renewing:
    """A thread that says every few seconds which requests are still being done here; there while there are any."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        self._claims: set[Claim] = set()
        self._over: dict[Claim, bool] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims.add(claim)
            self._begin()

    def _begin(self) -> None:
        if self._thread is None and not self._ended.is_set():
            self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
            self._thread.start()

    def discard(self, claim: Claim) -> None:
        with self._lock:
            self._claims.discard(claim)

    def release_later(self, claim: Claim, *, forget: bool) -> None:
        """Its release could not be written (a full disk): it is tried again, or nobody could do that request here."""
        with self._lock:
            self._over[claim] = forget
            self._begin()

    def to_release(self) -> dict[Claim, bool]:
        with self._lock:
            return dict(self._over)

    def released(self, claim: Claim) -> None:
        with self._lock:
            self._over.pop(claim, None)

    def held(self) -> list[Claim]:
        with self._lock:
            return list(self._claims)

    def stop(self) -> None:
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_RENEW_S):
            with self._lock:
                if not self._claims and not self._over:
                    self._thread = None
                    return
            with suppress(HoldfastError):  # a full disk: it is tried again, and the process is seen to be alive
                self._renew()
