"""What this machine has seen of a vault's snapshots: one small database for each vault on each store, safe to lose.

It keeps roots that were read and whose signatures were verified (`known_roots.py`), and where the series of each
pointer's generations ended (`GenerationHints`). Nothing is kept of a store that is itself only in memory.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from holdfast.errors import HoldfastError
from holdfast.stores.protocol import Store
from holdfast.vault.format.series import Hints
from holdfast.vault.handle import Handle
from holdfast.vault.local_cache import LocalCache, open_cache, replace_cache

__all__ = ["known_cache", "forgiving", "generation_hints", "GenerationHints"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS roots (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    epoch INTEGER NOT NULL, signer TEXT NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generations (prefix TEXT PRIMARY KEY, highest INTEGER NOT NULL) WITHOUT ROWID;
"""

# Opening the database takes longer than asking it, and a save asks it some ten times.
_opened: weakref.WeakKeyDictionary[Store, tuple[bytes, LocalCache]] = weakref.WeakKeyDictionary()


class _Opening:
    lock = threading.Lock()

    @classmethod
    def begin_anew(cls) -> None:
        """In a process that was just forked: whichever thread held the lock is not there to release it."""
        cls.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Opening.begin_anew)


def known_cache(handle: Handle) -> LocalCache | None:
    """The database for the vault and store of `handle`. None for a store in memory, and where none can be kept."""
    store, vault = handle.store, handle.keys.vault
    if not store.capabilities.durable:
        return None
    try:
        with _Opening.lock:
            found = _opened.get(store)
            if found is not None and found[0] == vault and not found[1].is_foreign:
                return found[1]
            cache = open_cache(vault, store, "snapshots", schema=_SCHEMA, version=_VERSION)
            _opened[store] = vault, cache
            return cache
    except (TypeError, RuntimeError, sqlite3.Error):  # no weak references to such a store; no home; no room at all
        return None


@contextmanager
def forgiving(handle: Handle) -> Iterator[None]:
    """What SQLite raises within is no error: less is known then. A damaged database gives way to an empty one."""
    try:
        yield
    except sqlite3.Error as error:
        with _Opening.lock, suppress(HoldfastError, sqlite3.Error):
            found = _opened.pop(handle.store, None)
            if found is not None and not found[1].is_foreign:
                _opened[handle.store] = found[0], replace_cache(found[1], error, schema=_SCHEMA, version=_VERSION)


def generation_hints(handle: Handle) -> Hints | None:
    """Where the series of this vault ended when they were last looked at."""
    cache = known_cache(handle)
    return None if cache is None else GenerationHints(handle, cache)


class GenerationHints:
    """Hints that outlive the process. What cannot be read or written is no hint, and no error."""

    def __init__(self, handle: Handle, cache: LocalCache) -> None:
        self._handle = handle
        self._cache = cache

    def highest(self, prefix: str) -> int:
        """The highest generation that was seen below `prefix`, 0 for none."""
        with forgiving(self._handle), self._cache.reading() as database:
            for (highest,) in database.execute("SELECT highest FROM generations WHERE prefix = ?", (prefix,)):
                return highest if isinstance(highest, int) else 0
        return 0

    def note(self, prefix: str, generation: int) -> None:
        """From now on it is this one."""
        with forgiving(self._handle), self._cache.writing() as database:
            database.execute("INSERT OR REPLACE INTO generations VALUES (?, ?)", (prefix, generation))
