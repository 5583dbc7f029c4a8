"""What a server keeps for itself: sessions, tokens, codes of devices, answers to requests that may come again.

An SQLite file of mode 600. Nothing of it is a truth about vaults: whoever deletes it signs people out, and a request
that is repeated afterwards is a new one. Of secrets only SHA-256 is kept; they are random, so that is enough.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.errors import FailedError, HoldfastError, StorageFullError
from holdfast.homes import state_home

__all__ = ["Answer", "DeviceCode", "Kept", "SessionRow", "TokenRow", "digest_of", "kept_place"]

_BUSY_S: Final = 30.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sessions (digest BLOB PRIMARY KEY, csrf TEXT NOT NULL, who BLOB NOT NULL,
  begun INTEGER NOT NULL, seen INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (digest BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
  who BLOB NOT NULL, scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (digest BLOB PRIMARY KEY, code TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
  scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL, polled INTEGER NOT NULL, answer TEXT NOT NULL,
  who BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL,
  memo BLOB, status INTEGER, headers BLOB, content BLOB) WITHOUT ROWID;
"""
_VERSION: Final = 1


class SessionRow(NamedTuple):
    """Times are ns. `who`: a `Known`, encoded."""

    csrf: str
    who: bytes
    begun: int
    seen: int
    until: int


class TokenRow(NamedTuple):
    """`scopes`: actions and groups, with spaces between; None: no limit but the person's own."""

    id: str
    label: str
    who: bytes
    scopes: str | None
    begun: int
    until: int


class DeviceCode(NamedTuple):
    """`answer`: empty until a person says `allow` or `deny`; `taken` once a token was made of it."""

    code: str
    label: str
    scopes: str | None
    begun: int
    until: int
    polled: int
    answer: str
    who: bytes | None


class Answer(NamedTuple):
    """`body`: SHA-256 of what was asked. `memo`: what the verb noted before it acted. `status`: None until answered."""

    body: bytes
    at: int
    memo: bytes | None
    status: int | None
    headers: bytes | None
    content: bytes | None


