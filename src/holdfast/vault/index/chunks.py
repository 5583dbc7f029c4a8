"""`ChunkIndex`: which pack holds which chunk, from a database on this machine."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple, TypeVar

from holdfast.errors import DamageError, FailedError, HoldfastError, NotFoundError, WrongKeyError
from holdfast.events import SILENT, Progress
from holdfast.ids import ChunkId, PackId
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.format.packs import ChunkPlace
from holdfast.vault.format.records import PackTable
from holdfast.vault.index.columns import Columns, check_table
from holdfast.vault.index.facts import SCHEMA, VERSION, Claim, Facts, Saying
from holdfast.vault.index.loading import read_footers, take_index_objects
from holdfast.vault.index.objects import pack_of_key, read_pack_table
from holdfast.vault.index.trust import Ranks, believe, ranks_of
from holdfast.vault.local_cache import open_cache, replace_cache, temporary_cache

__all__ = ["ChunkIndex", "Located", "NoIndexError"]

_BELIEFS_MAX = 1 << 16  # about 30 MiB
_RECENT_MAX = 64  # more packs than a save stores between two index objects

T = TypeVar("T")


class NoIndexError(HoldfastError):
    """This machine cannot keep an index of no store. It is no word on a pack, and so no `FailedError`, which whoever
    goes through packs takes down as what is wrong with one.
    """


class Located(NamedTuple):
    """A chunk's pack, that pack's size in bytes, and the place in it."""

    pack: PackId
    pack_size: int
    place: ChunkPlace


class _Base:
    """A database, and what follows from it for the tables that were looked up: the claim that holds, or None."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.beliefs: dict[int, Claim | None] = {}


