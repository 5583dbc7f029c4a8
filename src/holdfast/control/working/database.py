"""Where the queue of work lies: an SQLite file in the state folder, or PostgreSQL; opened, and its errors in words.

Two sets of tables share it: those of DBOS, and our own (`tables.py`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, SQLAlchemyError, TimeoutError

from holdfast.clock import to_rfc3339
from holdfast.config.references import resolve
from holdfast.config.words import Reference
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.homes import state_home

__all__ = ["VARIABLE", "WorkDatabase", "default_place", "in_words", "open_database", "revealed_place"]

VARIABLE: Final = "HOLDFAST_WORK_DB"
_BUSY_MS: Final = 30_000
_POOL: Final = 12  # threads of DBOS, and what is asked beside them
_FORM: Final = "a path, postgresql://USER@HOST:PORT/NAME, or file:PATH of a file with that"


class WorkDatabase:
    """An opened database. `shown`: for people, without a password. `path`: of SQLite's file, else None."""

    def __init__(self, engine: Engine, shown: str, path: Path | None = None, held: int | None = None) -> None:
        self.engine, self.shown, self.path = engine, shown, path
        self._held = held

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All of it or nothing. Raises as `in_words` says."""
        with self.speaking(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Errors of the database come out as errors of this project."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise in_words(error, self.shown) from error

    def close(self) -> None:
        """Afterwards nothing works any more."""
        self.engine.dispose()
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def set_aside(self, now_ns: int) -> Path:
        """Close it, and rename a file that is damaged. Raises ConflictError while another process uses it."""
        assert self.path is not None
        self.close()
        lock = _lock(self.path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stamp = to_rfc3339(now_ns).replace(":", "").replace("-", "")
            aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
            for ending in ("-wal", "-shm", ""):
                found = self.path.with_name(self.path.name + ending)
                if found.exists():
                    found.rename(aside.with_name(aside.name + ending))
            return aside
        except BlockingIOError as error:
            raise ConflictError(
                f"the queue of work at {self.path} is damaged, and another process has it open",
                hint="end all workers and servers of this machine, and start one of them",
                object_name=str(self.path),
            ) from error
        except OSError as error:
            raise FailedError(f"{self.path} cannot be set aside ({error.strerror})") from error
        finally:
            os.close(lock)


def default_place(organisation: str, environment: Mapping[str, str]) -> str:
    """`$HOLDFAST_WORK_DB`, by default a file in the user's state folder. Raises FailedError without a home."""
    given = environment.get(VARIABLE, "")
    if given:
        return given
    home = state_home(environment)
    if home is None:
        raise FailedError("there is no home folder to keep the queue of work in", hint="set XDG_STATE_HOME")
    return str(home / "holdfast" / "work" / f"{organisation}.sqlite")


def revealed_place(place: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, bool]:
    """The address itself, and whether it came from a file that nobody else reads (then it may hold a password)."""
    if not place.startswith("file:"):
        return place, False
    return resolve(Reference("file", place.removeprefix("file:")), folder, environment).reveal(), True


def open_database(place: str, *, secret: bool = False) -> WorkDatabase:
    """At a path, or an address. `secret`: the address may hold a password. Nothing is asked of a server yet.

    Raises UsageError, MissingExtraError, FailedError, StorageFullError.
    """
    return _postgres(place, secret=secret) if "://" in place else _sqlite(Path(place))


