"""What a retention policy says, and which snapshots its rules select. Pure: no clock, no store."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Protocol

import msgspec

from holdfast.units import parse_duration

__all__ = ["ALL", "Amount", "BUCKETS", "Dated", "Keep", "Policy", "Rule", "matches", "newest_first", "select"]

ALL: Final = "all"
Amount = Annotated[int, msgspec.Meta(ge=1)] | Literal["all"]

_NANOSECONDS = 1_000_000_000
_LATEST_SECOND = 253_402_300_799  # the end of the year 9999: as far as calendars go here


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which snapshots are kept: those that any of these selects.

    `last`: so many of the newest (a ring buffer). `within`: as old as that, or younger, than the newest one.
    The others: of so many of the newest calendar hours, days, ISO weeks, months, years (UTC) that have a snapshot at
    all, the newest snapshot; one without findings goes before one with some. `all`: of every one.
    """

    last: Amount = 0
    within: str = ""
    hourly: Amount = 0
    daily: Amount = 0
    weekly: Amount = 0
    monthly: Amount = 0
    yearly: Amount = 0

    @property
    def is_empty(self) -> bool:
        """Whether it selects nothing."""
        return not self.within and not any(getattr(self, name) for name in ("last", *BUCKETS))

    def describe(self) -> str:
        """`last 5, daily 14, within 7d`."""
        parts = [f"{name} {amount}" for name in ("last", *BUCKETS) if (amount := getattr(self, name))]
        return ", ".join([*parts, *([f"within {self.within}"] if self.within else [])]) or "nothing"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of the assets whose names match one of the globs `assets`.

    `tags`: `protect` (a tagged snapshot stays, whole), `ignore` (a tag protects nothing and goes with its snapshot), or
    globs: a snapshot with such a tag stays whole, one with another tag stays, and may lose components. `components`: of
    these only what their own rules keep; a snapshot stays while one of its components is kept by such a rule.
    """

    assets: str | list[str]
    keep: Keep = Keep()
    tags: Literal["protect", "ignore"] | list[str] = "protect"
    components: dict[str, Keep] = {}

    def covers(self, asset: str) -> bool:
        globs = [self.assets] if isinstance(self.assets, str) else self.assets
        return any(matches(asset, glob) for glob in globs)


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of several rules for an asset the first one decides. Assets without a rule keep everything.

    `recent`: what was committed less than that ago stays, whatever the rules say.
    """

    version: Literal[1]
    rules: list[Rule]
    recent: str = "1h"

    def rule_for(self, asset: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.covers(asset)), None)


def matches(name: str, glob: str) -> bool:
    """Whether a name is what the glob says: `*` and `?`, and nothing else, stand for something. However the letters of
    either are composed (NFC, NFD).
    """
    literal = unicodedata.normalize("NFC", glob).replace("[", "[[]")
    return fnmatchcase(unicodedata.normalize("NFC", name), literal)


class Dated(Protocol):
    """What can be selected: a snapshot with the time of its content (ns, UTC)."""

    @property
    def id(self) -> str: ...
    @property
    def time(self) -> int: ...
    @property
    def is_good(self) -> bool: ...


TimeOf = Callable[[Dated], int]


def _content_time(one: Dated) -> int:
    return one.time


def newest_first(snapshots: Iterable[Dated], time_of: TimeOf = _content_time) -> Sequence[Dated]:
    """By content time, then by id: the same order however they come."""
    return sorted(snapshots, key=lambda one: (time_of(one), one.id), reverse=True)


def select(keep: Keep, snapshots: Iterable[Dated], time_of: TimeOf = _content_time) -> dict[str, list[str]]:
    """Snapshot id → why it is kept, in words. What nothing selects is not in it."""
    ordered = newest_first(snapshots, time_of)
    reasons: dict[str, list[str]] = {}
    for number, one in enumerate(ordered if keep.last == ALL else ordered[: _number(keep.last)], start=1):
        reasons.setdefault(one.id, []).append("all" if keep.last == ALL else f"last {keep.last} (number {number})")
    if keep.within:
        oldest = time_of(ordered[0]) - round(parse_duration(keep.within) * _NANOSECONDS) if ordered else 0
        for one in ordered:
            if time_of(one) >= oldest:
                reasons.setdefault(one.id, []).append(f"within {keep.within}")
    for name, bucket in BUCKETS.items():
        amount: Amount = getattr(keep, name)
        for label, one in _newest_of_each(ordered, bucket, amount, time_of).items():
            reasons.setdefault(one.id, []).append(f"{name} {label}")
    return reasons


def _newest_of_each(
    ordered: Sequence[Dated], bucket: Callable[[datetime], str], amount: Amount, time_of: TimeOf
) -> dict[str, Dated]:
    found: dict[str, Dated] = {}
    for one in ordered if amount else ():
        label = bucket(_moment(time_of(one)))
        if label not in found:
            if amount != ALL and len(found) >= _number(amount):
                break  # all that follow are older
            found[label] = one
        elif one.is_good and not found[label].is_good:
            found[label] = one
    return found


def _number(amount: Amount) -> int:
    return 0 if isinstance(amount, str) else amount


def _moment(time_ns: int) -> datetime:
    return datetime.fromtimestamp(min(max(time_ns // _NANOSECONDS, 0), _LATEST_SECOND), UTC)


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02d}"


BUCKETS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "hourly": lambda moment: f"{moment:%Y-%m-%dT%H}",
    "daily": lambda moment: f"{moment:%Y-%m-%d}",
    "weekly": _week,
    "monthly": lambda moment: f"{moment:%Y-%m}",
    "yearly": lambda moment: f"{moment:%Y}",
}
