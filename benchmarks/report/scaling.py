"""Whether time and memory grow as they should from the smallest to the largest save."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from .figures import Results, case

__all__ = ["LARGEST", "by_size", "time_spread", "memory_growth"]

LARGEST = 16 << 30  # bytes of the largest save that the target names


def by_size(results: Results) -> dict[int, tuple[float, float]]:
    """Bytes → median seconds, median peak bytes; smallest first."""
    found = case(results, "linear")
    times: dict[int, list[float]] = defaultdict(list)
    peaks: dict[int, list[float]] = defaultdict(list)
    for save in found["saves"] if found else []:
        times[save["bytes"]].append(save["took"]["seconds"])
        peaks[save["bytes"]].append(save["took"]["peak_bytes"])
    return {size: (median(times[size]), median(peaks[size])) for size in sorted(times)}


def time_spread(results: Results) -> float | None:
    """Of the seconds per byte at each size: the most divided by the least."""
    shares = [seconds / size for size, (seconds, _) in by_size(results).items()]
    return max(shares) / min(shares) if len(shares) > 1 else None


def memory_growth(results: Results) -> float | None:
    """Peak memory of the largest save divided by that of the smallest."""
    peaks = [peak for _, peak in by_size(results).values()]
    return peaks[-1] / peaks[0] if len(peaks) > 1 else None
