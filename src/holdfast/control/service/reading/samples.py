"""How assets stood before: a sample of all of them every half hour, in a small file of this machine, for 26 hours.

It is for the curves of the first page and for "what changed since yesterday". It may be lost: then both begin anew.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Final

from holdfast.objectives.standing import State

__all__ = ["EVERY_NS", "KEPT_NS", "Sample", "Samples", "changed"]

EVERY_NS: Final = 1800 * 10**9
KEPT_NS: Final = 26 * 3600 * 10**9
_STATES: Final = list(State)
_BODY_MAX: Final = 64 << 20


class Sample:
    """All assets at one time: columns, so that fifty samples of ten thousand assets are a few megabytes."""

    __slots__ = ("_exposure", "_place", "_state", "at")

    def __init__(self, at: int, place: dict[str, int], state: bytes, exposure: array[float]) -> None:
        self.at, self._place, self._state, self._exposure = at, place, state, exposure

    @classmethod
    def of(cls, at: int, rows: Iterable[tuple[str, State, float | None]], like: Sample | None = None) -> Sample:
        """`like`: a sample that may have the same names, which are then kept once."""
        found = list(rows)
        place = {name: number for number, (name, _, _) in enumerate(found)}
        if like is not None and like._place == place:
            place = like._place
        state = bytes(_STATES.index(state) for _, state, _ in found)
        exposure = array("d", (nan if seconds is None else seconds for _, _, seconds in found))
        return cls(at, place, state, exposure)

    def __len__(self) -> int:
        return len(self._place)

    def state(self, asset: str) -> State | None:
        """None for one that was not there."""
        number = self._place.get(asset)
        return None if number is None else _STATES[self._state[number]]

    def exposure(self, asset: str) -> float | None:
        """Seconds; None where it was not measured, or the asset was not there."""
        number = self._place.get(asset)
        if number is None or isnan(self._exposure[number]):
            return None
        return self._exposure[number]

    def names(self) -> Iterable[str]:
        return self._place

    def packed(self) -> bytes:
        exposure = [None if isnan(one) else round(one, 3) for one in self._exposure]
        body = json.dumps([list(self._place), list(self._state), exposure], allow_nan=False)
        return zlib.compress(body.encode(), 6)

    @classmethod
    def unpacked(cls, at: int, body: bytes, like: Sample | None = None) -> Sample | None:
        """None for bytes that are no sample."""
        try:
            inflater = zlib.decompressobj()
            text = inflater.decompress(body, _BODY_MAX)
            names, states, exposure = json.loads(text)
            if inflater.unconsumed_tail or not len(set(names)) == len(states) == len(exposure) == len(names):
                return None
            if any(one < 0 for one in states) or any(one is not None and not isfinite(one) for one in exposure):
                return None
            return cls.of(
                at,
                (
                    (str(name), _STATES[state], None if seconds is None else float(seconds))
                    for name, state, seconds in zip(names, states, exposure, strict=True)
                ),
                like,
            )
        except (zlib.error, ValueError, TypeError, IndexError, OverflowError, RecursionError):
            return None


class Samples:
    """Of one organisation. A file that cannot be read or written costs what was before, never a page."""

    def __init__(self, path: Path | None) -> None:
        """`path`: None for a user without a home: then samples are kept in memory alone."""
        self._path = path
        self._kept: list[Sample] = []
        self._loaded = False

    def all(self) -> list[Sample]:
        """In the order of time."""
        if not self._loaded:
            self._loaded = True
            self._kept = self._load()
        return self._kept

    def is_due(self, at: int) -> bool:
        kept = self.all()
        return not kept or at - kept[-1].at >= EVERY_NS or at < kept[-1].at

    def add(self, sample: Sample) -> None:
        kept = [one for one in self.all() if sample.at - KEPT_NS <= one.at < sample.at]
        self._kept = [*kept, sample]
        with self._opened() as database:
            if database is None:
                return
            body = sample.packed()
            with database:
                database.execute("INSERT OR REPLACE INTO samples VALUES (?, ?)", (sample.at, body))
                database.execute("DELETE FROM samples WHERE at < ? OR at > ?", (sample.at - KEPT_NS, sample.at))

    def day_before(self, at: int) -> Sample | None:
        """The one nearest to a day before `at`, or the oldest there is; None without any older than a minute."""
        old = [one for one in self.all() if at - one.at > 60 * 10**9]
        return min(old, key=lambda one: abs(at - 86_400 * 10**9 - one.at), default=None)

    def series(self, asset: str) -> Iterator[tuple[int, float | None]]:
        """Exposures of one asset: time (ns), seconds."""
        return ((one.at, one.exposure(asset)) for one in self.all() if one.state(asset) is not None)

    def _load(self) -> list[Sample]:
        found: list[Sample] = []
        with self._opened() as database:
            if database is None:
                return found
            for at, body in database.execute("SELECT at, body FROM samples ORDER BY at"):
                one = Sample.unpacked(at, body, found[-1] if found else None)
                if one is not None:
                    found.append(one)
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """None where there is none, also within: what SQLite raises ends the block."""
        if self._path is None:
            yield None
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self._path, timeout=5)
        except (OSError, sqlite3.Error):
            yield None
            return
        with closing(database):
            try:
                database.execute("CREATE TABLE IF NOT EXISTS samples (at INTEGER PRIMARY KEY, body BLOB NOT NULL)")
            except sqlite3.DatabaseError as error:
                self._given_up(error)
                yield None
                return
            try:
                yield database
            except sqlite3.DatabaseError as error:
                self._given_up(error)

    def _given_up(self, error: sqlite3.DatabaseError) -> None:
        """A file that is no database gives way to an empty one; a full disk or a lock passes."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if self._path is not None and code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def changed(before: Sample, now: Mapping[str, State]) -> list[tuple[str, State | None, State | None]]:
    """(asset, state before, state now) of those that are not as they were; None: it was not, or is not there."""
    found: list[tuple[str, State | None, State | None]] = []
    for name, state in now.items():
        old = before.state(name)
        if old is not state:
            found.append((name, old, state))
    found += [(name, before.state(name), None) for name in before.names() if name not in now]
    return found
