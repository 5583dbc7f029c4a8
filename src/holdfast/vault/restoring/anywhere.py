"""The slow way to a chunk: from every place of every site that has it, until one is sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from holdfast.errors import DamageError, FailedError, HoldfastError, WrongKeyError
from holdfast.ids import ChunkId, PackId
from holdfast.vault.format.names import Names
from holdfast.vault.index import Located
from holdfast.vault.restoring.decoding import decode_sealed
from holdfast.vault.restoring.sites import Site

__all__ = ["Anywhere", "Elsewhere", "DEPTH_MAX"]

DEPTH_MAX = 8  # deltas of deltas
_UNSOUND = (DamageError, WrongKeyError, FailedError)
_Plain = dict[ChunkId, bytes | bytearray]


class Elsewhere(Protocol):
    """Where else the chunks of the vault can be had. Safe for several threads."""

    def sites(self) -> Iterator[Site]:
        """Replicas in the order in which they are asked. Those that cannot be opened are left out; raises nothing."""
        ...

    def took(self, site: Site, size: int) -> None:
        """A chunk of that many bytes was read there."""
        ...

    def failed(self, site: Site, error: HoldfastError) -> None:
        """The replica does not answer: it is not among the sites any more."""
        ...


class Anywhere:
    """Reads chunks of one vault from this site and, after it, from the replicas. Safe for several threads."""

    def __init__(self, here: Site, names: Names, elsewhere: Elsewhere | None) -> None:
        self._here = here
        self._names = names
        self._elsewhere = elsewhere
        # A place that was of no use at some depth of a chain is of none further down: each is tried a few times only,
        # however many chains of deltas lead through it.
        self._useless: dict[tuple[ChunkId, str, Located], tuple[int, HoldfastError]] = {}

    def read(self, chunks: Iterable[ChunkId]) -> tuple[_Plain, set[str]]:
        """The plaintext of all of them, and the URLs of the replicas that something was read from.

        Raises what was wrong with the first place of the first chunk that cannot be had.
        """
        used: set[str] = set()
        plain: _Plain = {}
        wanted = dict.fromkeys(chunks)
        self._here.search()
        # Site by site neighbours come with one request. What is left has its parts in different places: one by one.
        for site in self._sites():
            plain |= self._read_site(site, [chunk for chunk in wanted if chunk not in plain], used)
            if len(plain) == len(wanted):
                return plain, used  # no further replica is opened
        for chunk in wanted:
            if chunk not in plain:
                plain[chunk] = self._read_one(chunk, 0, used)
        return plain, used

    def _sites(self) -> Iterator[Site]:
        yield self._here
        if self._elsewhere is not None:
            yield from self._elsewhere.sites()

    def _read_site(self, site: Site, chunks: Iterable[ChunkId], used: set[str], *, as_bases: bool = False) -> _Plain:
        """Those of the chunks that a site gives by itself. Raises what this store raises, of a replica nothing."""
        plain: _Plain = {}
        try:
            places = {chunk: site.places(chunk) for chunk in chunks}
            for number in range(max(map(len, places.values()), default=0)):
                found = {
                    chunk: those[number]
                    for chunk, those in places.items()
                    if chunk not in plain and number < len(those)
                }
                plain |= self._read_places(site, found, used, as_bases=as_bases)
        except _UNSOUND:
            pass
        except HoldfastError as error:
            self._give_up(site, error)
        return plain

    def _read_places(self, site: Site, found: dict[ChunkId, Located], used: set[str], *, as_bases: bool) -> _Plain:
        by_pack: dict[PackId, list[tuple[ChunkId, Located]]] = {}
        bases = {located.place.base: located.place.raw for located in found.values() if located.place.base}
        # A base of another length is of no use, and must not cost what it claims to be.
        fit = [base for base, raw in bases.items() if any(one.place.raw == raw for one in site.places(base))]
        # No chains here: what was of no use is not remembered, and there could be more ways than time.
        base_data = self._read_site(site, fit, used, as_bases=True) if fit and not as_bases else {}
        for chunk, located in found.items():
            if not located.place.base or located.place.base in base_data:
                by_pack.setdefault(located.pack, []).append((chunk, located))
        plain: _Plain = {}
        for pack, members in by_pack.items():
            try:
                for sealed in site.fetcher.fetch(pack, members):
                    try:
                        plain[sealed.chunk] = decode_sealed(self._names, sealed, base_data)
                    except _UNSOUND:
                        continue
                    self._account(site, plain[sealed.chunk], used)
            except _UNSOUND:
                continue
        return plain

    def _read_one(self, chunk: ChunkId, depth: int, used: set[str]) -> bytes | bytearray:
        """One chunk, from the first of its places that is sound. Raises what was wrong with the first place."""
        if depth > DEPTH_MAX:
            raise DamageError(f"a chain of deltas is longer than {DEPTH_MAX}")
        first: HoldfastError | None = None
        for site, located in self._places(chunk):
            if isinstance(located, HoldfastError):
                first = first or located
                continue
            place = (chunk, site.store.url, located)
            known = self._useless.get(place)
            if known is None or depth < known[0]:
                try:
                    data = self._read_place(site, chunk, located, depth, used)
                except _UNSOUND as error:
                    known = self._useless[place] = (depth, _told_anew(error))
                except HoldfastError as error:
                    self._give_up(site, error)
                    continue
                else:
                    self._account(site, data, used)
                    return data
            first = first or known[1]
        if first is not None:
            raise _told_anew(first)
        raise DamageError(f"chunk {chunk.hex()[:16]}… is in no pack of {self._here.store.url}")

    def _places(self, chunk: ChunkId) -> Iterator[tuple[Site, Located | HoldfastError]]:
        """Where the chunk is said to lie: here, by the packs' own footers, and after that at the replicas."""
        self._here.search()
        here = self._here.places(chunk)
        if not here:
            yield self._here, self._here.missing(chunk)
        for located in here:
            yield self._here, located
        for site in self._elsewhere.sites() if self._elsewhere is not None else ():
            try:
                for located in site.places(chunk):
                    yield site, located
                site.search()  # its index may have lied
                for located in site.places(chunk):
                    yield site, located
            except HoldfastError as error:
                self._give_up(site, error)

    def _read_place(
        self, site: Site, chunk: ChunkId, located: Located, depth: int, used: set[str]
    ) -> bytes | bytearray:
        base = located.place.base
        bases = {base: self._read_one(base, depth + 1, used)} if base else {}
        [sealed] = site.fetcher.fetch(located.pack, [(chunk, located)])
        return decode_sealed(self._names, sealed, bases)

    def _give_up(self, site: Site, error: HoldfastError) -> None:
        if site is self._here or self._elsewhere is None:
            raise error
        self._elsewhere.failed(site, error)

    def _account(self, site: Site, data: bytes | bytearray, used: set[str]) -> None:
        if site is not self._here and self._elsewhere is not None:
            used.add(site.store.url)
            self._elsewhere.took(site, len(data))


def _told_anew(error: HoldfastError) -> HoldfastError:
    """The same error without the frames that it came through: these would keep whole packs in memory."""
    return type(error)(error.message, hint=error.hint, object_name=error.object_name)
