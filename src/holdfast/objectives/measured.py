"""What a run measured, or did not. Durations are seconds on a monotonic clock, moments of content UTC nanoseconds."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

__all__ = ["NotMeasured", "NOT_MEASURED", "Split", "split_between", "Measured", "rpo_seconds"]

_NANOSECONDS = 1e9


class NotMeasured(Enum):
    """A value of its own, so that a missing figure can be neither overlooked nor taken for zero."""

    NOT_MEASURED = "NOT_MEASURED"

    def __str__(self) -> str:
        return self.value


NOT_MEASURED: Final = NotMeasured.NOT_MEASURED


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a recovery time, in seconds: noticing the fault, choosing what to do, doing it, proving it."""

    detect: float | NotMeasured = NOT_MEASURED
    decide: float | NotMeasured = NOT_MEASURED
    execute: float | NotMeasured = NOT_MEASURED
    verify: float | NotMeasured = NOT_MEASURED

    def parts(self) -> tuple[tuple[str, float | NotMeasured], ...]:
        """Name and seconds, in the order in which they happen."""
        return (("detect", self.detect), ("decide", self.decide), ("execute", self.execute), ("verify", self.verify))

    @property
    def total(self) -> float | NotMeasured:
        """Recovery time in seconds; NOT_MEASURED as soon as one part is."""
        seconds = [value for _, value in self.parts() if not isinstance(value, NotMeasured)]
        return sum(seconds) if len(seconds) == len(self.parts()) else NOT_MEASURED


def split_between(
    *,
    fault: float,
    detected: float | None = None,
    decided: float | None = None,
    executed: float | None = None,
    verified: float | None = None,
) -> Split:
    """The split between moments of one monotonic clock (seconds); a moment that is None was never reached.

    A part is measured only when both its ends are. Moments out of order give negative parts, which `judge` rejects.
    """

    def between(start: float | None, end: float | None) -> float | NotMeasured:
        return NOT_MEASURED if start is None or end is None else end - start

    return Split(
        detect=between(fault, detected),
        decide=between(detected, decided),
        execute=between(decided, executed),
        verify=between(executed, verified),
    )


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one recovery.

    `content_ns` is the content time of the newest snapshot that a surviving site gave back; it counts only when that
    snapshot was both `restored` and `verified`. `last_change_ns` is the asset's last change before the fault, where
    it is known: a snapshot that contains it lost nothing, however old it is. `copies` counts the sites that hold a
    verified copy.
    """

    fault_ns: int | NotMeasured = NOT_MEASURED
    content_ns: int | NotMeasured = NOT_MEASURED
    last_change_ns: int | NotMeasured = NOT_MEASURED
    restored: bool = False
    verified: bool = False
    split: Split = Split()
    copies: int | NotMeasured = NOT_MEASURED


def rpo_seconds(measured: Measured) -> float | NotMeasured:
    """RPO = time of the fault − content time of the newest snapshot that was restored and verified, in seconds.

    0 when the snapshot is known to contain the last change. Negative when the facts contradict each other (content
    or a change after the fault); `judge` calls that INVALID.
    """
    fault, content, change = measured.fault_ns, measured.content_ns, measured.last_change_ns
    if isinstance(fault, NotMeasured) or isinstance(content, NotMeasured):
        return NOT_MEASURED
    if not (measured.restored and measured.verified):
        return NOT_MEASURED
    if content > fault:
        return (fault - content) / _NANOSECONDS
    if isinstance(change, NotMeasured):
        return (fault - content) / _NANOSECONDS
    if change > fault:
        return (fault - change) / _NANOSECONDS
    return 0.0 if content >= change else (fault - content) / _NANOSECONDS
