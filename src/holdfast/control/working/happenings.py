"""What a worker tells while it works: one line for each thing, with the ids of work and run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from holdfast.clock import to_rfc3339

__all__ = ["Happened", "Told", "log_line", "QuietLog"]

_REPEATED_S: Final = 60.0


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """`what`: `started`, `stopped` (the worker); `taken` (begins), `done`, `failed`, `again` (another attempt later),
    `cancelled`, `handed-over` (left to others), `took-over` (work of a worker that is gone), `due` (by a schedule);
    `waiting` and `answering` (the database); `note`.
    """

    at_ns: int
    what: str
    worker: str
    work: str = ""
    kind: str = ""
    run: str = ""
    text: str = ""


Told: TypeAlias = Callable[[Happened], None]


def log_line(one: Happened) -> str:
    """`2026-11-22T02:00:00.000Z taken worker=… work=… run=…: text`, without line breaks."""
    names = (("worker", one.worker), ("work", one.work), ("run", one.run))
    said = " ".join(f"{name}={value}" for name, value in names if value)
    text = f": {' '.join(one.text.split())}" if one.text else ""
    return f"{to_rfc3339(one.at_ns)} {one.what} {said}{text}"


class QuietLog(logging.Handler):
    """DBOS's warnings, as notes: each kind of line once a minute."""

    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._told = told
        self._last: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        said = record.getMessage().splitlines()
        text = said[0][:300] if said else ""
        kind = f"{record.filename}:{record.lineno}"
        if now - self._last.get(kind, -_REPEATED_S) < _REPEATED_S:
            return
        self._last[kind] = now
        self._told(text)
