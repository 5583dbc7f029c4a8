"""Small pieces of text that a person reads: counts, times, ratios, names that may hold anything."""

from __future__ import annotations

import unicodedata

from holdfast.clock import NANOSECONDS, from_rfc3339

__all__ = ["count", "age", "moment", "share", "printable", "clean", "short_id"]

SHORT_ID = 12  # ten characters of milliseconds and two random ones: unique among all but simultaneous snapshots

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h"), (float("inf"), 86_400, "d"))


def count(number: int, noun: str) -> str:
    """`count(1, "file")` → `1 file`, `count(3, "file")` → `3 files`, thousands apart."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def age(time: str, now_ns: int) -> str:
    """How long ago an RFC 3339 time was: `3 min ago`. A time in the future (clocks differ) says so."""
    seconds = (now_ns - from_rfc3339(time)) / NANOSECONDS
    if abs(seconds) < 1:
        return "just now"
    for below, unit_seconds, unit in _STEPS:
        if abs(seconds) < below:
            amount = f"{int(abs(seconds) / unit_seconds)} {unit}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    raise AssertionError("the last step is infinite")


def moment(time: str, now_ns: int) -> str:
    """The exact time and how long ago that was: `2026-11-20 10:00:00 UTC (3 min ago)`."""
    return f"{time[:10]} {time[11:19]} UTC ({age(time, now_ns)})"


def share(part: float, whole: float) -> str:
    """`0.527` → `53 %`; a dash when there is nothing to compare."""
    return f"{100 * part / whole:.0f} %" if whole else "–"


def short_id(snapshot: str, taken: int = SHORT_ID) -> str:
    """The beginning of a snapshot's id, which is enough to refer to it."""
    return snapshot[:taken]


def clean(text: str) -> str:
    """The text as valid Unicode: bytes of file names that are none become `\\udcff`."""
    return text.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """The text with control characters and broken Unicode escaped: names come from files, and may try anything."""
    if text.isprintable():  # nearly always, and decided at once
        return text
    return "".join(character if _harmless(character) else _escaped(character) for character in text)


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]
