"""Leases: whoever writes says so, so that a collection waits for it. `design/003-collecting.md`."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    UnsupportedFormatError,
)
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.collecting.safety import LEASE_S
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import LEASES, generation_of
from holdfast.vault.format.records import Lease, decode_record, encode_record
from holdfast.vault.format.series import create_once
from holdfast.vault.handle import Handle

__all__ = ["HeldLease", "SeenLease", "seen_leases", "remove_lease"]

OPEN, ENDED = "open", "ended"
_NANOSECONDS = 1_000_000_000
_RENEW_AFTER = LEASE_S / 4
_COMMIT_WITHIN = LEASE_S * 3 / 4  # the rest is for clocks that run at different speeds, and for the request itself


class HeldLease:
    """One's own lease, held while a `with` lasts. `keep` renews it when it is time, and is cheap otherwise.

    Its age is counted on this process's monotonic clock, from before the request that opened or renewed it: so the
    holder gives up before the store's clock does. Thread-safe.
    """

    def __init__(self, handle: Handle, purpose: str) -> None:
        handle.keys.require_writer(purpose)
        self._handle = handle
        self._purpose = purpose
        self._session = secrets.token_hex(8)
        self._generation = 0
        self._counted_from = 0.0
        self._lock = threading.Lock()
        self.opened_ns = 0  # by the store's clock

    @property
    def session(self) -> str:
        return self._session

    def __enter__(self) -> Self:
        self._write(OPEN)
        self.opened_ns = self._handle.store.head(self._key(1)).modified_ns
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            return  # the process ends; so will the lease
        try:
            self._give_back()
        except HoldfastError as trouble:  # what was to be written is written; a collection waits a little longer
            self._handle.progress.note(f"the lease could not be given back, and expires: {trouble.message}")

    def _give_back(self) -> None:
        handle = self._handle
        if handle.keys.role != "keeper" or handle.store.capabilities.remote:
            # Writers do not delete; and where listings may lag, a collection goes on waiting for a while.
            self._write(ENDED)
            return
        for generation in range(self._generation, 0, -1):
            handle.store.delete(self._key(generation))

    def keep(self) -> None:
        """Renew the lease if a quarter of it is over. Raises ConflictError when it is too late, and what the store
        raises.
        """
        if self._age() < _RENEW_AFTER:
            return
        with self._lock:
            if self._age() >= _RENEW_AFTER:
                self.require()
                self._write(OPEN)

    def require(self) -> None:
        """Raises ConflictError unless what was relied upon since the lease began is certainly still there."""
        age = self._age()
        if age >= _COMMIT_WITHIN:
            raise ConflictError(
                f"not committed: this program was out of touch with {self._handle.store.url} for {age:.0f} s, and what "
                "it relies on may have been collected",
                hint="run it again; what was stored already is not stored twice",
            )

    def now_ns(self) -> int:
        """The store's time: that of a generation written for it."""
        with self._lock:
            self.require()
            self._write(OPEN)
            return self._handle.store.head(self._key(self._generation)).modified_ns

    def _age(self) -> float:
        return self._handle.clock.monotonic() - self._counted_from

    def _write(self, state: str) -> None:
        handle = self._handle
        counted_from = handle.clock.monotonic()
        record = Lease(self._session, self._purpose, handle.keys.label, state, handle.clock.now_ns())
        key = self._key(self._generation + 1)
        if not create_once(handle.store, key, write_document(handle.keys, Kind.LEASE, key, encode_record(record))):
            raise ConflictError(f"{key} exists already", hint="try again")
        self._generation += 1
        self._counted_from = counted_from

    def _key(self, generation: int) -> str:
        return f"{LEASES}{self._session}/{generation:010d}"


class SeenLease(NamedTuple):
    """A lease as a collection sees it. Times are the store's, in ns; `record` is that of the newest generation, None
    where it cannot be read: then it counts as open.
    """

    session: str
    start_ns: int
    newest_ns: int
    record: Lease | None
    keys: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether its holder has given it back."""
        return self.record is not None and self.record.state == ENDED

    def is_active(self, now_ns: int, lease_s: float = LEASE_S, listing_s: float = 0.0) -> bool:
        """Whether its holder may still commit, or has committed what listings that lag by `listing_s` do not show."""
        return now_ns - self.newest_ns < (listing_s if self.is_over else lease_s + listing_s) * _NANOSECONDS


def seen_leases(handle: Handle) -> list[SeenLease]:
    """All leases on the store. One that nobody of this vault signed counts for nothing, and is left out with a note."""
    sessions: dict[str, list[ObjectInfo]] = {}
    for info in handle.store.list(LEASES):
        if generation_of(info.key) is not None:
            sessions.setdefault(info.key[len(LEASES) : -11], []).append(info)
    return list(_read_all(handle, sessions))


def _read_all(handle: Handle, sessions: dict[str, list[ObjectInfo]]) -> Iterator[SeenLease]:
    for session, infos in sessions.items():
        infos.sort()
        newest = max(info.modified_ns for info in infos)
        keys = tuple(info.key for info in infos)
        try:
            record = _read(handle, infos[-1].key)
        except NotFoundError:
            continue  # it was removed meanwhile
        except CredentialError as error:
            handle.progress.note(f"a lease that counts for nothing: {error.message}")
            continue
        except UnsupportedFormatError:
            raise
        except (DamageError, FailedError) as error:
            handle.progress.note(f"a lease that cannot be read counts until it expires: {error.message}")
            record = None
        yield SeenLease(session, infos[0].modified_ns, newest, record, keys)


def _read(handle: Handle, key: str) -> Lease:
    opened = read_document(handle.keys, Kind.LEASE, key, handle.store.get(key))
    record = decode_record(opened.body, Lease, key)
    handle.keys.trusted_signer(Kind.LEASE, opened.signer, key)
    return record


def remove_lease(handle: Handle, lease: SeenLease) -> None:
    """Take an ended or expired lease away, its beginning last: what is left of it is never younger than it was."""
    for key in reversed(lease.keys):
        handle.store.delete(key)
