"""When a complete checkpoint has come to rest.

A marker proves that the framework had finished; only quiet proves that nobody else (another rank, a copy, an upload) is
still writing. Both together make a checkpoint ready:

- it is complete, and its fingerprint (names, sizes, times of all files) was the same in two looks that lie at least
  `settle_seconds` apart by the monotonic clock; or
- at the first look: its framework's marker, written last, is there, no file is newer than the marker, and nothing at
  all (content, names, attributes, the marker) has changed for `settle_seconds` by the wall clock.

The second way lets a restarted watch, or `--once`, accept what has long been finished without waiting. It trusts the
wall clock against the file system's; a time in the future never passes, and takes the first way.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.clock import NANOSECONDS, Clock
from holdfast.errors import UsageError

__all__ = ["Readiness", "Settler"]


class Readiness(NamedTuple):
    """Whether a checkpoint may be protected now; if not, `reason` says what it waits for."""

    candidate: Candidate
    ready: bool
    reason: str


class Settler:
    """Compares each look at the candidates with the looks before. Not for several threads."""

    def __init__(self, clock: Clock, settle_seconds: float) -> None:
        """Raises UsageError for a negative time."""
        if settle_seconds < 0:
            raise UsageError(f"a settling time of {settle_seconds} s is negative")
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._quiet_since: dict[Path, tuple[str, float]] = {}

    def look(self, candidates: Iterable[Candidate]) -> list[Readiness]:
        """Judge one look, in the order given. Those looked at before and absent now are forgotten."""
        before, self._quiet_since = self._quiet_since, {}
        return [self._judge(candidate, before.get(candidate.path)) for candidate in candidates]

    def _judge(self, candidate: Candidate, seen: tuple[str, float] | None) -> Readiness:
        if not candidate.complete:
            return Readiness(candidate, False, candidate.reason)
        now = self._clock.monotonic()
        unchanged = seen is not None and seen[0] == candidate.fingerprint
        since = seen[1] if seen is not None and unchanged else now
        self._quiet_since[candidate.path] = (candidate.fingerprint, since)
        if (unchanged and now - since >= self._settle_seconds) or self._long_finished(candidate):
            return Readiness(candidate, True, "")
        if seen is not None and not unchanged:
            return Readiness(candidate, False, "it is still changing")
        return Readiness(candidate, False, f"it has not been quiet for {self._settle_seconds:g} s yet")

    def _long_finished(self, candidate: Candidate) -> bool:
        marker = candidate.marker
        if marker is None or candidate.written_ns > marker.mtime_ns:
            return False
        last_change_ns = max(candidate.changed_ns, marker.mtime_ns)
        return last_change_ns <= self._clock.now_ns() - round(self._settle_seconds * NANOSECONDS)
