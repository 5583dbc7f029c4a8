"""The databases of a server and its workers, copied into a folder while they are in use.

SQLite's own backup (https://sqlite.org/backup.html) copies all pages of one moment, and keeps nobody from writing: each
file is whole in itself, and they are of moments a little apart, which does no harm (design/010: the truth is at the
stores). PostgreSQL is dumped by `pg_dump`, where that is installed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.errors import DamageError, FailedError, HoldfastError, StorageFullError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["MANIFEST", "Part", "StateManifest", "copy_databases"]

MANIFEST: Final = "manifest.json"
_CATALOG_MAX: Final = 256 << 20
_DUMP_S: Final = 600.0
_GIVEN: Final = ("PATH", "HOME", "LANG")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A database. `file`: in the folder, empty where it is `left_out`, and why. `bytes`: of the copy."""

    name: str
    place: str
    file: str = ""
    bytes: int = 0
    left_out: str = ""


class StateManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `at`: RFC 3339."""

    version: int = 1
    organisation: str
    host: str
    at: str
    software: str
    parts: list[Part]


def copy_databases(service: Service, kept: Path, folder: Path) -> list[Part]:
    """Sessions and answers (`kept`), the queue of work, the catalog; what cannot be copied is said in its part, but for
    the first, without which there is no backup. Raises FailedError, StorageFullError, DamageError.
    """
    name = f"{service.organisation}.sqlite"
    sessions = _copied("server", str(kept), kept, folder, f"server/{name}")
    return [sessions, _queue(service, folder, name), _catalog(service, folder, name)]


def _copied(name: str, place: str, source: Path, folder: Path, file: str) -> Part:
    copy_sqlite(source, folder / file)
    return Part(name=name, place=place, file=file, bytes=(folder / file).stat().st_size)


def copy_sqlite(source: Path, target: Path) -> None:
    """All of one moment, and looked through. Raises FailedError, StorageFullError, DamageError."""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as read,
            closing(sqlite3.connect(target)) as written,
        ):
            read.backup(written)
            written.execute("PRAGMA journal_mode = DELETE").close()  # one file, without a log beside it
            [said] = written.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (28, 122)
        kind = StorageFullError if full else DamageError if code in (11, 26) else FailedError
        raise kind(f"{source} cannot be copied ({error})", object_name=str(source)) from error
    if said != "ok":
        raise DamageError(f"{source} is damaged ({str(said)[:200]})", object_name=str(source))


def _queue(service: Service, folder: Path, name: str) -> Part:
    from holdfast.control.working.database import default_place, revealed_place

    shown = getattr(service.workflows, "shown", "the queue of work")
    try:
        place = default_place(service.organisation, service.environment)
        address, _ = revealed_place(place, service.loaded.folder, service.environment)
        if "://" in address:
            file = f"work/{service.organisation}.pgdump"
            _dumped(address, folder / file, service.environment)
            return Part(name="queue", place=shown, file=file, bytes=(folder / file).stat().st_size)
        if not Path(address).exists():
            return Part(name="queue", place=shown, left_out="there is none")
        return _copied("queue", shown, Path(address), folder, f"work/{name}")
    except StorageFullError:
        raise
    except HoldfastError as error:
        shutil.rmtree(folder / "work", ignore_errors=True)  # half a copy is none
        return Part(name="queue", place=shown, left_out=error.message)


def _catalog(service: Service, folder: Path, name: str) -> Part:
    shown = service.catalog_place.rpartition("@")[2]
    again = "`holdfast catalog rebuild` makes it from the sites"
    path = Path(service.catalog_place)
    if "://" in service.catalog_place:
        return Part(name="catalog", place=shown, left_out=f"it lies in PostgreSQL, and {again}")
    try:
        size = path.stat().st_size
        if size > _CATALOG_MAX:
            return Part(name="catalog", place=shown, left_out=f"it has {size} bytes, and {again}")
        return _copied("catalog", shown, path, folder, f"catalog/{name}")
    except FileNotFoundError:
        return Part(name="catalog", place=shown, left_out="there is none")
    except StorageFullError:
        raise
    except (HoldfastError, OSError) as error:
        shutil.rmtree(folder / "catalog", ignore_errors=True)
        return Part(name="catalog", place=shown, left_out=f"{error}: {again}")


def _dumped(address: str, target: Path, environment: Mapping[str, str]) -> None:
    """The whole database, in `pg_dump`'s own format. The password stands in no argument. Raises FailedError."""
    from sqlalchemy import make_url

    program = shutil.which("pg_dump", path=environment.get("PATH"))
    if program is None:
        raise FailedError("it lies in PostgreSQL, and pg_dump is not installed here: back it up where it lies")
    url = make_url(address)
    password = url.password if url.password is not None else url.query.get("password")
    given = {name: value for name, value in environment.items() if name in _GIVEN or name.startswith("PG")}
    if password is not None:
        given["PGPASSWORD"] = str(password)
    plain = url.set(drivername="postgresql", password=None).difference_update_query(["password"]).render_as_string()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [program, "--format=custom", "--no-owner", "--no-password", f"--file={target}", f"--dbname={plain}"]
    try:
        done = subprocess.run(command, env=given, capture_output=True, timeout=_DUMP_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedError(f"pg_dump did not end ({type(error).__name__})") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise FailedError(f"pg_dump failed: {lines[-1][:300]}")
