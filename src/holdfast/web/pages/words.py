"""How values are written on pages: times in UTC with how long ago, durations, sizes, the looks of states. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, isnan
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS, from_rfc3339
from holdfast.units import format_duration, format_size

__all__ = [
    "FILTERS",
    "Look",
    "LOOKS",
    "ago",
    "answer",
    "clock_time",
    "duration",
    "exact_time",
    "look",
    "money",
    "number",
]
__all__ += ["percent", "rate", "short_id", "size", "step_number"]

DASH: Final = "–"


class Look(NamedTuple):
    """`css`: class of the badge; `icon`: its shape, so that no state is told by its colour alone."""

    css: str
    icon: str
    words: str


LOOKS: Final = {
    "MET": Look("met", "check", "Met"),
    "AT_RISK": Look("risk", "triangle", "At risk"),
    "BREACHED": Look("missed", "cross", "Breached"),
    "NOT_MEASURED": Look("unknown", "question", "Not measured"),
    "UNATTAINABLE": Look("invalid", "barred", "Unattainable"),
    "MISSED": Look("missed", "cross", "Missed"),
    "INVALID": Look("invalid", "barred", "Invalid"),
    "PASSED": Look("met", "check", "Passed"),
    "FAILED": Look("missed", "cross", "Failed"),
    "STOPPED": Look("risk", "square", "Stopped"),
    "ERROR": Look("invalid", "barred", "Error"),
    "planned": Look("plain", "circle", "Planned"),
    "running": Look("going", "play", "Running"),
    "paused": Look("risk", "pause", "Paused"),
    "stopping": Look("risk", "square", "Stopping"),
    "waiting": Look("unknown", "circle", "Waiting"),
    "begun": Look("going", "play", "Under way"),
    "done": Look("met", "check", "Done"),
    "failed": Look("missed", "cross", "Failed"),
    "dropped": Look("unknown", "circle", "Dropped"),
    "undoing": Look("invalid", "back", "Taking back"),
    "undone": Look("invalid", "back", "Taken back"),
    "skipped": Look("risk", "skip", "Skipped"),
    "open": Look("missed", "triangle", "Open"),
    "acknowledged": Look("risk", "check", "Acknowledged"),
    "resolved": Look("met", "check", "Resolved"),
    "closed": Look("met", "check", "Closed"),
    "overdue": Look("missed", "cross", "Overdue"),
    "critical": Look("missed", "cross", "Critical"),
    "high": Look("missed", "triangle", "High"),
    "warning": Look("risk", "triangle", "Warning"),
    "medium": Look("risk", "triangle", "Medium"),
    "low": Look("plain", "circle", "Low"),
    "info": Look("plain", "circle", "Info"),
    "good": Look("met", "check", "Good"),
    "warned": Look("risk", "triangle", "Warned"),
    "quarantined": Look("missed", "barred", "Quarantined"),
    "set aside": Look("missed", "barred", "Set aside"),
    "yes": Look("met", "check", "Yes"),
    "no": Look("missed", "cross", "No"),
    "unproven": Look("unknown", "question", "Unproven"),
    "ok": Look("met", "check", "Answers"),
    "silent": Look("missed", "cross", "Silent"),
    "drained": Look("risk", "triangle", "Drained"),
    "draining": Look("risk", "triangle", "Draining"),
    "expired": Look("missed", "cross", "Expired"),
    "ends soon": Look("risk", "triangle", "Ends soon"),
    "valid": Look("met", "check", "Valid"),
    "revoked": Look("plain", "barred", "Revoked"),
    "QUEUED": Look("plain", "circle", "Queued"),
    "RUNNING": Look("going", "play", "Running"),
    "DONE": Look("met", "check", "Done"),
    "CANCELLED": Look("risk", "square", "Cancelled"),
    "allow": Look("met", "check", "Allowed"),
    "deny": Look("missed", "cross", "Denied"),
}


def look(state: str) -> Look:
    """Of a state that no page knows: plain, in its own word."""
    return LOOKS.get(state) or LOOKS.get(state.lower()) or Look("plain", "circle", state or DASH)


def duration(seconds: float | None, instead: str = "not measured") -> str:
    """Of what was never measured and of what never ends, too."""
    if seconds is None or isnan(seconds):
        return instead
    if seconds >= 1e9:
        return "everything"
    return format_duration(max(0.0, seconds))


def ago(text: str | None, now: str) -> str:
    """`3 min ago`, `in 2 h`; a dash without a time."""
    if not text:
        return DASH
    try:
        seconds = (from_rfc3339(now) - from_rfc3339(text)) / NANOSECONDS
    except ValueError:
        return "at a time that cannot be read"
    if abs(seconds) < 1:
        return "now"
    words = _rough(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def _rough(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (seconds >= length and unit != "d"):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock_time(text: str | None) -> str:
    """`2026-11-22 02:40:08` in UTC."""
    return DASH if not text else text[:19].replace("T", " ")


def exact_time(text: str | None) -> str:
    return DASH if not text else f"{text[:19].replace('T', ' ')} UTC"


def size(count: float | None) -> str:
    if count is None or not isfinite(count):
        return DASH
    return format_size(count) if abs(count) < 1e21 else f"{count:.4g} B"


def rate(bytes_per_second: float | None) -> str:
    return "no limit" if bytes_per_second is None else f"{format_size(bytes_per_second)}/s"


def number(value: float | None) -> str:
    if value is None:
        return DASH
    if not isfinite(value) or abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:,.4g}"


def step_number(value: int | None) -> str:
    return "" if value is None else f"step {value:,}"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else DASH


def money(amount: float | None, currency: str = "USD") -> str:
    """What rounds to nothing is not said to cost nothing."""
    if amount is None:
        return "not priced"
    return f"under 0.01 {currency}" if 0 < amount < 0.005 else f"{amount:,.2f} {currency}"


def short_id(text: str) -> str:
    """The beginning of a hash or a snapshot's id: the whole is in the JSON, and in the title."""
    return text if len(text) <= 14 else f"{text[:12]}…"


def answer(tallies: Mapping[str, int], total: int) -> str:
    """To "could we recover now?", in a sentence: what is bad first, and what nobody knows is not called good."""
    if not total:
        return "No asset is declared: nothing can be said."
    bad = [
        (tallies.get("BREACHED", 0), "could not be recovered as promised", ""),
        (tallies.get("UNATTAINABLE", 0), "cannot always be recovered as promised, as things are set up", ""),
        (tallies.get("NOT_MEASURED", 0), "is not measured, so nobody can tell", "are not measured, so nobody can tell"),
        (tallies.get("AT_RISK", 0), "could be recovered, but is at risk", "could be recovered, but are at risk"),
    ]
    words = [(count, (more if count > 1 else "") or one) for count, one, more in bad if count]
    good = tallies.get("MET", 0)
    if not words:
        return (
            f"All {total:,} assets could be recovered as promised."
            if total > 1
            else "The one asset could be recovered as promised."
        )
    (count, text), *others = words
    said = [f"{count:,} of {total:,} {'asset' if total == 1 else 'assets'} {text}"]
    said += [f"{count:,} {text}" for count, text in others]
    return "; ".join([*said, f"{good:,} could be, as promised"] if good else said) + "."


FILTERS: Final = {
    "answer": answer,
    "duration": duration,
    "ago": ago,
    "clock": clock_time,
    "exact": exact_time,
    "size": size,
    "rate": rate,
    "number": number,
    "step": step_number,
    "percent": percent,
    "money": money,
    "short": short_id,
    "look": look,
}