class ChunkIndex:
    """Looks chunks up. Safe for several threads; a look-up reads the disk of this machine, never the store.

    What an index object says is its signer's word; what a pack's own footer says is bound to the pack's name. So a
    footer replaces what was said before, and where two signers differ, neither is believed.

    What was read once is kept in a database that all processes of this user share (`local_cache`). Who counts, and
    what was forgotten, is each index's own. An error of the database never reaches the caller while the store can
    tell the same: the index goes on with an empty one, and fills it from there.
    """

    def __init__(
        self, suite: int, facts: Facts | None = None, *, origin: tuple[Store, VaultKeys] | None = None
    ) -> None:
        """Of no store, in a temporary file, unless told otherwise."""
        self._suite = suite
        self._origin = origin
        self._ranks: Ranks | None = ranks_of(origin[1]) if origin is not None else None
        self._base = _Base(facts or Facts(temporary_cache(SCHEMA)))
        self._forgotten: set[PackId] = set()
        self._seen: set[PackId] = set()  # packs whose footer this very index was told
        self._recent: deque[tuple[PackId, Columns]] = deque(maxlen=_RECENT_MAX)
        self._lock = threading.RLock()
        self.problems: list[HoldfastError] = []

    @classmethod
    def load(cls, store: Store, keys: VaultKeys, before: ChunkIndex | None = None) -> ChunkIndex:
        """Whatever the store's index objects say whose signers were not revoked. Only new ones are read.

        A damaged one is kept in `problems`, its packs are simply not known here; nor are those that two index objects
        describe differently. `before`: an index of the same store and keys, whose database is used again.
        """
        if before is None:
            # Apart, for the word of whoever read footers is as good as a footer: a writer must not take another's.
            mark = "" if keys.can_read or keys.signer is None else f"-{fingerprint(keys.signer.public)}"
            facts = Facts(open_cache(keys.vault, store, f"index{mark}", schema=SCHEMA, version=VERSION))
        else:
            facts = before._base.facts
        index = cls(keys.suite, facts, origin=(store, keys))
        index._attempt(index._fill)
        return index

    def add(self, pack: PackId, size: int, table: PackTable, *, signer: str = "") -> None:
        """Take in one pack. Of several places of a chunk the first known one comes first. Raises DamageError.

        `signer`: fingerprint of whoever lists the pack; empty where its own footer does.
        """
        columns = check_table(table, self._suite, pack_key(pack), size)
        if not signer:
            with self._lock:
                self._recent.append((pack, columns))
        while not self._took(self._attempt(lambda base: self._take(base, pack, columns, signer)), pack, signer):
            pass  # another thread has replaced the database meanwhile, and perhaps not known of this pack

    def _took(self, base: _Base, pack: PackId, signer: str) -> bool:
        with self._lock:
            if self._base is not base:
                return False
            self._forgotten.discard(pack)
            if not signer:
                self._seen.add(pack)
            return True

    def forget_pack(self, pack: PackId) -> None:
        """The pack is gone or damaged: its chunks are no longer known from there, only from other packs.

        Not to anybody else: it may be back tomorrow, from a replica.
        """
        with self._lock:
            self._forgotten.add(pack)

    def signer_of(self, pack: PackId) -> str:
        """Fingerprint (hex) of the signer who lists the pack; empty when it is known from its own footer."""
        known = self._known(pack)
        return known.signer or "" if known is not None else ""

    def find(self, chunk: ChunkId) -> Located | None:
        return next(iter(self.places(chunk)), None)

    def places(self, chunk: ChunkId) -> list[Located]:
        """Everywhere that the chunk lies."""
        return self._attempt(lambda base: self._places(base, chunk))

    def packs(self) -> dict[PackId, int]:
        """Known packs and their sizes. Goes through all of them; see `size_of`."""
        return {claim.pack: claim.size for claim in self._believed()}

    def listed(self) -> set[PackId]:
        """Known packs that an index object lists; of the others, only this machine knows without their footers."""
        claims = self._attempt(lambda base: base.facts.all_claims())
        signed = {claim.number for claim in claims if claim.signer is not None and self._counts(claim.signer)}
        return {claim.pack for claim in self._believed() if claim.number in signed}

    def size_of(self, pack: PackId) -> int | None:
        """The size of a known pack."""
        known = self._known(pack)
        return None if known is None else known.size

    def table(self, pack: PackId) -> PackTable | None:
        """The table of a known pack."""
        known = self._known(pack)
        return None if known is None else self._attempt(lambda base: base.facts.table(known.number))

    def __len__(self) -> int:
        """Number of chunks, each counted in every pack that holds it."""
        return sum(claim.chunks for claim in self._believed())

    def add_unlisted(self, store: Store, keys: VaultKeys, progress: Progress = SILENT) -> list[str]:
        """Read the footers of packs that no index lists. Returns the keys of those that cannot be read.

        Whatever they held is then not found. Packs that were forgotten stay so.
        """
        return self._read_footers(store, keys, progress, lambda pack, known: pack in known)

    def distrust(self, store: Store, keys: VaultKeys, progress: Progress = SILENT) -> list[str]:
        """Read the footers of all packs but those whose footer this index was told: an index object may have lied, or
        was lost; what this machine remembers may be wrong.

        Returns the keys of packs that cannot be read; what was known of those stays. A database that does not hold
        together is replaced first: what is written to it again might not be found.
        """
        self._attempt(lambda base: base.facts.require_sound())
        return self._read_footers(store, keys, progress, lambda pack, known: pack in self._seen)

    def _read_footers(
        self, store: Store, keys: VaultKeys, progress: Progress, skip: Callable[[PackId, Collection[PackId]], bool]
    ) -> list[str]:
        keys.require_reader("rebuilding the index")
        unlisted = self._attempt(lambda base: base.facts.unlisted())  # before the listing: none of these is too young
        known = self.packs().keys()
        stored: set[PackId] = set()
        wanted: list[tuple[PackId, ObjectInfo]] = []
        for info in store.list(PACKS):
            pack = pack_of_key(info.key)
            if pack is None:
                continue
            stored.add(pack)
            if pack not in self._forgotten and not skip(pack, known):
                wanted.append((pack, info))
        gone = [number for number, pack in unlisted.items() if pack not in stored]
        if gone:
            self._attempt(lambda base: base.facts.forget_tables(gone))

        def take(pack: PackId, size: int, table: PackTable) -> bool:
            self.add(pack, size, table)
            return pack not in known

        found, unread = read_footers(store, keys, wanted, take, progress)
        if found:
            progress.note(f"the index lacked {len(found)} packs; their footers were read instead")
        return unread

    def _places(self, base: _Base, chunk: ChunkId) -> list[Located]:
        places = []
        for number, pack, place in base.facts.look_up(chunk):
            known = self._belief(base, number, pack)
            if known is not None and pack not in self._forgotten:
                places.append(Located(pack, known.size, place))
        return places

    def _belief(self, base: _Base, number: int, pack: PackId) -> Claim | None:
        try:
            return base.beliefs[number]
        except KeyError:
            pass
        with base.facts.cache.reading():  # nobody changes the claims before what follows from them is noted
            claims = base.facts.claims(pack)
            holds = believe(claims, self._ranks)
            if len(base.beliefs) >= _BELIEFS_MAX:
                base.beliefs.clear()
            for claim in claims:
                base.beliefs[claim.number] = holds if holds is not None and holds.number == claim.number else None
            return base.beliefs.get(number)

    def _known(self, pack: PackId) -> Claim | None:
        if pack in self._forgotten:
            return None
        return believe(self._attempt(lambda base: base.facts.claims(pack)), self._ranks)

    def _believed(self) -> list[Claim]:
        by_pack: dict[PackId, list[Claim]] = {}
        for claim in self._attempt(lambda base: base.facts.all_claims()):
            by_pack.setdefault(claim.pack, []).append(claim)
        found = [believe(claims, self._ranks) for pack, claims in by_pack.items() if pack not in self._forgotten]
        return [claim for claim in found if claim is not None]

    def _counts(self, signer: str) -> bool:
        return self._ranks is None or signer in self._ranks

    def _take(self, base: _Base, pack: PackId, columns: Columns, signer: str) -> _Base:
        with base.facts.cache.reading():
            base.facts.take([Saying(None, signer, [(pack, columns)])])
            for claim in base.facts.claims(pack):
                base.beliefs.pop(claim.number, None)
        return base

    def _fill(self, base: _Base) -> None:
        if self._origin is not None:
            self.problems = take_index_objects(base.facts, *self._origin)

    def _attempt(self, work: Callable[[_Base], T]) -> T:
        """`work` with the database; with another one when that fails."""
        while True:
            base = self._base
            try:
                return work(base)
            except sqlite3.Error as error:
                self._replace(base, error)

    def _replace(self, broken: _Base, error: sqlite3.Error) -> None:
        """Go on with another database, filled from the store."""
        with self._lock:
            if self._base is not broken:
                return  # another thread has met the error, too
            if self._origin is None:
                raise NoIndexError(
                    f"cannot keep an index in a temporary file: {error}",
                    hint="set SQLITE_TMPDIR to a folder with room",
                ) from error
            while True:
                fresh = _Base(Facts(replace_cache(broken.facts.cache, error, schema=SCHEMA, version=VERSION)))
                try:
                    self._fill(fresh)
                    self._tell(fresh, *self._origin)
                except sqlite3.Error as another:
                    broken, error = fresh, another
                else:
                    self._base = fresh
                    return

    def _tell(self, fresh: _Base, store: Store, keys: VaultKeys) -> None:
        """What this index was told itself, and no index object may list yet."""
        told = dict(self._recent)
        fresh.facts.take([Saying(None, "", list(told.items()))])
        left = self._seen - told.keys() - {claim.pack for claim in fresh.facts.all_claims()}
        self._seen &= told.keys()
        for pack in left if keys.can_read else ():
            with suppress(DamageError, NotFoundError, WrongKeyError, FailedError):
                info = store.head(pack_key(pack))
                columns = check_table(read_pack_table(store, keys, info), self._suite, info.key, info.size)
                fresh.facts.take([Saying(None, "", [(pack, columns)])])
                self._seen.add(pack)
