"""Targets whose measurements are programs of their own: which of their figures is judged.

A target that names a size is judged only if the program ran at that size: a quick run says nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from .figures import Results, case

__all__ = ["ROWS", "middle"]


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


GIB, SNAPSHOTS, CHUNKS = 10, 10_000, 5_000_000  # the sizes that the targets name


def _at_scale(results: Results, name: str, size: str, least: float) -> dict[str, Any] | None:
    """What a program found, if its `size` was large enough."""
    found = case(results, name)
    return found if found is not None and found.get(size, 0) >= least else None


def _figure(name: str, size: str, least: float, *path: str, scale: float = 1.0) -> Callable[[Results], float | None]:
    """A number inside of what the program printed; None where it is not there."""

    def measure(results: Results) -> float | None:
        found: Any = _at_scale(results, name, size, least)
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return None
            found = found[key]
        return float(found) * scale if isinstance(found, int | float) else None

    return measure


def _bytes_read(results: Results) -> float | None:
    """The worse of the first read on this machine and the later ones."""
    found = _at_scale(results, "lazy-reading", "gib", GIB)
    if found is None:
        return None
    return float(max(found[which]["bytes_read"] / found[which]["tensor_bytes"] for which in ("first", "best")))


def _index(key: str, scale: float = 1.0) -> Callable[[Results], float | None]:
    """A figure of the index benchmark, if its largest index is large enough."""

    def measure(results: Results) -> float | None:
        found = case(results, "large-index")
        if found is None or "sizes" not in found or found["sizes"][-1]["chunks"] < CHUNKS:
            return None
        return float(found[key]) * scale

    return measure


_ONE, _MANY, _INDEX = "4 MiB out of 10 GiB", "10,000 snapshots", "index of 5 M chunks"
# As the fields of `targets.Target`.
_list = _figure("many-snapshots", "snapshots", SNAPSHOTS, "list", "again, whole process")
_save = _figure("many-snapshots", "snapshots", SNAPSHOTS, "save", "64 MiB", "ratio")
_save_collected = _figure("many-snapshots", "snapshots", SNAPSHOTS, "save, collected", "64 MiB", "ratio")
_lazy = _figure("lazy-reading", "gib", GIB, "median_seconds", scale=1e3)
ROWS: list[tuple[str, str, str, float, bool, Callable[[Results], float | None], str]] = [
    ("lazy-time", _ONE, "time, cold in process", 50, False, _lazy, "ms"),
    ("lazy-bytes", _ONE, "bytes read / its size", 3, False, _bytes_read, "×"),
    ("many-list", _MANY, "list, whole process", 1, False, _list, "s"),
    ("many-save", _MANY, "save / with 10 there, uncollected", 1.1, False, _save, "×"),
    ("many-save-collected", _MANY, "the same once collected", 1.1, False, _save_collected, "×"),
    ("index-memory", _INDEX, "resident", 600, False, _index("resident_bytes", 2**-20), "MiB"),
    ("index-flat", _INDEX, "look-up, largest / smallest", 1.5, False, _index("lookup_ratio"), "×"),
]
