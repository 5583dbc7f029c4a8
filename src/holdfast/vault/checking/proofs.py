"""What this machine has proven of a vault, and when: packs that were read whole and found good, snapshots read back.

A small database beside the index (`local_cache.py`), safe to lose: everything counts as never proven then. A pack is
credited only when the hash of all its bytes was compared with its name, which decoding some of its chunks is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple, TypeVar

from holdfast.errors import HoldfastError
from holdfast.ids import PackId
from holdfast.vault.handle import Handle
from holdfast.vault.local_cache import LocalCache, open_cache, replace_cache

__all__ = ["Proofs", "Proven", "ProofAge", "least_proven"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (id BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (id TEXT PRIMARY KEY, at INTEGER NOT NULL, level TEXT NOT NULL) WITHOUT ROWID
"""
_RECENT_NS = 30 * 86_400 * 10**9
_SKEW_NS = 86_400 * 10**9

T = TypeVar("T")


class Proven(NamedTuple):
    """When (ns since the epoch) and how a snapshot was last read back: `decoded`, `stored-bytes` or `deep`."""

    at: int
    level: str


class ProofAge(NamedTuple):
    """How well the packs of a vault are proven on this machine: how long ago the oldest proof was (None where some pack
    was never proven), how many never were, and the share (0 to 1) that was within 30 days.
    """

    oldest_ns: int | None
    never: int
    recent_share: float


class Proofs:
    """Proofs of one vault on one store. Errors of the database cost what is remembered, and are never raised."""

    def __init__(self, handle: Handle) -> None:
        self._clock = handle.clock
        self._cache: LocalCache | None = None
        with suppress(sqlite3.Error, RuntimeError, HoldfastError):
            self._cache = open_cache(handle.keys.vault, handle.store, "proofs", schema=_SCHEMA, version=_VERSION)

    def packs(self) -> dict[PackId, int]:
        """Pack → when its bytes were last compared with its name.

        What the future proves (a clock was wrong) counts for nothing: it would keep samples from the pack until then.
        """
        latest = self._clock.now_ns() + _SKEW_NS

        def read(database: sqlite3.Connection) -> dict[PackId, int]:
            # SQLite keeps in a column whatever it is given.
            rows = database.execute("SELECT id, at FROM packs WHERE typeof(id) = 'blob' AND typeof(at) = 'integer'")
            return {PackId(bytes(key).hex()): int(at) for key, at in rows if int(at) <= latest}

        return self._ask(read, {})

    def snapshots(self) -> dict[str, Proven]:
        """Snapshot id → its last proof. What the future proves counts for nothing."""
        latest = self._clock.now_ns() + _SKEW_NS

        def read(database: sqlite3.Connection) -> dict[str, Proven]:
            rows = database.execute("SELECT id, at, level FROM snapshots WHERE typeof(at) = 'integer'")
            return {str(key): Proven(int(at), str(level)) for key, at, level in rows if int(at) <= latest}

        return self._ask(read, {})

    def credit_packs(self, packs: Iterable[PackId]) -> None:
        """All bytes of these were compared with their names just now."""
        now = self._clock.now_ns()
        rows = [(bytes.fromhex(pack), now) for pack in packs]
        self._tell("INSERT OR REPLACE INTO packs VALUES (?, ?)", rows)

    def credit_snapshot(self, snapshot: str, level: str) -> None:
        """It was read back whole from this store just now."""
        self._tell("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", [(snapshot, self._clock.now_ns(), level)])

    def forget(self, packs: Iterable[PackId] = (), snapshots: Iterable[str] = ()) -> None:
        """These are damaged or gone: what was proven before proves nothing now."""
        self._tell("DELETE FROM packs WHERE id = ?", [(bytes.fromhex(pack),) for pack in packs])
        self._tell("DELETE FROM snapshots WHERE id = ?", [(snapshot,) for snapshot in snapshots])

    def age(self, packs: Iterable[PackId]) -> ProofAge:
        """Of these packs, which are all that the vault has."""
        known, now = self.packs(), self._clock.now_ns()
        times = [known.get(pack) for pack in packs]
        proven = [at for at in times if at is not None]
        never = len(times) - len(proven)
        recent = sum(now - at <= _RECENT_NS for at in proven)
        oldest = max(0, now - min(proven)) if proven and not never else None
        return ProofAge(oldest, never, recent / len(times) if times else 1.0)

    def _tell(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.executemany(statement, rows)

        if rows:
            self._ask(write, None, writing=True)

    def _ask(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, writing: bool = False) -> T:
        cache = self._cache
        if cache is None:
            return otherwise
        try:
            with cache.writing() if writing else cache.reading() as database:
                return work(database)
        except (sqlite3.Error, TypeError, ValueError) as error:
            broken = error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError(str(error))
            self._cache = None
            with suppress(sqlite3.Error, HoldfastError):
                self._cache = replace_cache(cache, broken, schema=_SCHEMA, version=_VERSION)
            return otherwise


def least_proven(packs: Sequence[PackId], proofs: Mapping[PackId, int], count: int, seed: int | None) -> list[PackId]:
    """`count` of the packs: those never proven first, then those whose proof is oldest; at random among equals."""
    shuffled = sorted(packs)
    Random(seed).shuffle(shuffled)  # noqa: S311 - a sample to read, not a secret
    return sorted(shuffled, key=lambda pack: proofs.get(pack, -1))[:count]
