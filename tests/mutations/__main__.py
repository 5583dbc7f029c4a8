"""Take each guard of docs/threat-model.md away and demand that its test fails: `python -m tests.mutations [ROW …]`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from .model import Guard
from .table import GUARDS
from .trying import Tried, copy_tree, try_guards


def _chosen(rows: list[str]) -> list[Guard]:
    unknown = sorted(set(rows) - {guard.row for guard in GUARDS})
    if unknown:
        raise SystemExit(f"no row of docs/threat-model.md with a guard is called {', '.join(unknown)}")
    return [guard for guard in GUARDS if not rows or guard.row in rows]


def _tell(tried: Tried) -> None:
    guard, verdict = tried.guard, "killed" if tried.killed else "SURVIVED"
    print(f"{guard.row:4} {verdict:8} {tried.seconds:5.1f} s  {guard.name}", flush=True)
    print(f"{'':22}{guard.test}\n{'':22}{tried.reason[:110]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows of docs/threat-model.md, such as W3; all of them")
    guards = _chosen(parser.parse_args().rows)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-mutations-") as folder:
        tried = try_guards(copy_tree(Path(folder)), guards, _tell)
    survivors = [one for one in tried if not one.killed]
    rows = len({guard.row for guard in guards})
    print(f"{rows} rows, {len(tried)} guards, {len(survivors)} survived, {time.monotonic() - began:.0f} s")
    raise SystemExit(1 if survivors else 0)


if __name__ == "__main__":
    main()
