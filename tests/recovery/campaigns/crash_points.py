"""All crash points, each looked at in whole: `python -m tests.recovery.campaigns.crash_points [name …]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from holdfast.testing.workspace import own_memory

from ..crash_cases import CASES, Worlds, run_case


def run(names: list[str], *, thorough: bool = True) -> int:
    """Print a table, return the number of points. Raises BrokenInvariant."""
    total = 0
    print(f"{'':20}operations  writes  crashes  lost answers  looked at  seconds", flush=True)
    with tempfile.TemporaryDirectory() as place, own_memory(Path(place) / "memory"):
        worlds = Worlds(Path(place) / "worlds")
        for name in names:
            began = time.monotonic()
            points = run_case(name, worlds, Path(place) / "work", thorough=thorough)
            total += points.crashes + points.lost_answers
            numbers = f"{points.operations:>10}  {points.writes:>6}  {points.crashes:>7}  {points.lost_answers:>12}"
            print(f"{name:20}{numbers}  {points.looked_at:>9}  {time.monotonic() - began:>7.1f}", flush=True)
    print(f"{total} points, nothing lost", flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *CASES], metavar="name")
    given = parser.parse_args()
    run(given.names or list(CASES))


if __name__ == "__main__":
    main()
