"""Changes that would bring an asset nearer to its RPO or RTO: what each would do by measured figures, and its price.

Pure. A change whose effect cannot be worked out from measured figures is none; one that nobody priced has no price.

* *Save more often*: RPO achievable = interval + copying + reading back (`standing`), so that the interval may be the
  target less the other two, with a margin. Each further snapshot costs its new bytes: stored for a month at every store
  that has a copy, and what the lines there cost.
* *Read back as it arrives*: reading back then takes as long as its bytes take at the measured rate, and no wait for a
  round. It costs what reading each snapshot once costs.
* *A line twice as fast*: reading takes half as long. Lines are bought in many ways: it has no price here.
* *A warmer tier*: the wait for the first byte is gone; the same bytes cost more in a month.
* *Another copy*: reading takes as long as its bytes take at the rate that was measured from that store.
* *A rehearsal*: the RTO is measured then, and not estimated; it costs one reading a month.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast.objectives.measured import NotMeasured
from holdfast.objectives.standing import Change
from holdfast.units import format_duration

__all__ = ["MONTH_SECONDS", "Copy", "Figures", "changes_of"]

MONTH_SECONDS = 730 * 3600.0
_MARGIN = 0.8  # of a target is what a change should reach: above that it is at risk
_LEAST_INTERVAL = 60.0


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Another store from which it could be restored, at a measured rate. `monthly`: storing all of it there."""

    store: str
    bytes_per_second: float
    monthly: float | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and what it costs; None or NOT_MEASURED where nobody knows. Durations are seconds.

    `planned`: of a recovery, of which `reading` takes so long, and `waiting` until the first byte. `fetch`: bytes of a
    snapshot as a restore reads them, at `reading_rate` at most; `verifying_rate`: bytes per second of reading back.
    `snapshot_price`: a snapshot's new bytes, brought to every store and kept for a month. `reading_price`: reading a
    snapshot once. `warmer`: the store that it would lie at, and what that costs more in a month.
    """

    rpo: float | None = None
    rto: float | None = None
    interval: float | NotMeasured
    copying: float | NotMeasured
    verifying: float | NotMeasured
    planned: float | NotMeasured
    reading: float | None = None
    waiting: float = 0.0
    fetch: int | None = None
    verifying_rate: float | None = None
    snapshot_price: float | None = None
    reading_price: float | None = None
    warmer: str = ""
    warmer_price: float | None = None
    copies: tuple[Copy, ...] = ()


def changes_of(figures: Figures) -> tuple[Change, ...]:
    """Those whose effect is known."""
    return (*_for_rpo(figures), *_for_rto(figures))


def _for_rpo(one: Figures) -> Iterator[Change]:
    interval, copying, verifying = one.interval, one.copying, one.verifying
    if isinstance(interval, NotMeasured) or isinstance(copying, NotMeasured):
        return
    sooner = None if not one.verifying_rate or one.fetch is None else one.fetch / one.verifying_rate
    if sooner is not None and (isinstance(verifying, NotMeasured) or sooner < verifying):
        price = None if one.reading_price is None else one.reading_price * MONTH_SECONDS / interval
        what = f"read each snapshot back as it arrives: {format_duration(sooner)} at the measured rate"
        yield Change(what=what, rpo=interval + copying + sooner, monthly=price)
    if isinstance(verifying, NotMeasured) or one.rpo is None:
        return
    for reading_back, and_so in ((verifying, ""), (sooner, ", and read it back as it arrives")):
        if reading_back is None:
            continue
        wanted = _MARGIN * one.rpo - copying - reading_back
        if not _LEAST_INTERVAL <= wanted < interval:
            continue
        price = None
        if one.snapshot_price is not None and (not and_so or one.reading_price is not None):
            more = MONTH_SECONDS / wanted - MONTH_SECONDS / interval
            price = more * one.snapshot_price
            price += (one.reading_price or 0.0) * MONTH_SECONDS / wanted if and_so else 0.0
        what = f"save every {format_duration(wanted)}, not every {format_duration(interval)}{and_so}"
        yield Change(what=what, rpo=wanted + copying + reading_back, monthly=price)


def _for_rto(one: Figures) -> Iterator[Change]:
    if isinstance(one.planned, NotMeasured):
        return
    yield Change(what="rehearse it once a month", rto=one.planned, monthly=one.reading_price)
    if one.waiting and one.warmer:
        what = f"keep it at {one.warmer}, where it needs not be asked for"
        yield Change(what=what, rto=one.planned - one.waiting, monthly=one.warmer_price)
    if one.reading is None:
        return
    moving = one.reading - one.waiting
    if moving > 0:
        yield Change(what="a line and store twice as fast", rto=one.planned - moving / 2)
    for copy in one.copies:
        if one.fetch is not None and (took := one.fetch / copy.bytes_per_second) < one.reading:
            what = f"one more copy at {copy.store}, read in {format_duration(took)} at the measured rate"
            yield Change(what=what, rto=one.planned - one.reading + took, monthly=copy.monthly)
