"""`python -m fuzz [TARGET…] --minutes M --seed S --jobs N`: a campaign over targets, each in a process of its own.

What is new goes to `fuzz/corpus/<target>/`, where the next campaign begins; at its end it is distilled to the needed.
What must not happen goes to `fuzz/crashes/`, and the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz import corpus, with_atheris
from fuzz.campaign import Spent, distilled, fuzz, last_input
from fuzz.model import Finding

_KEPT_BYTES = 16 << 10  # of one target's corpus
_REPORT = "spent"


def main() -> int:
    options = _options()
    if options.list:
        from fuzz.targets import TARGETS

        print("\n".join(TARGETS))
        return 0
    if options.one:
        return _one(options)
    from fuzz.targets import TARGETS

    names = options.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        sys.exit(f"there is no target {', '.join(unknown)}; see --list")
    seconds = 60 * options.minutes * options.jobs / len(names)
    engine = "atheris" if options.engine != "own" and with_atheris.is_there() else "own"
    if options.engine == "atheris" and engine == "own":
        sys.exit("atheris is not installed in this environment: `pip install atheris`, or --engine own")
    print(f"{len(names)} targets, {seconds:.0f} s each, {options.jobs} at a time, engine: {engine}", flush=True)
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as work, ThreadPoolExecutor(options.jobs) as pool:
        done = pool.map(lambda name: _in_process(name, seconds, options.seed, engine, Path(work)), names)
        return 1 if sum([_told(name, one) for name, one in zip(names, done, strict=True)]) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the parsers and decoders of Holdfast.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them by default")
    parser.add_argument("--minutes", type=float, default=60.0, help="for all targets together, on the clock")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--engine", choices=("any", "own", "atheris"), default="any")
    parser.add_argument("--list", action="store_true", help="the names of all targets")
    parser.add_argument("--one", nargs=3, metavar=("SECONDS", "ENGINE", "WORK"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_process(name: str, seconds: float, seed: int, engine: str, work: Path) -> dict[str, object]:
    """The target in a process that may die. A fresh home: nothing is remembered of or for the user."""
    folder = work / name
    folder.mkdir()
    homes = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("STATE", "CACHE", "CONFIG")}
    environment = os.environ | homes | {"MALLOC_ARENA_MAX": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "fuzz", name, "--seed", str(seed), "--one", str(seconds), engine, str(folder)]
    log = folder / "log"
    with log.open("wb") as output:
        ended = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    report = folder / _REPORT
    if report.exists():
        told: dict[str, object] = json.loads(report.read_text())
        return told
    note = folder / "note"
    data = last_input(note) if note.exists() else b""
    text = log.read_text("utf-8", "replace")[-20_000:]
    crash = corpus.keep_crash(name, data, Finding(f"died-{ended.returncode}", text))
    return {"target": name, "died": ended.returncode, "findings": [str(crash)]}


def _one(options: argparse.Namespace) -> int:
    [name], (seconds, engine, work) = options.targets, options.one
    if engine == "atheris":
        with_atheris.instrument()
    from fuzz.targets import TARGETS

    target, known = TARGETS[name], corpus.kept(name)
    new: list[bytes] = []
    if engine == "atheris":
        new, spent = with_atheris.fuzz(target, known, seconds=float(seconds), seed=options.seed, work=Path(work))
    else:
        note = Path(work) / "note"
        spent = fuzz(target, known, seconds=float(seconds), seed=options.seed, note=note, keep=new.append)
    needed = distilled(target, [*known, *new], most_bytes=_KEPT_BYTES)
    corpus.replace_kept(name, needed)
    facts = spent._replace(kept=len(needed))._asdict() | {"findings": [str(path) for path in spent.findings]}
    (Path(work) / _REPORT).write_text(json.dumps(facts))
    return 0


def _told(name: str, facts: dict[str, object]) -> int:
    findings = facts["findings"]
    assert isinstance(findings, list)
    if "died" in facts:
        print(f"{name:20} DIED ({facts['died']})", flush=True)
    else:
        spent = Spent(**facts)  # type: ignore[arg-type]  # of our own process
        print(
            f"{name:20} {spent.runs:9,} runs  {spent.accepted:9,} accepted  {spent.edges:5,} edges  "
            f"{spent.kept:4} kept  {spent.seconds:6.0f} s  {len(findings)} findings",
            flush=True,
        )
    for path in findings:
        print(f"  {path}", flush=True)
    return len(findings)


if __name__ == "__main__":
    sys.exit(main())
