"""A store over n others: packs lie in shards, k of which give all; everything else lies whole at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from typing import TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import AlreadyExistsError, HoldfastError, ObjectNotFoundError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.replication.striping.layout import INTERNAL, Layout
from holdfast.replication.striping.packs import StripedPacks, shards_prefix
from holdfast.replication.striping.shards import SHARDS, Cut, is_pack_key, one_buffer
from holdfast.replication.striping.sites import Member, Sites
from holdfast.replication.striping.whole import WholeObjects
from holdfast.stores.buffers import as_views, check_create_size
from holdfast.stores.keys import check_key
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.stores.ranges import check_ranges
from holdfast.stores.ranges import cut as cut_out
from holdfast.vault.format.names import PACKS

__all__ = ["StripedStore", "WHOLE_BELOW"]

_Result = TypeVar("_Result")

WHOLE_BELOW = 64 << 10  # bytes; smaller packs lie whole at each site: one request reads them


class StripedStore:
    """The set of stripes on these sites, named in the order in which it was created (`create_stripes`).

    Reading works while any k sites do. Writing needs the home, which decides who creates what, and returns when a pack
    has a shard at all n sites (of a set with fewer `spares` than n − k: at k + spares), anything else copies at
    1 + spares. `progress` is told of sites that do not answer, and of what is owed to them; `heal_stripes` pays it.
    A site that did not answer is left alone for `retry_seconds`.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        *,
        clock: Clock = SYSTEM_CLOCK,
        progress: Progress = SILENT,
        retry_seconds: float = 30.0,
        whole_below: int = WHOLE_BELOW,
    ) -> None:
        self.sites = Sites(stores, clock=clock, progress=progress, retry_seconds=retry_seconds)
        self.whole = WholeObjects(self.sites)
        self.packs = StripedPacks(self.sites, self.whole)
        self.whole_below = whole_below

    @property
    def layout(self) -> Layout:
        """How the set is laid out, as k sites say."""
        return self.sites.layout

    @property
    def url(self) -> str:
        return self.sites.url

    @property
    def identity(self) -> str:
        return "stripes:" + ",".join(store_identity(member.store) for member in self.sites.members)

    @property
    def capabilities(self) -> Capabilities:
        each = [member.store.capabilities for member in self.sites.members]
        return Capabilities(durable=all(one.durable for one in each), remote=any(one.remote for one in each))

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        _check_writable(key)
        content = one_buffer(data)
        if is_pack_key(key) and memoryview(content).nbytes >= self.whole_below:
            return self.packs.put(key, content)
        return self.whole.put(key, bytes(content))

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        _check_writable(key)
        views = as_views(data)
        check_create_size(key, views)
        if is_pack_key(key) and self.packs.head(key) is not None:
            raise AlreadyExistsError(f"{key} exists already", object_name=key)
        return self.whole.create(key, b"".join(views))

    def get(self, key: str) -> bytes:
        self._check_readable(key)
        if not is_pack_key(key):
            return self.whole.get(key)
        return self._read_pack(key, lambda cut: self.packs.get(key, cut), lambda: self.whole.get(key))

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._check_readable(key)
        check_ranges(key, ranges)
        if not is_pack_key(key):
            return self.whole.get_ranges(key, ranges)
        if not any(length for _, length in ranges):
            self.head(key)

        def from_whole() -> list[bytes]:
            if self.whole.head(key).size > self.whole_below:
                return self.whole.get_ranges(key, ranges)
            return cut_out(key, self.whole.get(key), ranges)  # which checks it, and looks elsewhere if it is damaged

        return self._read_pack(key, lambda cut: self.packs.get_ranges(key, cut, ranges), from_whole)

    def read_ranges_into(self, key: str, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """`get_ranges`, one range after the other, into memory that is there: fresh memory costs more than reading."""
        self._check_readable(key)
        check_ranges(key, ranges)

        def from_pieces() -> None:
            at = 0
            for piece in self.get_ranges(key, ranges):
                out[at : at + len(piece)] = piece
                at += len(piece)

        if not is_pack_key(key):
            from_pieces()
        else:
            self._read_pack(key, lambda cut: self.packs.read_ranges_into(key, cut, ranges, out), from_pieces)

    def _read_pack(self, key: str, striped: Callable[[Cut], _Result], whole: Callable[[], _Result]) -> _Result:
        """From shards or from the whole, whichever can be read: a pack may be converted, or have been halfway."""
        found = self.packs.find(key)
        try:
            return whole() if found is None else striped(found)
        except HoldfastError as error:
            if found is None:
                if not isinstance(error, ObjectNotFoundError) or (found := self.packs.find(key)) is None:
                    raise
                return striped(found)
            self.packs.forget(key)
            try:
                return whole()
            except ObjectNotFoundError:
                raise error from None

    def head(self, key: str) -> ObjectInfo:
        self._check_readable(key)
        found = self.packs.head(key) if is_pack_key(key) else None
        return found or self.whole.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        whole = self.whole.listed(prefix, after, _is_hidden)
        if shards_prefix(prefix, after) is None:
            yield from whole
            return
        last = ""
        for info in merge(self.packs.listed(prefix, after), whole, key=lambda one: one.key):
            if info.key != last:
                last = info.key
                yield info

    def folders(self, prefix: str) -> Sequence[str]:
        inside = SHARDS + prefix.removeprefix(PACKS) if prefix.startswith(PACKS) else ""

        def folders_at(member: Member) -> set[str]:
            found = {one for one in member.store.folders(prefix) if one not in (SHARDS, INTERNAL)}
            if not prefix and SHARDS in member.store.folders(""):
                found.add(PACKS)
            elif inside and inside.count("/") == 1:
                found |= {PACKS + one.removeprefix(SHARDS) for one in member.store.folders(inside)}
            return found

        if _is_hidden(prefix):
            return []
        outcomes = self.sites.each(self.sites.ready(), folders_at)
        self.whole.check_enough_listed(prefix)
        return sorted(set().union(*(outcome.value or set() for outcome in outcomes)))

    def delete(self, key: str) -> None:
        _check_writable(key)
        if is_pack_key(key):
            self.packs.delete(key)
        else:
            self.whole.delete(key)

    def _check_readable(self, key: str) -> None:
        check_key(key)
        if _is_hidden(key):
            raise ObjectNotFoundError(f"there is no {key} in {self.url}", object_name=key)


def _is_hidden(key: str) -> bool:
    return key.startswith((SHARDS, INTERNAL))


def _check_writable(key: str) -> None:
    check_key(key)
    if _is_hidden(key):
        raise UsageError(f"{key} belongs to the set of stripes itself", object_name=key)
