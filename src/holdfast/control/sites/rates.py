"""What this machine measured of its stores: bytes per second, kept in a file of its own, the newest of each.

A copy from a store to a site's store is a measurement of what machines of that site get from the store: it went over
the same lines. What machines get from a store of their own site is known only where somebody measured it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from holdfast.control.sites.kept import KeptFile, counts_as
from holdfast.errors import FailedError
from holdfast.replication.following.rounds import Copied
from holdfast.replication.tiering.facts import NANOSECONDS, Rate

__all__ = ["FRESH_SECONDS", "LEAST_BYTES", "Measurement", "RatesFile"]

LEAST_BYTES = 4 << 20  # what is smaller tells of round trips, and not of bandwidth
FRESH_SECONDS = 30 * 86_400.0


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many bytes in so many seconds, at `at` (ns since the epoch), by `how`: `copy`, `sample` or `read back`."""

    bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    how: str

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


class Kept(msgspec.Struct, kw_only=True):
    """`restores`: store → site of the machines → stored bytes. `verifying`: asset → plain bytes that were verified."""

    restores: dict[str, dict[str, Measurement]] = {}
    verifying: dict[str, Measurement] = {}


class RatesFile:
    """`$XDG_STATE_HOME/holdfast/rates/<organisation>.json`."""

    def __init__(self, organisation: str, environment: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._note = note
        self._file = KeptFile("rates", organisation, Kept, Kept, environment, counts_as(Kept, note))

    def read(self) -> Kept:
        return self._file.read()

    def rates(self, stores: Iterable[str], sites: Iterable[str]) -> tuple[Rate, ...]:
        """For the planner, of these stores and sites. Old ones too: it says itself that they count as none."""
        known, wanted, there = self.read(), set(stores), set(sites)
        return tuple(
            Rate(store=store, site=site, bytes_per_second=one.rate, measured_ns=one.at)
            for store, by_site in known.restores.items()
            for site, one in by_site.items()
            if store in wanted and site in there
        )

    def verifying(self, now_ns: int) -> dict[str, float]:
        """Asset → bytes per second, of what was measured lately."""
        return {
            asset: one.rate
            for asset, one in self.read().verifying.items()
            if one.rate > 0 and now_ns - one.at <= FRESH_SECONDS * NANOSECONDS
        }

    def note(
        self,
        restores: Mapping[tuple[str, str], Measurement],
        verifying: Mapping[str, Measurement],
    ) -> None:
        """Remember these, if they are large enough. `restores`: (store, site of the machines). A file that cannot
        be written costs no more than a note.
        """
        large = {way: one for way, one in restores.items() if one.bytes >= LEAST_BYTES and one.seconds > 0}
        read = {asset: one for asset, one in verifying.items() if one.bytes >= LEAST_BYTES and one.seconds > 0}
        if not large and not read:
            return

        def change(kept: Kept) -> Kept:
            for (store, site), one in large.items():
                before = kept.restores.setdefault(store, {}).get(site)
                if before is None or before.at <= one.at:
                    kept.restores[store][site] = one
            for asset, one in read.items():
                last = kept.verifying.get(asset)
                if last is None or last.at <= one.at:
                    kept.verifying[asset] = one
            return kept

        try:
            self._file.change(change)
        except FailedError as error:
            self._note(f"{error.message}: what was measured is not kept")

    def note_copied(self, copied: Copied, now_ns: int) -> None:
        """What a copy of a round measured."""
        site = copied.copy.target.partition("/")[0]
        restores, verifying = {}, {}
        for one in copied.measured:
            restores[one.source, site] = Measurement(bytes=one.bytes, seconds=one.seconds, at=now_ns, how="copy")
            if one.verified_bytes:
                verifying[copied.copy.asset] = Measurement(
                    bytes=one.verified_bytes, seconds=one.verifying_s, at=now_ns, how="read back"
                )
        self.note(restores, verifying)
