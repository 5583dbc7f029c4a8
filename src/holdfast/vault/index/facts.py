"""What is known of packs, on disk: who says what is in them, and which of them name a chunk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np

from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.packs import ChunkPlace
from holdfast.vault.format.records import PackTable
from holdfast.vault.index.columns import BLOCK_CHUNKS, Columns, prefix_of, read_record, table_of
from holdfast.vault.local_cache import LocalCache

__all__ = ["Claim", "Facts", "Saying", "SCHEMA", "VERSION"]

VERSION = 1
# A chunk's row is two numbers: the beginning of its id, and `place`, the number of the table that names it and, in the
# lower 24 bits, that of the blob. The rest is in `blocks`, where row `place >> 4` holds the records of 16 blobs.
# `fresh` is the same as `chunks`, but small: rows come in no order, so that each one touches another page of the tree.
SCHEMA = """
CREATE TABLE objects (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, signer TEXT NOT NULL);
CREATE TABLE tables (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pack BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL,
    chunks INTEGER NOT NULL, footer INTEGER NOT NULL DEFAULT 0, UNIQUE (pack, digest));
CREATE TABLE sayings (number INTEGER, object INTEGER, PRIMARY KEY (number, object)) WITHOUT ROWID;
CREATE INDEX sayings_by_object ON sayings (object);
CREATE TABLE contested (pack BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE blocks (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE chunks (prefix INTEGER, place INTEGER, PRIMARY KEY (prefix, place)) WITHOUT ROWID;
CREATE TABLE fresh (prefix INTEGER, place INTEGER, PRIMARY KEY (prefix, place)) WITHOUT ROWID;
CREATE TABLE settled (number INTEGER NOT NULL);
INSERT INTO settled VALUES (0)
"""
_BLOB_BITS = 24
_BLOCK_BITS = BLOCK_CHUNKS.bit_length() - 1
_FRESH_MIN = 1 << 16  # rows that are worth writing every page of `chunks` for …
_FRESH_SHARE = 8  # … when they are at least so much of it
_LOOK_ROWS = 1 << 13  # rows written between two looks whether it is time
_LOOK_UP = """
SELECT place, body, tables.number, pack FROM
    (SELECT place FROM chunks WHERE prefix = ?1 UNION ALL SELECT place FROM fresh WHERE prefix = ?1)
    JOIN blocks ON blocks.id = place >> 4 JOIN tables ON tables.number = place >> 24
"""
_CLAIMS = """
SELECT tables.number, pack, size, chunks, footer, signer FROM tables
    LEFT JOIN sayings ON sayings.number = tables.number LEFT JOIN objects ON objects.id = sayings.object
"""
_BLOCKS = "SELECT body FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id"
_ORDER = "ORDER BY tables.number, object"
_UNLISTED = """
SELECT number, pack FROM tables WHERE footer = 1 AND NOT EXISTS
    (SELECT 1 FROM sayings WHERE sayings.number = tables.number)
"""
_IDLE = """
SELECT 1 FROM tables WHERE number = ? AND footer = 0 AND NOT EXISTS
    (SELECT 1 FROM sayings WHERE sayings.number = tables.number)
"""

P = ParamSpec("P")
T = TypeVar("T")


def _strict(method: Callable[P, T]) -> Callable[P, T]:
    """A row that rotted may hold what nobody wrote: that is an error of the database, too."""

    @wraps(method)
    def strict(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise sqlite3.DatabaseError(f"a row is not what was written ({error})") from error

    return strict


class Claim(NamedTuple):
    """One table of a pack and one who vouches for it: its own footer, or a signer (None: nobody any more)."""

    number: int
    pack: PackId
    size: int
    chunks: int
    footer: bool
    signer: str | None


class Saying(NamedTuple):
    """Tables from one source: an index object with its key and its signer's fingerprint, or (empty) packs' footers."""

    key: str | None
    signer: str
    packs: Sequence[tuple[PackId, Columns]]


class Facts:
    """The tables of one cache. Methods raise sqlite3.Error; each is one transaction."""

    def __init__(self, cache: LocalCache) -> None:
        self.cache = cache
        self._unlooked = _LOOK_ROWS

    @_strict
    def objects(self) -> set[str]:
        """Keys of the index objects that were taken in."""
        with self.cache.reading() as database:
            return {key for (key,) in database.execute("SELECT key FROM objects WHERE key IS NOT NULL")}

    @_strict
    def signers(self) -> dict[str, int]:
        """How many of them each signer has signed."""
        with self.cache.reading() as database:
            return dict(database.execute("SELECT signer, count(key) FROM objects GROUP BY signer").fetchall())

    @_strict
    def take(self, sayings: Iterable[Saying]) -> None:
        """Take in what is said. A footer's word replaces that of an earlier one."""
        rows: list[tuple[int, Columns]] = []
        with self.cache.writing() as database:
            for saying in sayings:
                source = _source(database, saying)
                for pack, columns in saying.packs:
                    number, new = _table(database, pack, columns)
                    if new:
                        rows.append((number, columns))
                    elif source is None:
                        _write_again(database, number, pack, columns)
                    if source is None:
                        database.execute("UPDATE tables SET footer = (number = ?) WHERE pack = ?", (number, _key(pack)))
                    else:
                        database.execute("INSERT OR IGNORE INTO sayings VALUES (?, ?)", (number, source))
            _write(database, rows)
            self._unlooked += sum(len(columns) for _, columns in rows)
            if self._unlooked >= _LOOK_ROWS:
                self._unlooked = 0
                _settle(database)

    @_strict
    def look_up(self, chunk: ChunkId) -> list[tuple[int, PackId, ChunkPlace]]:
        """Tables that name the chunk, in the order in which they were taken in: number, pack, and the place there."""
        with self.cache.reading() as database:
            rows = database.execute(_LOOK_UP, (prefix_of(chunk),)).fetchall()
        if len(rows) > 1:
            rows.sort()
        found = []
        for place, block, number, pack in rows:
            record = read_record(block, place & ((1 << _BLOB_BITS) - 1), chunk)
            if record is not None:
                found.append((number, PackId(pack.hex()), record))
        return found

    @_strict
    def claims(self, pack: PackId) -> list[Claim]:
        """Everything that is said of a pack."""
        with self.cache.reading() as database:
            return list(
                map(_claim, database.execute(f"{_CLAIMS} WHERE pack = ? ORDER BY tables.number, object", (_key(pack),)))
            )

    @_strict
    def all_claims(self) -> list[Claim]:
        """Everything that is said of any pack, in the order in which the tables were taken in."""
        with self.cache.reading() as database:
            return [_claim(row) for row in database.execute(f"{_CLAIMS} {_ORDER}")]

    @_strict
    def contested(self) -> list[PackId]:
        """Packs of which there was more than one table."""
        with self.cache.reading() as database:
            return [PackId(pack.hex()) for (pack,) in database.execute("SELECT pack FROM contested")]

    @_strict
    def table(self, number: int) -> PackTable | None:
        """A whole table; None when it is not there, or not as it was written."""
        with self.cache.reading() as database:
            counts = database.execute("SELECT chunks FROM tables WHERE number = ?", (number,)).fetchall()
            blocks = [body for (body,) in database.execute(_BLOCKS, _span(number))]
        return table_of(blocks, counts[0][0]) if counts else None

    @_strict
    def require_sound(self) -> None:
        """Raise sqlite3.DatabaseError where the file's own structure does not hold together. Reads all of it."""
        with self.cache.reading() as database:
            [(answer,)] = database.execute("PRAGMA integrity_check(1)").fetchall()
        if answer != "ok":
            raise sqlite3.DatabaseError(f"the index on this machine is damaged: {answer}")

    @_strict
    def unlisted(self) -> dict[int, PackId]:
        """Numbers of the tables that only a pack's footer vouches for."""
        with self.cache.reading() as database:
            return {number: PackId(pack.hex()) for number, pack in database.execute(_UNLISTED)}

    @_strict
    def forget_objects(self, keys: Iterable[str]) -> None:
        """These index objects are gone, and with them what only they said."""
        with self.cache.writing() as database:
            for key in keys:
                touched = "SELECT number FROM sayings JOIN objects ON id = object WHERE key = ?"
                numbers = [number for (number,) in database.execute(touched, (key,))]
                database.execute("DELETE FROM sayings WHERE object = (SELECT id FROM objects WHERE key = ?)", (key,))
                database.execute("DELETE FROM objects WHERE key = ?", (key,))
                for number in numbers:
                    if database.execute(_IDLE, (number,)).fetchone():
                        _remove(database, number)

    @_strict
    def forget_tables(self, numbers: Iterable[int]) -> None:
        """The packs of these tables are gone."""
        with self.cache.writing() as database:
            for number in numbers:
                _remove(database, number)


def _key(pack: PackId) -> bytes:
    return bytes.fromhex(pack)


def _claim(row: tuple[int, bytes, int, int, int, str | None]) -> Claim:
    number, pack, size, chunks, footer, signer = row
    if not (isinstance(number, int) and isinstance(size, int) and isinstance(chunks, int)):
        raise sqlite3.DatabaseError("a table without a number, a size or a count")
    return Claim(number, PackId(pack.hex()), size, chunks, bool(footer), signer)


def _span(number: int) -> tuple[int, int]:
    """The first and the last possible block of a table."""
    shift = _BLOB_BITS - _BLOCK_BITS
    return number << shift, ((number + 1) << shift) - 1


def _source(database: sqlite3.Connection, saying: Saying) -> int | None:
    """The row of an index object; None for footers."""
    if not saying.signer:
        return None
    values = (saying.key, saying.signer)
    added = database.execute("INSERT OR IGNORE INTO objects (key, signer) VALUES (?, ?)", values)
    if saying.key is None:
        return added.lastrowid
    [(source,)] = database.execute("SELECT id FROM objects WHERE key = ?", (saying.key,))
    return int(source)


def _table(database: sqlite3.Connection, pack: PackId, columns: Columns) -> tuple[int, bool]:
    """The number of a table, and whether it is new."""
    known = database.execute("SELECT number, digest FROM tables WHERE pack = ?", (_key(pack),)).fetchall()
    for number, digest in known:
        if digest == columns.digest:
            return number, False
    if known:
        database.execute("INSERT OR IGNORE INTO contested VALUES (?)", (_key(pack),))
    added = database.execute(
        "INSERT INTO tables (pack, digest, size, chunks) VALUES (?, ?, ?, ?)",
        (_key(pack), columns.digest, columns.size, len(columns)),
    )
    if added.lastrowid is None:
        raise sqlite3.DatabaseError("a row without a number")
    return added.lastrowid, True


def _blocks(number: int, columns: Columns) -> Iterator[tuple[int, bytes]]:
    return enumerate(columns.blocks(), _span(number)[0])


def _write(database: sqlite3.Connection, rows: Sequence[tuple[int, Columns]]) -> None:
    if not rows:
        return
    for number, columns in rows:
        database.executemany("INSERT INTO blocks VALUES (?, ?)", _blocks(number, columns))
    prefixes = np.concatenate([columns.prefixes() for _, columns in rows])
    places = np.concatenate([np.arange(len(columns)) + (number << _BLOB_BITS) for number, columns in rows])
    order = np.argsort(prefixes)  # neighbours in the tree are written together
    values = zip(prefixes[order].tolist(), places[order].tolist(), strict=True)
    database.executemany("INSERT INTO fresh VALUES (?, ?)", values)


def _write_again(database: sqlite3.Connection, number: int, pack: PackId, columns: Columns) -> None:
    """What a table should have on disk, whatever has become of it. SQLite itself finds out where the row and the index
    that led to it differ.
    """
    values = (_key(pack), columns.digest, columns.size, len(columns), number)
    changed = database.execute("UPDATE tables SET pack = ?, digest = ?, size = ?, chunks = ? WHERE number = ?", values)
    if changed.rowcount != 1:
        raise sqlite3.DatabaseError("a table that its index names is not there")
    database.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?)", _blocks(number, columns))
    first = number << _BLOB_BITS
    database.executemany(
        "INSERT OR IGNORE INTO fresh SELECT ?1, ?2 "
        "WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE prefix = ?1 AND place = ?2)",
        ((prefix, first + blob) for blob, prefix in enumerate(columns.prefixes().tolist())),
    )


def _settle(database: sqlite3.Connection) -> None:
    """Move what is in `fresh` to `chunks` when it is much."""
    total = "SELECT coalesce(sum(chunks), 0) FROM tables WHERE number"
    [(settled,)] = database.execute("SELECT number FROM settled")
    [(fresh,)] = database.execute(f"{total} > ?", (settled,))
    if fresh < _FRESH_MIN:
        return
    [(old,)] = database.execute(f"{total} <= ?", (settled,))
    if fresh * _FRESH_SHARE < old:
        return
    database.execute("INSERT OR IGNORE INTO chunks SELECT prefix, place FROM fresh ORDER BY prefix, place")
    database.execute("DELETE FROM fresh")
    database.execute("UPDATE settled SET number = (SELECT max(number) FROM tables)")


def _remove(database: sqlite3.Connection, number: int) -> None:
    span = _span(number)
    [(count,)] = database.execute("SELECT coalesce(max(chunks), 0) FROM tables WHERE number = ?", (number,))
    blocks = [
        body for (body,) in database.execute("SELECT body FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id", span)
    ]
    table = table_of(blocks, count)  # rows of one that rotted stay, and lead nowhere
    if table is not None:
        ids = table.ids
        prefixes = (prefix_of(ids[start : start + 8]) for start in range(0, len(ids), 32))
        rows = [(prefix, (number << _BLOB_BITS) + blob) for blob, prefix in enumerate(prefixes)]
        for name in ("chunks", "fresh"):
            database.executemany(f"DELETE FROM {name} WHERE prefix = ? AND place = ?", rows)  # noqa: S608
    database.execute("DELETE FROM blocks WHERE id BETWEEN ? AND ?", span)
    database.execute("DELETE FROM sayings WHERE number = ?", (number,))
    database.execute("DELETE FROM tables WHERE number = ?", (number,))
