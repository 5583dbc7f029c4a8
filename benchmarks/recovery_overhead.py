"""What a planned recovery costs over the bare restore of the same bytes: commands, as people run them, in turns.

In each round, over the same stores and one after the other: `cp` of files of the same bytes (nothing that writes them
is faster), `holdfast restore` at the copy, and `holdfast recover run` of an approved plan to that site: fence, restore,
read all of it again and compare, promote, journal at two stores, evidence. Each begins with the same state of stores
and machine: before each, what the last one wrote is removed, and a plan is made and approved, also where none is run (a
virtual machine gives memory that was freed a moment ago faster than other memory, so that whoever comes right after the
removal would win half a second of 600 MiB). The order within a round changes from round to round.

    python -m benchmarks.recovery_overhead --mib 600 --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from holdfast.clock import from_rfc3339

from .machine import machine_facts
from .measuring import Took, run

__all__ = ["measure", "main"]

_PASSED = "until it had passed"
_BEGIN, _END = "<!-- overhead: begin -->", "<!-- overhead: end -->"
_COPY, _RESTORE, _RUN = "cp -r", "holdfast restore", "holdfast recover run"
_HOLDFAST: Final = Path(sys.executable).with_name("holdfast")
_SITES: Final = ("home", "away", "third")
_KEPT: Final = ("STATE", "CACHE")
_FILE_MIB: Final = 64


class World:
    """Three sites in folders, one asset of `mib` MiB of bytes that do not shrink, a second keeper."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        self.environment = dict(os.environ) | {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", *_KEPT)}
        self._declare()
        self._fill(folder / "bare", mib)
        self.holdfast("vault", "create", folder / "home")
        self.holdfast("key", "export-keeper", "ann", "--vault", folder / "home", "--to", "ann.key")
        self.holdfast("snapshot", "save", "bare", "--asset", "run")
        self.holdfast("site", "sync")
        for name in (*_SITES, *_KEPT):
            _copy(folder / name, folder / "before" / name, links=name in _SITES)

    def holdfast(self, *words: str | Path, more: Mapping[str, str] | None = None) -> Took:
        """Raises CommandFailed."""
        return run([_HOLDFAST, *words], cwd=self.folder, env=self.environment | dict(more or {})).took

    def begin(self) -> None:
        """As it was before the first round, with a new plan that was approved. What stores hold is linked, as nothing
        there is ever replaced.
        """
        for name in (*_SITES, *_KEPT):
            shutil.rmtree(self.folder / name)
            _copy(self.folder / "before" / name, self.folder / name, links=name in _SITES)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "plan.json").unlink(missing_ok=True)
        self.holdfast("recover", "plan", "run", "--to", "away", "--out", "plan.json", "-q")
        self.holdfast(
            "recover", "approve", "plan.json", "--for", "1h", "-q", more={"HOLDFAST_KEY_FILE": f"{self.folder}/ann.key"}
        )
        os.sync()
        time.sleep(0.2)

    def bare_copy(self) -> Took:
        return run(["cp", "-r", "bare", "out"], cwd=self.folder).took

    def restore(self) -> Took:
        return self.holdfast("restore", "run", "out", "--vault", "away", "-q")

    def recovery(self) -> tuple[Took, dict[str, float]]:
        """What the command took, and the seconds of each of the run's steps."""
        command: list[str | Path] = [_HOLDFAST, "recover", "run", "plan.json", "--target", "out", "--yes", "--json"]
        began = time.time()
        ran = run(command, cwd=self.folder, env=self.environment)
        record = json.loads(ran.output)
        assert record["state"] == "PASSED", record
        steps = {step["id"].partition("-")[0]: step["seconds"] or 0.0 for step in record["steps"]}
        passed = from_rfc3339(record["ended"]) / 1e9 - began
        return ran.took, steps | {"taken to ended": record["seconds"], _PASSED: passed}

    def _declare(self) -> None:
        sites = {
            name: {
                "cloud": "onprem",
                "region": name,
                "jurisdiction": "EU",
                "stores": {"warm": {"url": str(self.folder / name)}},
            }
            for name in _SITES
        }
        asset = {"class": "training", "place": {"synchronous": ["home"], "asynchronous": list(_SITES[1:])}}
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
        (self.folder / "holdfast.yaml").write_text(json.dumps(file))

    def _fill(self, folder: Path, mib: int) -> None:
        folder.mkdir()
        random = np.random.default_rng(1)
        for number, done in enumerate(range(0, mib, _FILE_MIB)):
            (folder / f"shard-{number:03d}.bin").write_bytes(random.bytes(min(_FILE_MIB, mib - done) << 20))


