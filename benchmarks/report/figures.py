"""Figures out of the results: medians, speeds, ratios. Each function returns None where something was not measured."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

__all__ = ["case", "tool", "seconds", "fastest", "speed", "stored", "limit", "restic_names", "borg_names"]

Results = dict[str, Any]


def case(results: Results, name: str) -> dict[str, Any] | None:
    """What a case found, unless it was left out or skipped."""
    found: dict[str, Any] | None = results["cases"].get(name)
    return None if found is None or "skipped" in found else found


def tool(results: Results, name: str, who: str) -> dict[str, Any] | None:
    """One tool's part of a case."""
    found = case(results, name)
    return None if found is None else found["tools"].get(who)


def seconds(found: dict[str, Any] | None, operation: str) -> list[float]:
    """All measured times of an operation."""
    return [] if found is None else [took["seconds"] for took in found["operations"].get(operation, [])]


def speed(results: Results, name: str, who: str, operation: str) -> float | None:
    """Source bytes per second, from the median time."""
    times = seconds(tool(results, name, who), operation)
    found = case(results, name)
    if not times or found is None:
        return None
    size: int = found["next_bytes" if operation.endswith("next") else "bytes"]
    return float(size / median(times))


def fastest(results: Results, name: str, whos: Iterable[str], operation: str) -> float | None:
    """The highest speed among several ways to run one tool."""
    speeds = [found for who in whos if (found := speed(results, name, who, operation)) is not None]
    return max(speeds, default=None)


def stored(found: dict[str, Any] | None, who: str, which: str = "stored") -> float | None:
    """Stored bytes as a share of the source; `stored_next`: what the later state added, as a share of it."""
    if found is None or who not in found["tools"] or not found["tools"][who][which]:
        return None
    size: int = found["next_bytes" if which.endswith("next") else "bytes"]
    return float(median(found["tools"][who][which])) / size


def limit(results: Results, name: str) -> float | None:
    """Bytes per second of one of the machine's limits."""
    found = case(results, "limits")
    if found is None or name not in found["seconds"]:
        return None
    size: int = found["bytes"]
    return float(size / median(found["seconds"][name]))


def _names(results: Results, begin: str) -> list[str]:
    found = case(results, "speed-fp32") or {"tools": {}}
    return [name for name in found["tools"] if name.startswith(begin)]


def restic_names(results: Results) -> list[str]:
    """Every way in which restic was run."""
    return _names(results, "restic")


def borg_names(results: Results) -> list[str]:
    """Every way in which borg was run."""
    return _names(results, "borg")
