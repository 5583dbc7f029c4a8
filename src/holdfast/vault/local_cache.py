"""Small databases on this machine that spare reading the same things from a store again: safe to lose, never believed
more than the store's own objects, which were checked before they were put in.

`$XDG_CACHE_HOME/holdfast/<vault id>/<hash of the store's identity and this host's name>/<name>.sqlite`. Files are as
secret as the index and the snapshots' names, so only their owner can read them. Each host has its own, for a home
folder may be shared by several, and SQLite's write-ahead log lives in memory that they do not share.

A user meets `sqlite3.Error` when a file turns out to be damaged, or its disk full, after it was opened: `replace_cache`
gives it an empty database to go on with.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from holdfast.errors import FailedError
from holdfast.homes import cache_home
from holdfast.stores.protocol import Store, store_identity

__all__ = ["LocalCache", "cache_folder", "open_cache", "replace_cache", "temporary_cache"]

_CACHE_KIB = 32 << 10  # of pages in memory, at most
_BUSY_SECONDS = 20.0  # another process of the same user writes for a moment at a time
_WAL_PAGES = 8192  # 32 MiB: each checkpoint waits for the disk
_TEMPORARY, _IN_MEMORY = "", ":memory:"
# What is no fault of the file: it stays for whoever finds better conditions.
_CONDITIONS = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    )
)


class LocalCache:
    """One SQLite database and the lock that its connection is used under. Closed with its last user.

    It belongs to the process that opened it: in one that was forked from there, every use is an `sqlite3.Error`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, *, in_memory: bool = False) -> None:
        self._connection = connection
        self.path = path  # None: a temporary file of SQLite's own, or memory; gone with the process
        self.in_memory = in_memory
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, _close, connection, self._process)

    @property
    def is_foreign(self) -> bool:
        """Whether it was opened by the process that this one was forked from."""
        return os.getpid() != self._process

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone while it lasts. Within, UnicodeDecodeError becomes sqlite3.Error."""
        if self.is_foreign:  # asked before the lock: another thread may have held it at the time of the fork
            raise sqlite3.ProgrammingError("opened by another process")
        with self._lock:
            try:
                yield self._connection
            except UnicodeDecodeError as error:
                raise _undecodable(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The same in one transaction: all of what is written, or nothing after an error."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself gives up some, for instance on a full disk
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        if self.is_foreign:
            return
        with self._lock:
            self._finalizer()


_foreign: list[sqlite3.Connection] = []


def _close(connection: sqlite3.Connection, process: int) -> None:
    if os.getpid() == process:
        connection.close()
    else:
        _foreign.append(connection)  # kept for ever: even to close it would be to touch the other process's file


def cache_folder(vault: bytes, identity: str, environment: Mapping[str, str] | None = None) -> Path:
    """Where this machine keeps what it knows of a vault on the store of this identity (`store_identity`).

    Raises RuntimeError for a user without a home.
    """
    home = cache_home(os.environ if environment is None else environment)
    if home is None:
        raise RuntimeError("there is no home folder")
    name = f"{platform.node()}\0{identity}".encode(errors="surrogateescape")
    return home / "holdfast" / vault.hex() / blake3(name).hexdigest(16)


def open_cache(vault: bytes, store: Store, name: str, *, schema: str, version: int) -> LocalCache:
    """The database `name` with the tables of `schema` (SQL statements that create them).

    One of another `version`, or one that SQLite cannot read, is begun afresh. Where the machine cannot keep a file, or
    the store itself does not outlive the process, it is a temporary one.
    """
    if store.capabilities.durable:
        for _ in range(2):
            try:
                path = cache_folder(vault, store_identity(store)) / f"{name}.sqlite"
                return LocalCache(_open(path, schema, version), path)
            except (sqlite3.Error, OSError, RuntimeError) as error:  # RuntimeError: no home folder to be found
                if not isinstance(error, sqlite3.Error) or _is_condition(error):
                    break
                _remove(path)
    return temporary_cache(schema)


def temporary_cache(schema: str) -> LocalCache:
    """An empty database in a temporary file that nobody else sees, or in memory where there can be none."""
    try:
        return LocalCache(_create(_TEMPORARY, schema), None)
    except sqlite3.Error:
        return LocalCache(_create(_IN_MEMORY, schema), None, in_memory=True)


def replace_cache(cache: LocalCache, error: sqlite3.Error, *, schema: str, version: int) -> LocalCache:
    """A database to go on with where `cache` failed with `error`: an empty temporary file, after that memory.

    A file that is damaged is removed, so that the next process begins a new one; one that is only another process's is
    opened by this one, too. Raises FailedError when `cache` was in memory already.
    """
    if cache.is_foreign:
        with suppress(sqlite3.Error, OSError):
            if cache.path is not None:
                return LocalCache(_open(cache.path, schema, version), cache.path)
        return temporary_cache(schema)
    if cache.in_memory:
        raise FailedError(f"cannot keep an index in memory: {error}", hint="free some memory") from error
    if cache.path is None:
        return LocalCache(_create(_IN_MEMORY, schema), None, in_memory=True)
    if not _is_condition(error):
        _remove(cache.path)
    return temporary_cache(schema)


def _is_condition(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # absent where it was not SQLite that raised
    return code is not None and code & 0xFF in _CONDITIONS


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = _connect(str(path))
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last entries, not the file
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        _make_tables(connection, schema, version)
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):
            raise _undecodable(error) from error
        raise
    return connection


def _make_tables(connection: sqlite3.Connection, schema: str, version: int) -> None:
    [(found,)] = connection.execute("PRAGMA user_version")
    if found == version:
        return
    if found:
        raise sqlite3.DatabaseError(f"a cache of version {found}")
    connection.execute("BEGIN IMMEDIATE")
    [(found,)] = connection.execute("PRAGMA user_version")
    if not found:  # else another process was faster
        for statement in filter(str.strip, schema.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version:d}")
    connection.execute("COMMIT")


def _create(place: str, schema: str) -> sqlite3.Connection:
    connection = _connect(place)
    try:
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):
            raise _undecodable(error) from error
        raise
    return connection


def _undecodable(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    # SQLite quotes a schema that rotted in its message, which Python may not be able to decode then.
    return sqlite3.DatabaseError(f"the database is damaged, and what SQLite says of it cannot be read ({error.reason})")


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(OSError):
            path.with_name(name).unlink()
