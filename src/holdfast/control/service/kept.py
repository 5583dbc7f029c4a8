"""What a server keeps for itself: sessions, tokens, codes of devices, answers to requests that may come again.

An SQLite file of mode 600; `kept_tables.py` has its tables. Nothing of it is a truth about vaults: whoever deletes it
signs people out, and a request that is repeated afterwards is a new one. Of secrets only SHA-256 is kept; they are
random, so that is enough.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.control.service.kept_rows import Answer, Claim, DeviceCode, SessionRow, TokenRow
from holdfast.control.service.kept_tables import prepare, require_known
from holdfast.control.service.renewing import Renewing
from holdfast.control.working.processes import machine_of, process_of
from holdfast.errors import ConflictError, FailedError, HoldfastError, StorageFullError, UnsupportedFormatError
from holdfast.homes import state_home

__all__ = ["Answer", "Claim", "DeviceCode", "Kept", "SessionRow", "TokenRow", "digest_of", "kept_place"]

_BUSY_S: Final = 30.0
_LEASE_NS: Final = 30 * NANOSECONDS


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
    """For many threads; a few servers of one machine may share it. Raises FailedError, StorageFullError, and
    UnsupportedFormatError for a file of a newer version.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._process = f"{machine_of()}|{process_of(os.getpid())}"
        self._renewing = Renewing(lambda: self.renew_claims(clock.now_ns()))
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
            require_known(database, str(self.path))
            database.execute("PRAGMA journal_mode = WAL").close()
            database.execute("PRAGMA synchronous = FULL").close()
            prepare(database, str(self.path))
            return database
        except UnsupportedFormatError:
            assert database is not None
            database.close()
            raise
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
                except BaseException:  # whoever breaks off, by a Ctrl-C too: nothing half is kept
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK").close()
                    raise
            except sqlite3.Error as error:
                full = "full" in str(error)
                kind = StorageFullError if full else FailedError
                raise kind(f"{self.path} cannot be written ({error})", object_name=str(self.path)) from error

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with self._lock:
            try:
                found: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
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
        return None if found is None else SessionRow(*found)

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
        return None if found is None else TokenRow(*found)

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
        return None if found is None else DeviceCode(*found)

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

    def begin_answer(self, key: bytes, body: bytes, at: int, *, forget_before: int) -> Answer | Claim:
        """A claim: nobody else does this request while it holds. Else what was answered; or that another body has this
        key. Raises ConflictError while somebody does it, here or in another server of this file.

        What a server had that was killed is claimed by the next who asks: at once in the same machine (and container),
        elsewhere after 30 s.
        """
        with self._writing() as database:
            database.execute("DELETE FROM answers WHERE at < ?", (forget_before,))
            database.execute(
                "INSERT INTO answers (key, body, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, body, at)
            )
            query = "SELECT body, at, memo, status, headers, content, process, lease FROM answers WHERE key = ?"
            *found, process, lease = database.execute(query, (key,)).fetchone()
            known = Answer(*found)
            if known.body != body or known.status is not None:
                return known
            if process and self._is_alive(process, lease, at):
                raise ConflictError("the same request is being done now", hint="wait a moment, and send it again")
            claim = Claim(key, secrets.token_hex(8), known.memo)
            now = (claim.name, self._process, at + _LEASE_NS, key)
            database.execute("UPDATE answers SET claim = ?, process = ?, lease = ? WHERE key = ?", now)
        self._renewing.add(claim)
        return claim

    def _is_alive(self, process: str, lease: int, at: int) -> bool:
        machine, _, name = process.rpartition("|")
        if machine and machine == machine_of():
            pid = name.partition("/")[0]
            return pid.isascii() and pid.isdigit() and len(pid) < 12 and process_of(int(pid)) == name
        return at < lease <= at + 2 * _LEASE_NS  # else it is of a wrong clock

    def note_memo(self, claim: Claim, memo: bytes) -> None:
        """Before the request acts. Raises ConflictError where somebody else does it by now."""
        self._mine(claim, "memo = ?", memo)

    def end_answer(self, claim: Claim, status: int, headers: bytes, content: bytes) -> None:
        """What was answered. Raises ConflictError where somebody else does it by now: what they come to counts."""
        self._mine(claim, "process = '', status = ?, headers = ?, content = ?", status, headers, content)

    def _mine(self, claim: Claim, change: str, *values: object) -> None:
        with self._writing() as database:
            query = f"UPDATE answers SET {change} WHERE key = ? AND claim = ? AND status IS NULL"  # noqa: S608
            if database.execute(query, (*values, claim.key, claim.name)).rowcount != 1:
                raise ConflictError("this request was taken over by another server", hint="send it again")

    def release(self, claim: Claim, *, forget: bool) -> None:
        """The request is not done here any more. `forget`: it did not do anything; else it goes on by what was noted
        when it comes again. After `end_answer` nothing is left to release.
        """
        self._renewing.discard(claim)
        try:
            self._release(claim, forget=forget)
        except HoldfastError:
            self._renewing.release_later(claim, forget=forget)
            raise

    def _release(self, claim: Claim, *, forget: bool) -> None:
        what = "DELETE FROM answers" if forget else "UPDATE answers SET process = '', lease = 0"
        with self._writing() as database:
            database.execute(f"{what} WHERE key = ? AND claim = ? AND status IS NULL", (claim.key, claim.name))
        self._renewing.released(claim)

    def renew_claims(self, at: int) -> None:
        """What is done here goes on being done here. Called every few seconds (`Renewing`)."""
        for claim, forget in self._renewing.to_release().items():
            self._release(claim, forget=forget)
        held = self._renewing.held()
        with self._writing() as database:
            for claim in held:
                query = "UPDATE answers SET lease = ? WHERE key = ? AND claim = ? AND status IS NULL"
                database.execute(query, (at + _LEASE_NS, claim.key, claim.name))

    def close(self) -> None:
        """Afterwards nothing works any more."""
        self._renewing.stop()
        with self._lock:
            self._database.close()
