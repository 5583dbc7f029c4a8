"""Snapshots that somebody wants on a warmer store, for a time or in a cache: kept on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from holdfast.control.sites.kept import KeptFile, counts_as
from holdfast.replication.tiering.facts import DAY_NS, Raised

__all__ = ["Cache", "CachesFile", "RaisedFile"]


class Kept(msgspec.Struct, kw_only=True):
    """What is raised."""

    raised: list[Raised] = []


class RaisedFile:
    """`$XDG_STATE_HOME/holdfast/tiers/<organisation>.json`."""

    def __init__(self, organisation: str, environment: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._file = KeptFile("tiers", organisation, Kept, Kept, environment, counts_as(Kept, note))

    def read(self, now_ns: int) -> list[Raised]:
        """Those whose time is not over."""
        return [one for one in self._file.read().raised if one.until_ns > now_ns]

    def add(self, raised: Iterable[Raised], now_ns: int) -> None:
        """These too; one of the same snapshot at the same store is replaced. Raises FailedError."""
        new = {(one.snapshot, one.store): one for one in raised}

        def change(kept: Kept) -> Kept:
            old = {(one.snapshot, one.store): one for one in kept.raised if one.until_ns > now_ns}
            return Kept(raised=list((old | new).values()))

        self._file.change(change)


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds as a cache. `budget`: bytes; `at`: when that was decided (ns); `hold`: snapshot → why."""

    budget: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    hold: dict[str, str] = {}


class CachesFile:
    """`$XDG_STATE_HOME/holdfast/caches/<organisation>.json`: store → cache. No plan of this machine drops what one
    holds before somebody decides anew.
    """

    def __init__(self, organisation: str, environment: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._file = KeptFile("caches", organisation, dict[str, Cache], dict, environment, counts_as(dict, note))

    def read(self) -> dict[str, Cache]:
        return self._file.read()

    def set(self, store: str, cache: Cache) -> None:
        """Durable when it returns. Raises FailedError."""
        self._file.change(lambda caches: caches | {store: cache})

    def forget(self, store: str) -> None:
        """It is no cache any more. Raises FailedError."""
        self._file.change(lambda caches: {name: one for name, one in caches.items() if name != store})

    def raised(self, now_ns: int) -> list[Raised]:
        """What caches hold, for `Facts`: until somebody decides anew."""
        return [
            Raised(snapshot=snapshot, store=store, until_ns=now_ns + DAY_NS, reason=why)
            for store, cache in self.read().items()
            for snapshot, why in cache.hold.items()
        ]
