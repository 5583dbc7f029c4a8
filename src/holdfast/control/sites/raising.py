"""Snapshots that somebody wants on a warmer store for a time: kept on this machine until that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from holdfast.control.sites.kept import KeptFile, counts_as
from holdfast.replication.tiering.facts import Raised

__all__ = ["RaisedFile"]


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
