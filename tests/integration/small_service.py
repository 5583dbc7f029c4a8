"""A service of a few lines: counts in `state`, beats, and writes what it has when it is asked to end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--machine", type=int)
    parser.add_argument("--fail-at", default="")
    options = parser.parse_args()
    if options.fail_at == os.environ["HOLDFAST_SITE"]:
        sys.stderr.write("the licence has run out\n")
        return 3
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    first = options.machine == 0
    with (options.data.parent / "starts").open("a") as starts:
        starts.write(f"{os.environ['HOLDFAST_SITE']} {options.machine} of {os.environ['HOLDFAST_MACHINES']}\n")
    count = int((options.data / "state").read_text())
    while not stop:
        count += 1
        if first:
            write(options.data / "beat", str(count))
        time.sleep(0.02)
    if first:
        write(options.data / "state", str(count))
    return 0


def write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
