"""The same targets under atheris (libFuzzer), where it is installed: it sees comparisons, and is faster.

It is no dependency: it exists for few interpreters and systems. Without it, `fuzz.campaign` has an engine of its own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from fuzz.campaign import Spent
from fuzz.corpus import keep_crash
from fuzz.guard import judge
from fuzz.model import Finding, Outcome, Target

__all__ = ["fuzz", "instrument", "is_there"]

_RSS_MB = 4096
_TIMEOUT = 60  # seconds in native code that no signal reaches


def is_there() -> bool:
    return importlib.util.find_spec("atheris") is not None


def instrument() -> None:
    """Before anything of the package is imported: atheris looks at modules while they are loaded."""
    import atheris

    loader = atheris.instrument_imports(include=["holdfast"])
    loader.__enter__()


def fuzz(
    target: Target, inputs: Iterable[bytes], *, seconds: float, seed: int, work: Path
) -> tuple[list[bytes], Spent]:
    """What libFuzzer finds new in that time, and what it came to. It runs in a child, as it ends its process."""
    found = work / "found"
    found.mkdir()
    for number, data in enumerate([*target.seeds(), *inputs]):
        (found / f"seed-{number}").write_bytes(data)
    began = time.monotonic()
    figures = work / "figures"
    child = os.fork()
    if not child:
        _fuzz_for_good(target, found, figures, seconds, seed, work)
    _, status = os.waitpid(child, 0)
    findings = sorted(work.glob("crash-*")) + sorted(work.glob("timeout-*")) + sorted(work.glob("oom-*"))
    kept = [
        keep_crash(target.name, path.read_bytes(), Finding(path.name.split("-")[0], str(status))) for path in findings
    ]
    kept += [Path(line) for line in (work / "crashes").read_text().splitlines()] if (work / "crashes").exists() else []
    runs, accepted, refused = map(int, figures.read_text().split()) if figures.exists() else (0, 0, 0)
    new = [path.read_bytes() for path in found.iterdir() if not path.name.startswith("seed-")]
    return new, Spent(target.name, runs, accepted, refused, 0, len(new), time.monotonic() - began, kept)


def _fuzz_for_good(target: Target, found: Path, figures: Path, seconds: float, seed: int, work: Path) -> None:
    import atexit

    import atheris

    counts = {Outcome.ACCEPTED: 0, Outcome.REFUSED: 0}
    places: set[str] = set()
    runs = 0

    def note() -> None:
        figures.write_text(f"{runs} {counts[Outcome.ACCEPTED]} {counts[Outcome.REFUSED]}")

    def test(data: bytes) -> None:
        nonlocal runs
        runs += 1
        outcome = judge(target, data)
        if isinstance(outcome, Finding):
            place = "\n".join(line for line in outcome.text.splitlines() if line.startswith("  File"))
            if place not in places:
                places.add(place)
                with (work / "crashes").open("a") as file:
                    file.write(f"{keep_crash(target.name, data, outcome)}\n")
            return
        counts[outcome] += 1
        if not runs & 255:
            note()

    atexit.register(note)
    tokens = work / "tokens"
    tokens.write_text("".join(f'"{"".join(f"{chr(92)}x{byte:02x}" for byte in token)}"\n' for token in target.tokens))
    arguments = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-seed={seed % (1 << 31) or 1}",
        f"-max_len={target.max_bytes}",
    ]
    arguments += [f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_RSS_MB}", f"-artifact_prefix={work}/", f"-dict={tokens}"]
    atheris.Setup([sys.argv[0], *arguments, str(found)], test)
    atheris.Fuzz()
    os._exit(0)