def _sqlite(path: Path) -> WorkDatabase:
    lock = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(path)
        _share(lock, path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if lock is not None:
            os.close(lock)
        kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else FailedError
        raise kind(f"the queue of work at {path} cannot be opened ({error.strerror})") from error
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(path)), pool_size=_POOL, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"  # as DBOS expects: writers queue up, and none fails in the middle
        for pragma in (
            f"busy_timeout = {_BUSY_MS}",
            "foreign_keys = ON",
            "journal_mode = WAL",
            "synchronous = FULL",  # what was submitted is durable when the caller hears so
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return WorkDatabase(engine, str(path), path, lock)


def _lock(path: Path) -> int:
    return os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _share(lock: int, path: Path) -> None:
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                os.close(lock)
                raise ConflictError(f"another process is setting the queue of work at {path} aside") from error
            time.sleep(0.05)


def _postgres(place: str, *, secret: bool) -> WorkDatabase:
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):
        raise UsageError("the address of the queue of work cannot be read", hint=_FORM) from None
    if url.get_backend_name() != "postgresql":
        raise UsageError(f"a queue of work cannot lie in {url.get_backend_name()!r}", hint=_FORM)
    if not secret and (url.password is not None or "password" in url.query):
        raise UsageError(
            "the address of the queue of work has a password in it, which other users of this machine can see",
            hint="put it into the file that PGPASSFILE names, or the address into a file (HOLDFAST_WORK_DB=file:PATH)",
        )
    if not url.database:
        raise UsageError("the address of the queue of work names no database", hint=_FORM)
    shown = url.render_as_string(hide_password=True).partition("?")[0]
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "connect_timeout": 5,
                "application_name": "holdfast-work",
                # A server that vanished without a word is noticed within half a minute.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                "options": "-c idle_in_transaction_session_timeout=60000",
            },
        )
    except ImportError as error:
        raise MissingExtraError(
            "PostgreSQL needs psycopg", hint="pip install 'holdfast[workers,postgres]'", object_name=shown
        ) from error
    except (ArgumentError, NoSuchModuleError):
        raise UsageError("the address of the queue of work cannot be used", hint=_FORM) from None
    return WorkDatabase(engine, shown)


def in_words(error: Exception, shown: str) -> HoldfastError:
    """What went wrong, in the words of this project. Holds nothing of statements and their values."""
    cause: object = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, shown)
    if isinstance(error, TimeoutError):
        return StoreUnreachableError(f"the queue of work at {shown} is too busy to answer", object_name=shown)
    if isinstance(error, DBAPIError) and isinstance(cause, Exception):
        return _of_postgres(error, cause, shown)
    return FailedError(f"the queue of work at {shown} failed: {type(error).__name__}", object_name=shown)


def _of_sqlite(error: sqlite3.Error, shown: str) -> HoldfastError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    text = f"the queue of work at {shown} cannot be used ({error})"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        hint = "`holdfast worker run` sets it aside and begins a new one; runs go on from their journals"
        return DamageError(text, hint=hint, object_name=shown)
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(text, object_name=shown)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT):
        return ConflictError(text, object_name=shown)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return PermissionDeniedError(text, object_name=shown)
    return FailedError(text, object_name=shown)


def _of_postgres(error: DBAPIError, cause: Exception, shown: str) -> HoldfastError:
    state = str(getattr(cause, "sqlstate", None) or "")
    said = next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:300]
    text = f"the queue of work at {shown} cannot be used ({said})"
    if state.startswith("53"):  # insufficient resources: disk full is 53100
        return StorageFullError(text, object_name=shown)
    if state in ("40001", "40P01", "55P03", "23505", "42P07"):  # 42P07: a table that another process has just made
        return ConflictError(text, object_name=shown)
    if state.startswith("28") or "authentication" in said or "no password" in said:
        hint = "put the password into the file that PGPASSFILE names, by default ~/.pgpass"
        return CredentialError(text, hint=hint, object_name=shown)
    if state == "3D000" or ("does not exist" in said and not state):
        return NotFoundError(text, hint="createdb makes it", object_name=shown)
    if state == "42501":
        return PermissionDeniedError(text, object_name=shown)
    if state.startswith("XX"):
        return DamageError(text, hint="see PostgreSQL's own log", object_name=shown)
    if error.connection_invalidated or isinstance(error, InterfaceError) or not state or state[:2] in ("08", "57"):
        return StoreUnreachableError(text, object_name=shown)
    return FailedError(text, object_name=shown)
