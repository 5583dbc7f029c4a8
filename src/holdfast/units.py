"""Durations, sizes and rates as people write them: `90s`, `2h`, `64MiB`, `100MiB/s`, `100Mbit/s`."""

from __future__ import annotations

import math
import re

from holdfast.errors import UsageError

__all__ = ["parse_duration", "parse_size", "parse_rate", "format_duration", "format_size", "format_ratio"]

_DURATIONS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
_SIZES |= {"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_BITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9, "Tbit": 10**12}
_NUMBER_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def _parse(text: str, units: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    match = _NUMBER_UNIT.fullmatch(text)
    if match is None or match[2] not in units:
        raise UsageError(f"{text!r} is not a {what}", hint=f"write a number and a unit, for example {example}")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise UsageError(f"{text[:40]!r}… is no {what} that anything can have")
    return value


def parse_duration(text: str) -> float:
    """`"90s"` → 90.0 seconds. Raises UsageError."""
    return _parse(text, _DURATIONS, "duration", "90s, 5m or 2h")


def parse_size(text: str) -> int:
    """`"64MiB"` → 67108864 bytes. Raises UsageError."""
    return int(_parse(text, _SIZES, "size", "64MiB or 1GB"))


def parse_rate(text: str) -> float:
    """`"100MiB/s"`, `"100Mbit/s"` → bytes per second. Raises UsageError, also for what may be either (`100M`)."""
    amount, slash, second = text.strip().partition("/")
    match = _NUMBER_UNIT.fullmatch(amount)
    unit = match[2] if match is not None else ""
    if match is None or not (slash and second == "s") or (unit not in _SIZES and unit not in _BITS):
        raise UsageError(f"{text[:40]!r} is not a rate{_why_no_rate(match)}", hint="for example 100MiB/s or 10Gbit/s")
    rate = float(match[1]) * (_BITS[unit] / 8 if unit in _BITS else _SIZES[unit])
    if not math.isfinite(rate) or rate < 1:
        raise UsageError(f"{text[:40]!r} is {'less than a byte a second' if rate < 1 else 'no rate of anything'}")
    return rate


def _why_no_rate(match: re.Match[str] | None) -> str:
    """`: it may be bits or bytes`: what is missing, with how it would be written; nothing where that is not known."""
    if match is None or len(match[1]) > 20:
        return ""
    number, unit = match[1], match[2]
    if unit in _SIZES or unit in _BITS:
        return f": it needs a time, as in {number}{unit}/s"
    letter = unit[0].replace("K", "k").replace("m", "M").replace("g", "G")
    if letter in "kMGT" and unit[1:].lower() in ("", "b", "i", "ib", "bps", "bs", "ps"):
        return f": it may be bits or bytes; write {number}{letter}bit/s or {number}{letter}B/s"
    return ""


def format_duration(seconds: float) -> str:
    """`0.0123` → `12 ms`, `75` → `1 min 15 s`, `7300` → `2 h 02 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def format_size(count: float) -> str:
    """`67108864` → `64.0 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} PiB"


def format_ratio(stored: float, original: float) -> str:
    """Stored / original, with three digits; a dash when there is nothing to compare."""
    return f"{stored / original:.3f}" if original else "–"
