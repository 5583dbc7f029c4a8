"""A database that was opened: who may write when, and its errors in the words of `holdfast.errors`.

One process writes at a time: in SQLite by its own lock, in PostgreSQL by a lock on the one row of `info`. Readers never
wait, and see whole transactions.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import DBAPIError, InterfaceError, SQLAlchemyError

from holdfast.catalog.models import Info
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    StorageFullError,
    StoreUnreachableError,
)

__all__ = ["BUSY_SECONDS", "Database", "prepare_sqlite", "translated"]

BUSY_SECONDS: Final = 60.0
_CACHE_KIB: Final = 64 << 10
_WRITING: Final = "holdfast_writing"


class Database:
    """`shown`: how people are told of it: a path, or an address without a password. `path`: of SQLite's file.

    Not to be used after a fork. `held`: the descriptor of a lock file that is shared while it is open.
    """

    def __init__(self, engine: Engine, shown: str, path: Path | None = None, held: int | None = None) -> None:
        self.engine = engine
        self.shown = shown
        self.path = path
        self._held = held

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment. Raises as `translated` says."""
        with self._connected(writing=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction while which nobody else writes: all of it, or nothing after an error or a crash."""
        with self._connected(writing=True) as connection:
            if not self.is_sqlite:
                connection.execute(select(Info.id).with_for_update())
            yield connection

    def close(self) -> None:
        """Afterwards nothing works any more."""
        self.engine.dispose()
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    @contextmanager
    def _connected(self, *, writing: bool) -> Iterator[Connection]:
        # One moment for all questions of a transaction; writers see what was committed before they got the lock.
        level = {} if self.is_sqlite or writing else {"isolation_level": "REPEATABLE READ"}
        try:
            with (
                self.engine.connect().execution_options(**{_WRITING: writing}, **level) as connection,
                connection.begin(),
            ):
                yield connection
        except SQLAlchemyError as error:
            raise translated(error, self.shown) from error
        except sqlite3.Error as error:
            raise _of_sqlite(error, self.shown) from error


def prepare_sqlite(engine: Engine) -> None:
    """Settings of each connection, and transactions that say at their beginning whether they write.

    A transaction that began by reading could not go on to write once another one had written.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the module's own would begin a transaction at the first INSERT
        for pragma in (
            f"busy_timeout = {round(BUSY_SECONDS * 1000)}",
            "journal_mode = WAL",
            "synchronous = NORMAL",  # a power cut may cost the last transactions: they are looked for again
            f"cache_size = -{_CACHE_KIB}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(_WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def translated(error: SQLAlchemyError, shown: str) -> HoldfastError:
    """What went wrong, in the words of this project. Holds nothing of statements and their values."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, shown)
    if isinstance(error, DBAPIError) and cause is not None:
        return _of_postgres(error, cause, shown)
    return FailedError(f"the catalog at {shown} failed: {type(error).__name__}", object_name=shown)


_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _of_sqlite(error: sqlite3.Error, shown: str) -> HoldfastError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return DamageError(
            f"the catalog at {shown} is damaged ({error})",
            hint="`holdfast catalog rebuild` sets it aside and makes it anew from the sites",
            object_name=shown,
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(f"no space is left for the catalog at {shown}", object_name=shown)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConflictError(
            f"another process has been writing the catalog at {shown} for more than {BUSY_SECONDS:.0f} s",
            object_name=shown,
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return PermissionDeniedError(
            f"the catalog at {shown} cannot be opened for writing ({error})", object_name=shown
        )
    return FailedError(f"the catalog at {shown} failed ({error})", object_name=shown)


def _of_postgres(error: DBAPIError, cause: BaseException, shown: str) -> HoldfastError:
    state = str(getattr(cause, "sqlstate", None) or "")
    said = next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:300]
    if state.startswith("53"):  # insufficient resources: disk full is 53100
        return StorageFullError(f"{shown} has no room for the catalog ({said})", object_name=shown)
    if state in ("40001", "40P01", "55P03"):
        return ConflictError(f"another process changed the catalog at {shown} at the same time", object_name=shown)
    if state.startswith("28") or "authentication" in said or "no password" in said:
        return CredentialError(
            f"{shown} does not let this user in ({said})",
            hint="put the password into the file that PGPASSFILE names, by default ~/.pgpass",
            object_name=shown,
        )
    if state == "3D000" or ("does not exist" in said and not state):
        return NotFoundError(f"there is no such database: {said}", object_name=shown)
    if state == "42501":
        return PermissionDeniedError(f"{shown} refuses ({said})", object_name=shown)
    if state.startswith("XX"):
        return DamageError(f"{shown} says that it is damaged ({said})", object_name=shown)
    if error.connection_invalidated or isinstance(error, InterfaceError) or not state or state[:2] in ("08", "57"):
        return StoreUnreachableError(f"{shown} does not answer ({said})", object_name=shown)
    return FailedError(f"the catalog at {shown} failed ({said})", object_name=shown)