def measure(mib: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of each way in each round (of the clock, of the processors), and of the steps of the recoveries."""
    world = World(folder, mib)
    seconds: dict[str, list[float]] = {_COPY: [], _RESTORE: [], _RUN: []}
    processor: dict[str, list[float]] = {_COPY: [], _RESTORE: [], _RUN: []}
    steps: dict[str, list[float]] = {}
    for number in range(rounds + 1):  # the first warms up
        ways = [_COPY, _RESTORE, _RUN]
        for way in ways[number % 3 :] + ways[: number % 3]:
            world.begin()
            if way == _RUN:
                took, of_steps = world.recovery()
                for name, one in of_steps.items() if number else ():
                    steps.setdefault(name, []).append(one)
            else:
                took = world.bare_copy() if way == _COPY else world.restore()
            if number:
                seconds[way].append(took["seconds"])
                processor[way].append(took["cpu_seconds"])
    return {
        "mib": mib,
        "rounds": rounds,
        "seconds": seconds,
        "processor": processor,
        "steps": steps,
        "machine": machine_facts(),
    }


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: medians, with the fastest and the slowest, and the recovery over the restore."""
    lines = ["| | " + " | ".join(f"{one['mib']} MiB" for one in found) + " |", "|---|" + "--:|" * len(found)]
    for way in (_COPY, _RESTORE, _RUN):
        cells = [_spread(one["seconds"][way]) for one in found]
        lines.append(f"| `{way}` | " + " | ".join(cells) + " |")
    for words, of in (
        ("until it had passed, over the restore", [one["steps"][_PASSED] for one in found]),
        ("until its evidence was written, too", [one["seconds"][_RUN] for one in found]),
    ):
        cells = []
        for one, values in zip(found, of, strict=True):
            bare, whole = statistics.median(one["seconds"][_RESTORE]), statistics.median(values)
            cells.append(f"{whole - bare:+.2f} s, {100 * (whole / bare - 1):+.1f} %")
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    for way in (_RESTORE, _RUN):
        lines.append(
            f"| processor time of `{way}` | " + " | ".join(_spread(one["processor"][way]) for one in found) + " |"
        )
    for step in ("fence", "restore", "verify", "promote", "taken to ended", _PASSED):
        cells = [_spread(one["steps"][step]) for one in found]
        lines.append(f"| of it: {step} | " + " | ".join(cells) + " |")
    machine = found[0]["machine"]
    rounds = ", ".join(str(one["rounds"]) for one in found)
    lines += ["", f"Medians (fastest to slowest) of {rounds} rounds; {machine['processor']}, {machine['cores']} cores."]
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def _copy(source: Path, target: Path, *, links: bool) -> None:
    if source.exists():
        shutil.copytree(source, target, symlinks=True, copy_function=os.link if links else shutil.copy2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, nargs="+", default=[600, 2048])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the stores are made; four times the bytes")
    parser.add_argument("--docs", type=Path, help="the page whose table is made anew")
    options = parser.parse_args()
    found = []
    for mib in options.mib:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found.append(measure(mib, options.rounds, Path(folder)))
    print(json.dumps(found, indent=2))
    print(table(found), file=sys.stderr)
    if options.docs:
        fresh = f"{_BEGIN}\n{table(found)}{_END}"
        page = options.docs.read_text()
        options.docs.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: fresh, page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