def _is_damage(error: BaseException | None) -> bool:
    """Whether there is no database in the file that could be read. Waiting helps with everything else."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def kept_place(organisation: str, environment: Mapping[str, str]) -> Path:
    """Raises FailedError for a user without a home."""
    home = state_home(environment)
    if home is None:
        raise FailedError("there is no home folder to keep sessions in", hint="set XDG_STATE_HOME")
    return home / "holdfast" / "server" / f"{organisation}.sqlite"


class Kept:
    """For many threads; a few servers of one machine may share it. Raises FailedError, StorageFullError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise FailedError(f"{path} cannot be opened ({error.strerror})", object_name=str(path)) from error
        try:
            self._database = self._open()
        except HoldfastError as error:  # it holds nothing that cannot be had again: sessions, and recent answers
            if not _is_damage(error.__cause__):  # a busy file, or a full disk: another server may be using it
                raise
            aside = path.with_name(f"{path.name}.damaged")
            try:
                path.rename(aside)
                for ending in ("-wal", "-shm"):
                    path.with_name(path.name + ending).unlink(missing_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
                self._database = self._open()
            except OSError as trouble:
                raise error from trouble

    def _open(self) -> sqlite3.Connection:
        database = None
        try:
            database = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL").close()
            database.execute("PRAGMA synchronous = FULL").close()
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;").close()
            return database
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            raise FailedError(f"{self.path} cannot be opened ({error})", object_name=str(self.path)) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE").close()
                try:
                    yield self._database
                    self._database.execute("COMMIT").close()
                except BaseException:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK").close()
                    raise
            except sqlite3.Error as error:
                full = "full" in str(error)
                kind = StorageFullError if full else FailedError
                raise kind(f"{self.path} cannot be written ({error})", object_name=str(self.path)) from error

    def _one(self, query: str, *values: object) -> tuple[object, ...] | None:
        with self._lock:
            try:
                found: tuple[object, ...] | None = self._database.execute(query, values).fetchone()
                return found
            except sqlite3.Error as error:
                raise FailedError(f"{self.path} cannot be read ({error})", object_name=str(self.path)) from error

    # Sessions

    def add_session(self, secret: str, row: SessionRow) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM sessions WHERE until < ?", (row.begun,))
            database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", (digest_of(secret), *row))

    def session(self, secret: str) -> SessionRow | None:
        found = self._one("SELECT csrf, who, begun, seen, until FROM sessions WHERE digest = ?", digest_of(secret))
        return None if found is None else SessionRow(*found)  # type: ignore[arg-type]

    def touch_session(self, secret: str, seen: int) -> None:
        with self._writing() as database:
            database.execute("UPDATE sessions SET seen = ? WHERE digest = ?", (seen, digest_of(secret)))

    def end_session(self, secret: str) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM sessions WHERE digest = ?", (digest_of(secret),))

    # Tokens that a person gave to a device

    def add_token(self, secret: str, row: TokenRow) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM tokens WHERE until < ?", (row.begun,))
            database.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", (digest_of(secret), *row))

    def token(self, secret: str) -> TokenRow | None:
        found = self._one("SELECT id, label, who, scopes, begun, until FROM tokens WHERE digest = ?", digest_of(secret))
        return None if found is None else TokenRow(*found)  # type: ignore[arg-type]

    def end_token(self, secret: str) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM tokens WHERE digest = ?", (digest_of(secret),))

    # Devices that wait for a person

    def add_device(self, secret: str, row: DeviceCode, *, most: int) -> bool:
        """False where `most` wait already: nobody fills the disk with codes."""
        with self._writing() as database:
            database.execute("DELETE FROM devices WHERE until < ?", (row.begun,))
            [waiting] = database.execute("SELECT count(*) FROM devices").fetchone()
            if waiting >= most:
                return False
            database.execute("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (digest_of(secret), *row))
            return True

    def device(self, secret: str) -> DeviceCode | None:
        return self._device("digest", digest_of(secret))

    def device_of_code(self, code: str) -> DeviceCode | None:
        return self._device("code", code)

    def _device(self, column: str, value: object) -> DeviceCode | None:
        query = f"SELECT code, label, scopes, begun, until, polled, answer, who FROM devices WHERE {column} = ?"  # noqa: S608
        found = self._one(query, value)
        return None if found is None else DeviceCode(*found)  # type: ignore[arg-type]

    def poll_device(self, secret: str, at: int) -> None:
        with self._writing() as database:
            database.execute("UPDATE devices SET polled = ? WHERE digest = ?", (at, digest_of(secret)))

    def answer_device(self, code: str, answer: str, who: bytes, at: int) -> bool:
        """False where nobody waits for it (any more), or it was answered."""
        with self._writing() as database:
            done = database.execute(
                "UPDATE devices SET answer = ?, who = ? WHERE code = ? AND answer = '' AND until > ?",
                (answer, who, code, at),
            )
            return done.rowcount == 1

    def take_device(self, secret: str, token: str, row: TokenRow) -> bool:
        """Make the token of a device that was allowed, once. False where somebody took it before."""
        with self._writing() as database:
            done = database.execute(
                "UPDATE devices SET answer = 'taken' WHERE digest = ? AND answer = 'allow'", (digest_of(secret),)
            )
            if done.rowcount != 1:
                return False
            database.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", (digest_of(token), *row))
            return True

    # Answers to requests that may come again

    def begin_answer(self, key: bytes, body: bytes, at: int, *, forget_before: int) -> Answer | None:
        """None: this request is the first of that key, and is noted now. Else what is known of the first one."""
        with self._writing() as database:
            database.execute("DELETE FROM answers WHERE at < ?", (forget_before,))
            done = database.execute(
                "INSERT INTO answers (key, body, at) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", (key, body, at)
            )
            if done.rowcount == 1:
                return None
            query = "SELECT body, at, memo, status, headers, content FROM answers WHERE key = ?"
            return Answer(*database.execute(query, (key,)).fetchone())

    def note_memo(self, key: bytes, memo: bytes) -> None:
        with self._writing() as database:
            database.execute("UPDATE answers SET memo = ? WHERE key = ?", (memo, key))

    def end_answer(self, key: bytes, status: int, headers: bytes, content: bytes) -> None:
        with self._writing() as database:
            database.execute(
                "UPDATE answers SET status = ?, headers = ?, content = ? WHERE key = ?", (status, headers, content, key)
            )

    def forget_answer(self, key: bytes) -> None:
        """The request did not do anything: it may be sent again."""
        with self._writing() as database:
            database.execute("DELETE FROM answers WHERE key = ? AND status IS NULL", (key,))

    def close(self) -> None:
        """Afterwards nothing works any more."""
        with self._lock:
            self._database.close()
