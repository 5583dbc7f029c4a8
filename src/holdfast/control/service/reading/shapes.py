"""Shapes that several pages share. Times are RFC 3339 in UTC, durations seconds, sizes bytes; null: NOT_MEASURED."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.errors import HoldfastError
from holdfast.objectives.measured import NotMeasured
from holdfast.objectives.standing import Target

__all__ = ["Bound", "Curve", "Dot", "Freshness", "Page", "PageLinks", "Problem", "Time", "attempt", "bound_of"]
__all__ += ["clipped", "figure", "links_of", "problem_of", "time_of"]

Time = Annotated[str, msgspec.Meta(description="RFC 3339, UTC")]
_T = TypeVar("_T")
_LONGEST: Final = 2000
_LATEST: Final = 253_402_300_799 * 10**9  # the year 9999: what a clock that is wrong may have written


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be asked, and why. `code`: of `holdfast.errors`."""

    code: str
    message: str
    hint: str = ""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How old what is shown is. `stale`: older than it should be; `problem`: why it was not renewed."""

    what: str
    at: Time | None
    age_seconds: float | None
    stale: bool = False
    problem: str = ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What every page begins with. `at`: when the record was made."""

    organisation: str
    at: Time


class PageLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a list this is: `page` counts from 1."""

    page: int
    pages: int
    total: int
    first: int
    last: int


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """RPO or RTO. `current_seconds`: what would be true of a fault now; `achievable_seconds`: the best of the present
    set-up. Null: NOT_MEASURED; a null target: none was set.
    """

    state: str
    target_seconds: float | None
    current_seconds: float | None
    achievable_seconds: float | None
    reason: str
    cheapest: str = ""


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a curve; `value` null: not measured there."""

    at: Time
    value: float | None


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """`unit`: `seconds`, `bytes`, or empty. `limit`: a line that is not to be crossed."""

    name: str
    unit: str
    dots: list[Dot]
    limit: float | None = None


def time_of(at_ns: int | None) -> Time | None:
    """None stays None; what no clock should have said is cut to what can be written."""
    return None if at_ns is None else to_rfc3339(max(0, min(at_ns, _LATEST)))


def figure(value: float | NotMeasured) -> float | None:
    return None if isinstance(value, NotMeasured) else value


def bound_of(target: Target) -> Bound:
    cheapest = "" if target.cheapest is None else target.cheapest.what
    if target.cheapest is not None and target.cheapest.monthly is not None:
        cheapest += f" ({target.cheapest.monthly:,.2f} a month)"
    return Bound(
        state=target.state.value,
        target_seconds=target.target,
        current_seconds=figure(target.current),
        achievable_seconds=figure(target.achievable),
        reason=target.reason,
        cheapest=cheapest,
    )


def problem_of(error: HoldfastError) -> Problem:
    return Problem(code=error.code, message=clipped(error.message), hint=clipped(error.hint or ""))


def attempt(read: Callable[[], _T], instead: _T) -> tuple[_T, Problem | None]:
    """What `read` gives, or `instead` with the reason: a page shows what it can."""
    try:
        return read(), None
    except HoldfastError as error:
        return instead, problem_of(error)
    except OSError as error:
        return instead, Problem(code="failed", message=f"a file of this machine cannot be read ({error.strerror})")


def clipped(text: str, most: int = _LONGEST) -> str:
    """Without control characters, and no longer than a page can bear."""
    clean = "".join(one if one.isprintable() else "�" for one in text)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def links_of(total: int, page: int, each: int) -> PageLinks:
    pages = max(1, -(-total // each))
    page = max(1, min(page, pages))
    first = (page - 1) * each
    return PageLinks(
        page=page, pages=pages, total=total, first=first + 1 if total else 0, last=min(total, first + each)
    )
