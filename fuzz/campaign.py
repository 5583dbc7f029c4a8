"""One target for some time: change what is kept, run it, keep what reached lines that nothing reached before."""

from __future__ import annotations

import faulthandler
import mmap
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from fuzz.corpus import keep_crash
from fuzz.coverage import Coverage
from fuzz.guard import judge
from fuzz.model import Finding, Outcome, Target
from fuzz.mutate import mutated

__all__ = ["Spent", "distilled", "fuzz", "last_input", "replay"]

_FINDINGS_MOST = 20  # of one run, different places
_NOTE_BYTES = 1 << 20  # of the file that says what ran last, should the process die
_DIES_AFTER = 60  # seconds in native code that no signal reaches


class Spent(NamedTuple):
    """What a run came to. `edges`: pairs of lines reached, by all that is kept."""

    target: str
    runs: int
    accepted: int
    refused: int
    edges: int
    kept: int
    seconds: float
    findings: list[Path]


class _Run:
    """The state of one campaign on one target."""

    def __init__(self, target: Target, inputs: Iterable[bytes], note: Path | None) -> None:
        self.target = target
        self.coverage = Coverage()
        self.edges: set[tuple[int, int, int]] = set()
        self.kept: list[bytes] = []
        self.runs = self.accepted = self.refused = 0
        self.places: set[str] = set()
        self.findings: list[Path] = []
        self._note = _Note(note) if note is not None else None
        self._known: set[bytes] = set()
        for data in inputs:
            self.try_(data)

    def try_(self, data: bytes) -> bool:
        """Run it; whether it was new."""
        if data in self._known:
            return False
        if self._note is not None:
            self._note.write(data)
        outcome = self.coverage.of(lambda: judge(self.target, data))
        self.runs += 1
        if isinstance(outcome, Finding):
            self._found(data, outcome)
            return False
        self.accepted += outcome is Outcome.ACCEPTED
        self.refused += outcome is Outcome.REFUSED
        if self.coverage.edges <= self.edges:
            return False
        self.edges |= self.coverage.edges
        self.kept.append(data)
        self._known.add(data)
        return True

    def _found(self, data: bytes, finding: Finding) -> None:
        place = "\n".join(line for line in finding.text.splitlines() if line.startswith("  File"))
        if place in self.places or len(self.findings) >= _FINDINGS_MOST:
            return
        self.places.add(place)
        self.findings.append(keep_crash(self.target.name, data, finding))


class _Note:
    """The input that runs now, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(_NOTE_BYTES)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _NOTE_BYTES)

    def write(self, data: bytes) -> None:
        cut = data[: _NOTE_BYTES - 8]
        self._map[:8] = len(cut).to_bytes(8, "little")
        self._map[8 : 8 + len(cut)] = cut


def last_input(note: Path) -> bytes:
    """What ran last in a process that is gone."""
    data = note.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def fuzz(
    target: Target,
    inputs: Iterable[bytes],
    *,
    seconds: float,
    seed: int,
    note: Path | None = None,
    keep: Callable[[bytes], None] = lambda data: None,
) -> Spent:
    """Seeds and `inputs` first, then what becomes of them, for that long. `keep` is told of each that is new."""
    began = time.monotonic()
    if hasattr(sys.stderr, "fileno") and note is not None:
        faulthandler.enable()
    run = _Run(target, [*target.seeds(), *inputs], note)
    chance = random.Random(seed)
    while time.monotonic() - began < seconds:
        if note is not None:
            faulthandler.dump_traceback_later(_DIES_AFTER, exit=True)
        for _ in range(50):
            data = mutated(chance, _chosen(chance, run.kept), run.kept, target.tokens, target.max_bytes)
            if run.try_(data):
                keep(data)
    if note is not None:
        faulthandler.cancel_dump_traceback_later()
    spent = time.monotonic() - began
    return Spent(target.name, run.runs, run.accepted, run.refused, len(run.edges), len(run.kept), spent, run.findings)


def _chosen(chance: random.Random, kept: list[bytes]) -> bytes:
    """The newest are chosen as often as all others: they are where something is being found."""
    if not kept:
        return b""
    return chance.choice(kept[-20:] if chance.random() < 0.5 else kept)


def distilled(target: Target, inputs: Iterable[bytes], *, most_bytes: int) -> list[bytes]:
    """The inputs that are needed to reach what all reach beyond the seeds, small ones first, up to that size."""
    run = _Run(target, target.seeds(), None)
    chosen, size = [], 0
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        if size + len(data) <= most_bytes and run.try_(data):
            chosen.append(data)
            size += len(data)
    return chosen


def replay(target: Target, inputs: Iterable[bytes], mutations: int, seed: int) -> list[Finding]:
    """Seeds, these inputs, and some hundred changed ones, without looking at coverage. What must not happen."""
    seeds = target.seeds()
    if not seeds or judge(target, seeds[0]) is not Outcome.ACCEPTED:
        return [Finding("seed", f"{target.name} does not accept its first seed: {judge(target, seeds[0])}")]
    pool = [*seeds, *inputs]
    chance = random.Random(seed)
    changed = (mutated(chance, chance.choice(pool), pool, target.tokens, target.max_bytes) for _ in range(mutations))
    outcomes = (judge(target, data) for data in (*pool, *changed))
    return [outcome for outcome in outcomes if isinstance(outcome, Finding)]
