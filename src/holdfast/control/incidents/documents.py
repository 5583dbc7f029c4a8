"""Small signed documents that lie at several stores and on this machine: incidents, observations, silences, approvals.

Each is created once under a name of its own. A keeper signs it (an observation: any member), in its own name. Written
is what lies on this machine and at every store that answers; what a store lacked is brought to it later. Read is
whatever any of them has. Who may write to a store can put rubbish there: that counts for nothing, and is noted.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from holdfast.clock import NANOSECONDS
from holdfast.control.recovering.trying import each_at_once
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.telling import Place, places_of
from holdfast.errors import FailedError, HoldfastError, ObjectNotFoundError, StoreUnreachableError, UntrustedError
from holdfast.fanout.beside import for_each
from holdfast.homes import state_home
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import store_identity
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys

__all__ = ["HERE", "Documents", "Found", "Written", "new_name", "open_signed", "seal_signed"]

HERE: Final = "this machine"
_LISTED_MAX: Final = 20_000
_BYTES_MAX: Final = 128 << 10
_PATIENCE_S: Final = 5.0
_SILENT_S: Final = 30.0
_NAME: Final = re.compile(r"([0-9]{20})-[0-9a-f]{12}")
_APART_NS: Final = 86_400 * NANOSECONDS
_RUBBISH_MAX: Final = 60

T = TypeVar("T")
U = TypeVar("U")

_silent: dict[str, float] = {}  # store → until when (monotonic seconds) it is not asked again: it hung


class Found(NamedTuple, Generic[T]):
    """A document that was read: at which places it lies."""

    key: str
    what: T
    signer: str
    places: tuple[str, ...]


class Written(NamedTuple):
    """`places`: which have it; `problems`: why others have not."""

    places: tuple[str, ...]
    problems: dict[str, HoldfastError]


def new_name(at_ns: int) -> str:
    """In the order of time, and never used twice."""
    return f"{at_ns:020d}-{os.urandom(6).hex()}"


def _time_in(key: str) -> int:
    """As `new_name` put it into a key (ns); long ago, where it is no such name."""
    match = _NAME.fullmatch(key.rpartition("/")[2])
    return int(match[1]) if match else -1 << 62


def seal_signed(keys: VaultKeys, key: str, body: bytes, *, keeper: bool = True) -> bytes:
    """Raises CredentialError, UntrustedError without a key that counts."""
    if keeper:
        keys.require_keeper("telling of an incident")
    else:
        keys.require_writer("telling what was observed")
    return write_document(keys, Kind.LEASE, key, body)


def open_signed(keys: VaultKeys, key: str, data: bytes, *, keeper: bool = True) -> tuple[bytes, str, int | None]:
    """The body, the label of who signed it, and since when that key is revoked (ns; None: it is not).

    Raises DamageError, UntrustedError, CredentialError.
    """
    opened = read_document(keys, Kind.LEASE, key, data)
    signer = keys.trusted_signer(Kind.CONFIG if keeper else Kind.LEASE, opened.signer, key)
    return opened.body, signer.label, signer.revoked


def _each(places: Mapping[str, Place], work: Callable[[Place], U]) -> tuple[dict[str, U], dict[str, HoldfastError]]:
    """All at once. A place that hung a moment ago is not waited for again: a round has to end."""
    began = time.monotonic()
    hung = {name for name, place in places.items() if _silent.get(store_identity(place.store), 0.0) > began}
    asked = {name: place for name, place in places.items() if name not in hung}
    answers, problems = each_at_once(asked, work, _PATIENCE_S)
    if time.monotonic() - began >= _PATIENCE_S:
        for name, error in problems.items():
            if isinstance(error, StoreUnreachableError):
                _silent[store_identity(places[name].store)] = time.monotonic() + _SILENT_S
    for name in hung:
        problems[name] = StoreUnreachableError(f"{name} hung a moment ago, and is asked again soon", object_name=name)
    return answers, problems


class Documents(Generic[T]):
    """Documents under one prefix. `decode`: from the key and the body. `by_at`: who speaks in it (empty: nobody in
    particular), and when (ns): nobody speaks in another's name, or after the key was revoked.

    For several threads.
    """

    def __init__(
        self,
        sites: DeclaredSites,
        keys: VaultKeys,
        prefix: str,
        decode: Callable[[str, bytes], T],
        by_at: Callable[[T], tuple[str, int]],
        *,
        keeper: bool = True,
    ) -> None:
        self._sites, self._keys, self.prefix, self._decode, self._by_at = sites, keys, prefix, decode, by_at
        self._keeper = keeper
        self._known: dict[tuple[str, str], Found[T] | None] = {}
        self.unread: list[str] = []
        """Keys that `read` saw last time, and of which it does not know what lies there."""
        self.flooded: set[str] = set()
        """Places with more objects than `read` looks at, as of the last time."""
        self._lock = threading.Lock()

    def places(self) -> list[Place]:
        """This machine first, then the stores where snapshots come first."""
        there = [place for place in places_of(self._sites) if not place.vault]
        home = state_home(self._sites.environment)
        if home is None:
            return there
        folder = home / "holdfast" / "incidents" / self._sites.config.organisation
        return [Place(HERE, "", LocalStore(folder)), *there]

    def write(self, key: str, body: bytes) -> Written:
        """Durable at the places that are named. Raises FailedError where it lies nowhere, and what signing raises."""
        sealed = seal_signed(self._keys, key, body, keeper=self._keeper)
        if len(sealed) > _BYTES_MAX:  # nobody would read it
            raise FailedError(f"{key} would have {len(sealed)} bytes, and {_BYTES_MAX} are the most", object_name=key)
        places = {place.name: place for place in self.places()}

        def create(place: Place) -> None:
            place.store.create(key, sealed)

        given, problems = _each(places, create)
        if not given:
            why = "; ".join(error.message for error in problems.values())
            raise FailedError(f"{key} could be written nowhere ({why})", object_name=key)
        return Written(tuple(given), problems)

    def read(self, below: str = "", newest: int = 0) -> tuple[list[Found[T]], dict[str, HoldfastError]]:
        """All that any place has under the prefix, each once, and which places did not answer. `newest`: only so many
        of the last names in each folder.

        Each is read from the first place that has it, this machine before others; from the next, where that is rubbish.
        """
        places = {place.name: place for place in self.places()}

        def listed(place: Place) -> dict[str, int]:
            return self._listed(place, self.prefix + below, newest)

        answers, problems = _each(places, listed)
        holders: dict[str, list[str]] = {}
        for name, keys in answers.items():
            for key in keys:
                holders.setdefault(key, []).append(name)
        found: dict[str, Found[T]] = {}
        untried = {key: list(names) for key, names in holders.items()}
        unread: set[str] = set()
        while untried:
            groups: dict[str, list[tuple[str, int]]] = {}
            for key, names in untried.items():
                groups.setdefault(names[0], []).append((key, answers[names[0]][key]))

            def take(place: Place, groups: dict[str, list[tuple[str, int]]] = groups) -> dict[str, Found[T]]:
                return self._taken(place, groups[place.name])

            read, failed = _each({name: places[name] for name in groups}, take)
            problems |= failed
            for taken in read.values():
                found |= taken
            unread |= {key for key, names in untried.items() if names[0] in failed}
            untried = {key: names[1:] for key, names in untried.items() if key not in found and names[1:]}
        self.unread = sorted(unread - found.keys())
        return [found[key]._replace(places=tuple(holders[key])) for key in sorted(found)], problems

    def remove(self, keys: Iterable[str]) -> None:
        """What nobody needs any more, wherever it lies; a store that keeps it (a lock) is not asked again."""

        def delete(place: Place) -> None:
            for key in named:
                try:
                    place.store.delete(key)
                except HoldfastError as error:
                    self._sites.progress.note(f"{place.name}: {key} stays ({error.message})")
                    return

        named = list(keys)
        if named:
            _each({place.name: place for place in self.places()}, delete)

    def spread(self, found: Iterable[Found[T]], keys: Iterable[str], *, only: str | None = None) -> None:
        """Bring the documents with these keys to the places that lack them, as far as they answer; to `only` this one,
        where it is named.
        """
        wanted = set(keys)
        there = {one.key: set(one.places) for one in found if one.key in wanted}
        places = {place.name: place for place in self.places()}

        def give(place: Place) -> None:
            for key, has in there.items():
                if place.name in has:
                    continue
                data = self._sound(key, [places[name] for name in places if name in has])
                if data is None:
                    continue
                try:
                    place.store.create(key, data)
                except HoldfastError as error:
                    if error.code != "already-exists":
                        raise

        _each({name: place for name, place in places.items() if only in (None, name)}, give)

    def _sound(self, key: str, sources: Iterable[Place]) -> bytes | None:
        """The bytes of the first of these that has more there than a name: rubbish is carried nowhere."""
        for source in sources:
            try:
                self._opened(source, key, 0)
                return source.store.get(key)
            except HoldfastError:
                continue
        return None

    def _listed(self, place: Place, prefix: str, newest: int) -> dict[str, int]:
        """Key → when it was written, as the store says (ns)."""
        listed: dict[str, int] = {}
        self.flooded.discard(place.name)
        for number, info in enumerate(place.store.list(prefix), start=1):
            if info.size <= _BYTES_MAX:
                listed[info.key] = info.modified_ns
            if number >= _LISTED_MAX:
                self._sites.progress.note(f"{place.name}: more than {_LISTED_MAX} objects under {prefix}")
                self.flooded.add(place.name)
                break
        if not newest:
            return listed
        by_folder: dict[str, list[str]] = {}
        for key in sorted(listed):
            by_folder.setdefault(key.rpartition("/")[0], []).append(key)
        now = self._sites.clock.now_ns()
        chosen: dict[str, int] = {}
        for several in by_folder.values():
            # Anybody who may write to a store can add names: those that nobody here gives, or of another time, are not
            # taken for the newest, and of the others more are read than are wanted.
            given = [key for key in several if abs(_time_in(key) - now) <= _APART_NS]
            chosen |= {key: listed[key] for key in given[-newest - _RUBBISH_MAX :]}
        return chosen

    def _taken(self, place: Place, wanted: list[tuple[str, int]]) -> dict[str, Found[T]]:
        """Those of these objects that count, by key."""
        where = store_identity(place.store)
        found: dict[str, Found[T]] = {}

        def one(asked: tuple[str, int]) -> None:
            opened = self._one(place, where, *asked)
            if opened is not None:
                found[asked[0]] = opened

        for_each(one, wanted)
        return found

    def _one(self, place: Place, where: str, key: str, modified: int) -> Found[T] | None:
        with self._lock:
            if (where, key) in self._known:
                return self._known[where, key]
        try:
            found = self._opened(place, key, modified)
        except ObjectNotFoundError:
            return None
        except HoldfastError as error:
            if error.retry or error.code == "permission-denied":
                raise
            self._sites.progress.note(f"{place.name}: {key} counts for nothing: {error.message}")
            found = None
        with self._lock:
            if len(self._known) > 4 * _LISTED_MAX:
                self._known.clear()
            self._known[where, key] = found
        return found

    def _opened(self, place: Place, key: str, modified: int) -> Found[T]:
        body, label, revoked = open_signed(self._keys, key, place.store.get(key), keeper=self._keeper)
        what = self._decode(key, body)
        by, at = self._by_at(what)
        if revoked is not None and max(at, modified if place.name != HERE else 0) >= revoked:
            raise UntrustedError(f"{key} was signed by {label!r} after that key was revoked", object_name=key)
        if by and by.partition("/")[0] != label:
            raise UntrustedError(f"{key} speaks for {by!r}, and was signed by {label!r}", object_name=key)
        return Found(key, what, label, (place.name,))
