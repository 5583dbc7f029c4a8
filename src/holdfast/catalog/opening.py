"""Opening a catalog: where it is, its tables brought up to date, a file that SQLite cannot read set aside."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, create_engine, func, insert, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from holdfast.catalog.database import BUSY_SECONDS, Database, prepare_sqlite, translated
from holdfast.catalog.models import Info
from holdfast.clock import SYSTEM_CLOCK, Clock, to_rfc3339
from holdfast.errors import (
    ConflictError,
    DamageError,
    FailedError,
    MissingExtraError,
    NotFoundError,
    RefusedError,
    StorageFullError,
    UnsupportedFormatError,
    UsageError,
)

__all__ = ["HEAD", "is_address", "open_catalog", "set_aside"]

HEAD: Final = "0001"
_KNOWN: Final = ("0001",)
_MIGRATING: Final = 0x686F6C64  # of PostgreSQL's advisory lock: "hold"


def is_address(place: str) -> bool:
    """Whether it is the address of a server, and not a path."""
    return "://" in place


def open_catalog(place: str, organisation: str, *, make: bool = True) -> Database:
    """The catalog at a path (SQLite) or an address (`postgresql://user@host/name`), with the tables of this version.

    `make`: create what is not there; else NotFoundError. Raises UsageError for an address that cannot be, or has a
    password in it; UnsupportedFormatError for tables of a newer version; RefusedError for those of another
    organisation; and what `translated` says.
    """
    database = _postgres(place) if is_address(place) else _sqlite(Path(place), make=make)
    try:
        _migrate(database, organisation, make=make)
    except BaseException:
        database.close()
        raise
    return database


def set_aside(path: Path, clock: Clock = SYSTEM_CLOCK) -> Path:
    """Rename a file that is damaged, with what belongs to it. Raises ConflictError while another process uses it."""
    lock = _lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stamp = to_rfc3339(clock.now_ns()).replace(":", "").replace("-", "")
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        for ending in ("-wal", "-shm", ""):
            found = path.with_name(path.name + ending)
            if found.exists():
                found.rename(aside.with_name(aside.name + ending))
        return aside
    except BlockingIOError as error:
        raise ConflictError(
            f"the catalog at {path} is damaged, and another process has it open",
            hint="end it, and try again",
            object_name=str(path),
        ) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be set aside ({error.strerror})", object_name=str(path)) from error
    finally:
        os.close(lock)


def _sqlite(path: Path, *, make: bool) -> Database:
    if not make and not path.exists():
        raise NotFoundError(
            f"there is no catalog at {path}", hint="`holdfast catalog rebuild` makes it", object_name=str(path)
        )
    lock = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(path)
        _shared(lock, path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # names of assets are nobody else's
    except OSError as error:
        if lock is not None:
            os.close(lock)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = StorageFullError if full else FailedError
        raise kind(f"the catalog at {path} cannot be opened ({error.strerror})", object_name=str(path)) from error
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(path)), pool_size=2)
    prepare_sqlite(engine)
    return Database(engine, str(path), path, lock)


def _lock(path: Path) -> int:
    return os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _shared(lock: int, path: Path) -> None:
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise ConflictError(f"another process is setting the catalog at {path} aside") from error
            time.sleep(0.05)


def _postgres(place: str) -> Database:
    try:
        url = make_url(place)
    except (ArgumentError, ValueError) as error:
        raise UsageError("the address of the catalog cannot be read", hint=_FORM) from error
    if url.get_backend_name() != "postgresql":
        raise UsageError(f"a catalog cannot lie in {url.get_backend_name()!r}", hint=_FORM)
    if url.password is not None or "password" in url.query:
        raise UsageError(
            "the address of the catalog has a password in it, which other users of this machine can see",
            hint="put it into the file that PGPASSFILE names, by default ~/.pgpass",
        )
    shown = url.render_as_string(hide_password=True).partition("?")[0]
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "application_name": "holdfast"},
        )
    except ImportError as error:
        raise MissingExtraError(
            "PostgreSQL needs psycopg", hint="pip install 'holdfast[catalog,postgres]'", object_name=shown
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError("the address of the catalog cannot be used", hint=_FORM) from error
    return Database(engine, shown)


_FORM: Final = "a path, or postgresql://USER@HOST:PORT/NAME"


def _migrate(database: Database, organisation: str, *, make: bool) -> None:
    with database.reading() as connection:
        version, whose = _version(connection), None
        if version == HEAD:
            whose = connection.scalar(select(Info.organisation))
    if version == HEAD:
        return _require_own(database, whose, organisation)
    _require_known(database, version)
    if version is None and not make:
        raise NotFoundError(
            f"there is no catalog at {database.shown}",
            hint="`holdfast catalog rebuild` makes it",
            object_name=database.shown,
        )
    _upgrade(database, organisation)
    return None


def _upgrade(database: Database, organisation: str) -> None:
    options = {"holdfast_writing": True}
    try:
        with database.engine.connect().execution_options(**options) as connection, connection.begin():
            if not database.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            version = _version(connection)  # somebody else may have been faster
            if version != HEAD:
                _require_known(database, version)
                _run_alembic(connection)
            if connection.scalar(select(Info.organisation)) is None:
                connection.execute(insert(Info).values(id=1, organisation=organisation))
    except SQLAlchemyError as error:
        raise translated(error, database.shown) from error


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "holdfast.catalog:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _require_known(database: Database, version: str | None) -> None:
    if version is not None and version not in _KNOWN:
        raise UnsupportedFormatError(
            f"the catalog at {database.shown} was made by a newer Holdfast (version {version[:40]!r} of the tables)",
            hint="update Holdfast, or name another place for the catalog of this one",
            object_name=database.shown,
        )


def _require_own(database: Database, found: object, organisation: str) -> None:
    if found is None:
        raise DamageError(f"the catalog at {database.shown} does not say whose it is", object_name=database.shown)
    if found != organisation:
        raise RefusedError(
            f"the catalog at {database.shown} is of {found!r}, and this is {organisation!r}",
            hint="name another place: each organisation has its own",
            object_name=database.shown,
        )
