"""How often something may begin by itself: so many in a time, and so long after the last one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = ["Begun", "Limit", "limit_problem"]

_NS: Final = 1_000_000_000


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that began by itself: of which recovery, when (ns)."""

    recovery: str
    at: int


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `at_most` within `within_s`, and `cooldown_s` after the last one. Seconds."""

    at_most: int
    within_s: float
    cooldown_s: float = 0.0


def limit_problem(begun: Sequence[Begun], recovery: str, own: Limit, of_all: Limit, now_ns: int) -> str:
    """Why no further run of `recovery` may begin now; empty: it may. What seems to be of the future counts as of now:
    a clock that was put back allows nothing.
    """
    for limit, counted, what in (
        (own, [one for one in begun if one.recovery == recovery], recovery),
        (of_all, list(begun), "all recoveries together"),
    ):
        ages = sorted(max(0, now_ns - one.at) / _NS for one in counted)
        recent = [age for age in ages if age < limit.within_s]
        if len(recent) >= limit.at_most:
            return (
                f"{len(recent)} began by themselves within {limit.within_s:.0f} s, and {limit.at_most} may, of {what}"
            )
        if ages and ages[0] < limit.cooldown_s:
            return f"the last one of {what} began {ages[0]:.0f} s ago, and {limit.cooldown_s:.0f} s are to pass"
    return ""
