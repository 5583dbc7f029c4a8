"""What goes wrong beside training: told once a kind, counted always, never raised into the loop."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from holdfast.errors import HoldfastError

__all__ = ["Troubles"]

_log = logging.getLogger("holdfast.training")


class Troubles:
    """Counts of what went wrong, by kind. A kind is the code of a Holdfast error, or the class of another."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self.last = ""

    @property
    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def note(self, kind: str, message: str, hint: str = "") -> None:
        """Count it; the first of its kind is a warning in the log `holdfast.training`, the others are at level INFO."""
        with self._lock:
            self._counts[kind] += 1
            first = self._counts[kind] == 1
            self.last = message
        level = logging.WARNING if first else logging.INFO
        _log.log(level, "%s%s", message, f" (hint: {hint})" if hint else "")

    @contextmanager
    def caught(self, doing: str) -> Iterator[None]:
        """Whatever is raised inside is noted, and training goes on; a person's Ctrl-C and an exit are not caught."""
        try:
            yield
        except HoldfastError as error:
            self.note(error.code, f"{doing} failed, training goes on: {error.message}", error.hint)
        except Exception as error:  # noqa: BLE001 - a callback that raises would stop the training it is to protect
            self.note(type(error).__name__, f"{doing} failed, training goes on: {type(error).__name__}: {error}")
