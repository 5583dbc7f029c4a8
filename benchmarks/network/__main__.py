"""`python -m benchmarks.network [--quick] [--only PART …] [--docs FILE]`: writes benchmarks/results/network.json.

Needs root and Linux for the long line. With --docs, the tables in that page are made anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_facts
from benchmarks.network.cost import costs
from benchmarks.network.distance import congestion_control, distances
from benchmarks.network.limiting import limits, overtaking
from benchmarks.network.page import tables, written_into
from benchmarks.network.rounds import rounds

RESULTS = Path(__file__).parents[1] / "results" / "network.json"
PARTS = ("limits", "overtaking", "distances", "rounds", "costs")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute in all; writes no results")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts; the others stay")
    parser.add_argument("--docs", type=Path, help="the page to write the tables into")
    given = parser.parse_args(arguments)
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() and not given.quick else {}
    memory = Path("/dev/shm")  # lines are measured, not disks
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as temporary:
        folder = Path(temporary)
        measure = {
            "limits": lambda: limits([10] if given.quick else [1, 10, 100], 1.0 if given.quick else 5.0, folder),
            "overtaking": lambda: overtaking([10] if given.quick else [1, 10, 100], 3 if given.quick else 10),
            "distances": lambda: distances(folder, *((16, 1 << 20) if given.quick else (24, 8 << 20))),
            "rounds": lambda: rounds(folder / "rounds", 2 if given.quick else 5),
            "costs": lambda: costs(1.0 if given.quick else 5.0),
        }
        for part in given.only:
            print(f"measuring {part}", file=sys.stderr)
            found[part] = measure[part]()
            found["machine"] = machine_facts() | {"congestion control": congestion_control()}
            if not given.quick:
                RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(tables(found))
    if given.docs:
        given.docs.write_text(written_into(given.docs.read_text("utf-8"), found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
