"""What this machine measured of its stores: bytes per second, kept in a file of its own, the newest few of each.

A copy from a store to a site's store is a measurement of what machines of that site get from the store: it went over
the same lines. What machines get from a store of their own site is known where somebody measured it there, and from
what is restored and read back there anyway (`using.py`).

A rate is the lower quartile of the measurements of the last 30 days, each weighed by its bytes. The newest alone would
be whatever the line did in that minute; the mean is moved by one read from a page cache; of the median a restore gets
less every second time. Three of four bytes were read at least as fast as the lower quartile says. Weights end at 256
MiB, so that one restore of a terabyte does not outweigh all that was seen since; what has less than 4 MiB counts
nothing. A line that got slow is believed when a quarter of the bytes says so, one that got fast only when most do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from holdfast.control.sites.kept import KeptFile, counts_as
from holdfast.control.vaults.uses import LEAST_BYTES
from holdfast.errors import FailedError
from holdfast.replication.following.rounds import Copied
from holdfast.replication.tiering.facts import NANOSECONDS, Rate

__all__ = ["FRESH_SECONDS", "LEAST_BYTES", "Measurement", "RatesFile", "typical"]

FRESH_SECONDS = 30 * 86_400.0
_SKEW_NS = 300 * NANOSECONDS
_NEWEST = 32  # so many measurements of a way count
_WEIGHT_MAX = 256 << 20
_QUARTILE = 0.25


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many bytes in so many seconds, at `at` (ns since the epoch), by `how`: `copy`, `sample`, `restore`, …"""

    bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    how: str

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds if self.seconds >= 1e-9 else 0.0


Several = Measurement | list[Measurement]
"""The newest last; one alone is what earlier versions kept."""


class Kept(msgspec.Struct, kw_only=True):
    """`restores`: store → site of the machines → stored bytes. `verifying`: asset → plain bytes that were verified.
    `here`: the sites at which this machine was said to be when it measured last.
    """

    restores: dict[str, dict[str, Several]] = {}
    verifying: dict[str, Several] = {}
    here: list[str] = []


def typical(measured: Iterable[Measurement], now_ns: int) -> Measurement | None:
    """The one whose rate is the lower quartile by bytes of those of the last 30 days; of older ones the newest, None
    where there is none. Its `at` is that of the newest that counts. What a clock that ran ahead dated later than now
    counts for nothing.
    """
    ordered = sorted((one for one in measured if one.rate > 0 and one.at <= now_ns + _SKEW_NS), key=lambda one: one.at)
    fresh = [one for one in ordered if now_ns - one.at <= FRESH_SECONDS * NANOSECONDS][-_NEWEST:]
    if not fresh:
        return ordered[-1] if ordered else None
    weights = [min(one.bytes, _WEIGHT_MAX) for one in fresh]
    left = _QUARTILE * sum(weights)
    for one, weight in sorted(zip(fresh, weights, strict=True), key=lambda pair: pair[0].rate):
        left -= weight
        if left <= 0:
            return msgspec.structs.replace(one, at=fresh[-1].at)
    return fresh[-1]


def _listed(several: Several) -> list[Measurement]:
    return [several] if isinstance(several, Measurement) else several


class RatesFile:
    """`$XDG_STATE_HOME/holdfast/rates/<organisation>.json`."""

    def __init__(self, organisation: str, environment: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._note = note
        self._file = KeptFile("rates", organisation, Kept, Kept, environment, counts_as(Kept, note))

    def read(self) -> Kept:
        return self._file.read()

    def rates(
        self,
        stores: Iterable[str],
        sites: Iterable[str],
        now_ns: int,
        used: Mapping[tuple[str, str], Sequence[Measurement]] | None = None,
    ) -> tuple[Rate, ...]:
        """For the planner, of these stores and sites. Old ones too: it says itself that they count as none.

        `used`: (store, site of the machines) → what restores and reading back measured there.
        """
        wanted, there = set(stores), set(sites)
        found: dict[tuple[str, str], list[Measurement]] = {way: list(several) for way, several in (used or {}).items()}
        for store, by_site in self.read().restores.items():
            for site, several in by_site.items():
                found.setdefault((store, site), []).extend(_listed(several))
        return tuple(
            Rate(store=store, site=site, bytes_per_second=one.rate, measured_ns=one.at)
            for (store, site), several in found.items()
            if store in wanted and site in there and (one := typical(several, now_ns)) is not None
        )

    def verifying(self, now_ns: int, used: Mapping[str, Sequence[Measurement]] | None = None) -> dict[str, float]:
        """Asset → bytes per second, of what was measured lately."""
        found: dict[str, list[Measurement]] = {asset: list(several) for asset, several in (used or {}).items()}
        for asset, several in self.read().verifying.items():
            found.setdefault(asset, []).extend(_listed(several))
        return {
            asset: one.rate
            for asset, several in found.items()
            if (one := typical(several, now_ns)) is not None and now_ns - one.at <= FRESH_SECONDS * NANOSECONDS
        }

    def here(self, sites: Iterable[str]) -> None:
        """This machine is at these sites: what it restores from now on counts for them, where nobody says otherwise.
        A file that cannot be written costs no more than a note.
        """
        named = sorted(set(sites))
        if self.read().here != named:
            self._change(lambda kept: msgspec.structs.replace(kept, here=named))

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
                by_site = kept.restores.setdefault(store, {})
                by_site[site] = _with(by_site.get(site, []), one)
            for asset, one in read.items():
                kept.verifying[asset] = _with(kept.verifying.get(asset, []), one)
            return kept

        self._change(change)

    def _change(self, change: Callable[[Kept], Kept]) -> None:
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


def _with(before: Several, one: Measurement) -> list[Measurement]:
    """The newest of them. What a clock that ran ahead dated goes, so that it does not keep the place of all others."""
    if isinstance(before, list):
        before = [each for each in before if each.at <= one.at + _SKEW_NS]
    return sorted([*_listed(before), one], key=lambda each: each.at)[-_NEWEST:]
