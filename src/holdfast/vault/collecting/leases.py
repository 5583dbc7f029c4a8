"""Leases: whoever writes says so, so that a collection waits for it. `design/003-collecting.md`."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
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

__all__ = ["COPYING", "HeldLease", "SeenLease", "seen_leases", "remove_lease"]

OPEN, ENDED = "open", "ended"
COPYING = "copying"  # the purpose of a copy's lease at its target
_NANOSECONDS = 1_000_000_000
_RENEW_AFTER = LEASE_S / 4
_COMMIT_WITHIN = LEASE_S * 3 / 4  # the rest is for clocks that run at different speeds, and for the request itself
_ATTEMPTS = 20
_GENERATION_MAX = 1_000_000  # nobody comes that far by counting


class HeldLease:
    """One's own lease, held while a `with` lasts. `keep` renews it when it is time, and is cheap otherwise.

    Its age is counted from before the request that opened or renewed it: so the holder gives up before the store's
    clock does. It is what this machine's monotonic clock or its wall clock says, whichever is more: the one stands
    still while a machine is suspended, the other may be set back. Thread-safe.
    """

    def __init__(self, handle: Handle, purpose: str) -> None:
        handle.keys.require_writer(purpose)
        self._handle = handle
        self._purpose = purpose
        self._session = secrets.token_hex(8)
        self._generation = 0
        self._counted_from = 0.0
        self._counted_from_ns = 0  # the same on the wall clock
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.opened_ns = 0  # by the store's clock

    @property
    def session(self) -> str:
        return self._session

    def __enter__(self) -> Self:
        self._write(OPEN)
        self.opened_ns = self._handle.store.head(self._key(1)).modified_ns
        threading.Thread(target=self._renew, name="holdfast-lease", daemon=True).start()
        return self

    def _renew(self) -> None:
        """While its holder waits for something else: a check of the user's, a slow line."""
        while not self._over.wait(_RENEW_AFTER / 4):
            with suppress(HoldfastError):  # `require` tells when it is too late
                self.keep()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if error is not None and not isinstance(error, Exception):
            return  # the process ends; so will the lease
        try:
            with self._lock:
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
            if self._age() >= _RENEW_AFTER and not self._over.is_set():
                self.require()
                self._write(OPEN)

    def require(self) -> None:
        """Raises ConflictError unless what was relied upon since the lease began is certainly still there."""
        age = self._age()
        if age >= _COMMIT_WITHIN:
            raise ConflictError(
                f"not committed: by this machine's clocks, this program was out of touch with {self._handle.store.url} "
                f"for {age:.0f} s, and what it relies on may have been collected",
                hint="run it again; what was stored already is not stored twice",
            )

    def now_ns(self) -> int:
        """The store's time: that of a generation written for it."""
        with self._lock:
            self.require()
            self._write(OPEN)
            return self._handle.store.head(self._key(self._generation)).modified_ns

    def _age(self) -> float:
        clock = self._handle.clock
        return max(clock.monotonic() - self._counted_from, (clock.now_ns() - self._counted_from_ns) / _NANOSECONDS)

    def _write(self, state: str) -> None:
        handle = self._handle
        for _ in range(_ATTEMPTS):
            counted_from, now = handle.clock.monotonic(), handle.clock.now_ns()
            record = Lease(self._session, self._purpose, handle.keys.label, state, now)
            key = self._key(self._generation + 1)
            document = write_document(handle.keys, Kind.LEASE, key, encode_record(record))
            is_mine = create_once(handle.store, key, document)
            if not is_mine and not self._generation:
                break  # whoever has the first generation is the holder
            self._generation += 1  # one that is not ours is somebody's who may write, or an earlier try of our own
            if is_mine:
                self._counted_from, self._counted_from_ns = counted_from, now
                return
        raise ConflictError(f"somebody else writes the lease {LEASES}{self._session}/", hint="try again")

    def _key(self, generation: int) -> str:
        return f"{LEASES}{self._session}/{generation:010d}"


class SeenLease(NamedTuple):
    """A lease as a collection sees it. Times are the store's, in ns; `record` is what its holder said last, None where
    that is not known: then it counts as open.
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


def seen_leases(handle: Handle, wanted: Collection[str] | None = None) -> list[SeenLease]:
    """All leases on the store, or those of the `wanted` sessions. One that nobody of this vault began counts for
    nothing, and is left out with a note.

    Whoever may write can add to the lease of somebody else: that ends it for nobody, and hides it from nobody.
    """
    sessions: dict[str, list[ObjectInfo]] = {}
    for info in handle.store.list(LEASES):
        if 0 < (generation_of(info.key) or 0) <= _GENERATION_MAX:
            session = info.key[len(LEASES) : -11]
            if wanted is None or session in wanted:
                sessions.setdefault(session, []).append(info)
    return list(_read_all(handle, sessions))


def _read_all(handle: Handle, sessions: dict[str, list[ObjectInfo]]) -> Iterator[SeenLease]:
    for session, infos in sessions.items():
        infos.sort()
        times = [info.modified_ns for info in infos]
        keys = tuple(info.key for info in infos)
        try:
            record = _said_last(handle, keys)
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
        yield SeenLease(session, min(times), max(times), record, keys)


def _said_last(handle: Handle, keys: tuple[str, ...]) -> Lease | None:
    """What its holder, who wrote the first generation, says in the last one; None where that is another's."""
    record, holder = _read(handle, keys[0])
    if len(keys) == 1:
        return record
    try:
        record, signer = _read(handle, keys[-1])
    except CredentialError as error:
        handle.progress.note(f"passed over, the lease goes on: {error.message}")
        return None
    return record if signer == holder else None


def _read(handle: Handle, key: str) -> tuple[Lease, str]:
    """A generation, and the fingerprint of its signer."""
    opened = read_document(handle.keys, Kind.LEASE, key, handle.store.get(key))
    record = decode_record(opened.body, Lease, key)
    handle.keys.trusted_signer(Kind.LEASE, opened.signer, key)
    return record, opened.signer


def remove_lease(handle: Handle, lease: SeenLease) -> None:
    """Take an ended or expired lease away, its beginning last: what is left of it is never younger than it was."""
    for key in reversed(lease.keys):
        handle.store.delete(key)
