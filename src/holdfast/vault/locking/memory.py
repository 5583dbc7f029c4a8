"""Which locks this machine knows of, so that a save asks the store only for those that have to grow. Safe to lose.

It is believed only as far as it spares requests: whoever reports on locks asks the store (`state.py`).
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterable
from contextlib import suppress

from holdfast.stores.protocol import Store
from holdfast.stores.retention.port import Mode, Retained, Retention, satisfies
from holdfast.vault.handle import Handle
from holdfast.vault.local_cache import LocalCache, open_cache

__all__ = ["LockMemory", "memory_of"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE held (key TEXT PRIMARY KEY, until_ns INTEGER NOT NULL, mode TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE setting (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL)
"""
_AT_ONCE = 500
_INTEGER_MAX = (1 << 63) - 1  # of SQLite; in the year 2262, and stores take times beyond


class LockMemory:
    """Locks by key. A database that fails forgets: the store is asked again then."""

    def __init__(self, cache: LocalCache) -> None:
        self._cache = cache

    def lacking(self, keys: Iterable[str], wanted: Retention) -> list[str]:
        """Those that are not known to be locked for as long and as strictly as wanted, in order."""
        listed = sorted(set(keys))
        known: dict[str, Retention] = {}
        with suppress(sqlite3.Error, ValueError):
            for start in range(0, len(listed), _AT_ONCE):
                some = listed[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                with self._cache.reading() as connection:
                    rows = connection.execute(
                        f"SELECT key, until_ns, mode FROM held WHERE key IN ({marks})",  # noqa: S608 - only marks
                        some,
                    ).fetchall()
                known |= {str(key): Retention(Mode(mode), int(until)) for key, until, mode in rows}
        return [key for key in listed if not satisfies(known.get(key), wanted)]

    def note(self, retained: Iterable[Retained]) -> None:
        """These are locked, as the store has confirmed."""
        rows = [
            (one.key, min(one.retention.until_ns, _INTEGER_MAX), one.retention.mode.value)
            for one in retained
            if one.retention
        ]
        with suppress(sqlite3.Error), self._cache.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO held VALUES (?, ?, ?)", rows)

    def forget(self, keys: Collection[str] | None = None) -> None:
        """Nothing is known of these, or of any."""
        with suppress(sqlite3.Error), self._cache.writing() as connection:
            if keys is None:
                connection.execute("DELETE FROM held")
            else:
                connection.executemany("DELETE FROM held WHERE key = ?", [(key,) for key in keys])

    def setting(self) -> bytes | None:
        """The newest lock setting that this machine has seen at the store, as it was given."""
        with suppress(sqlite3.Error), self._cache.reading() as connection:
            row = connection.execute("SELECT record FROM setting").fetchone()
            return bytes(row[0]) if row is not None else None
        return None

    def remember_setting(self, record: bytes) -> None:
        with suppress(sqlite3.Error), self._cache.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (1, ?)", (record,))


_opened: weakref.WeakKeyDictionary[Store, LockMemory] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def memory_of(handle: Handle) -> LockMemory:
    """The memory of the handle's vault and store; one for as long as the store is open."""
    with _lock:
        found = _opened.get(handle.store)
        if found is None:
            found = LockMemory(open_cache(handle.keys.vault, handle.store, "locks", schema=_SCHEMA, version=_VERSION))
            _opened[handle.store] = found
        return found
