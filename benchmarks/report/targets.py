"""The targets, and whether they were met. A target is judged by medians of one run, and never by an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import programs
from .figures import Results, borg_names, case, fastest, limit, restic_names, speed, stored
from .numbers import number
from .scaling import LARGEST, by_size, memory_growth, time_spread

__all__ = ["Target", "Verdict", "TARGETS", "judge", "verdict_lines", "divide"]

COMMAND, LIBRARY = "holdfast", "holdfast API"
_MISSING = "NOT_MEASURED"


class Target(NamedTuple):
    """`key` names it in explanations.toml. `least`: more is better, and `bound` the least that meets it."""

    key: str
    group: str
    text: str
    bound: float
    least: bool
    measure: Callable[[Results], float | None]
    unit: str = "×"


class Verdict(NamedTuple):
    """A target beside what was measured. `word`: MET, MISSED or NOT_MEASURED."""

    target: Target
    measured: float | None

    @property
    def word(self) -> str:
        if self.measured is None:
            return _MISSING
        met = self.measured >= self.target.bound if self.target.least else self.measured <= self.target.bound
        return "MET" if met else "MISSED"


def divide(above: float | None, below: float | None) -> float | None:
    """None if either is not known."""
    return None if above is None or not below else above / below


def _times(operation: str, names: Callable[[Results], list[str]]) -> Callable[[Results], float | None]:
    """Speed of the holdfast command, as a multiple of the fastest way to run another."""

    def measure(results: Results) -> float | None:
        own = speed(results, "speed-fp32", COMMAND, operation)
        return divide(own, fastest(results, "speed-fp32", names(results), operation))

    return measure


def _of_limit(operation: str, name: str) -> Callable[[Results], float | None]:
    return lambda results: divide(speed(results, "speed-fp32", LIBRARY, operation), limit(results, name))


def _of_own(kind: str, operation: str, other: str) -> Callable[[Results], float | None]:
    """One operation's speed as a share of another's."""
    where = f"speed-{kind}"
    return lambda results: divide(speed(results, where, LIBRARY, operation), speed(results, where, LIBRARY, other))


def _zipnn(results: Results) -> float | None:
    own = speed(results, "speed-fp32", LIBRARY, "save")
    return divide(own, speed(results, "speed-fp32", "ZipNN, in memory", "save"))


def _ratio(kind: str, later: str) -> Callable[[Results], float | None]:
    """Stored share of one state (`later` empty), or of the state so many steps later."""

    def measure(results: Results) -> float | None:
        found = case(results, "ratios")
        if found is None:
            return None
        return stored(found[kind][later or "+1"], LIBRARY, "stored_next" if later else "stored")

    return measure


def _over_entropy(kind: str) -> Callable[[Results], float | None]:
    def measure(results: Results) -> float | None:
        found = case(results, "ratios")
        if found is None:
            return None
        bound = found[kind]["entropy"]
        return divide(stored(found[kind]["+1"], LIBRARY), bound["bound"] / bound["bytes"])

    return measure


def _durable(results: Results) -> float | None:
    return divide(speed(results, "durable", COMMAND, "save"), speed(results, "durable", "cp + fsync", "save"))


def _sealed(operation: str) -> Callable[[Results], float | None]:
    """Time with encryption as a multiple of that without: medians of one run in turns."""
    return lambda results: divide(
        speed(results, "encryption", f"{LIBRARY}, no encryption", operation),
        speed(results, "encryption", LIBRARY, operation),
    )


def _if_grown(measure: Callable[[Results], float | None]) -> Callable[[Results], float | None]:
    """Nothing, unless the largest save was as large as the target says."""
    return lambda results: measure(results) if max(by_size(results), default=0) >= LARGEST else None


def _import_time(results: Results) -> float | None:
    return None if (found := case(results, "start")) is None else programs.middle(found["import_seconds"]) * 1000


def _heavy(results: Results) -> float | None:
    found = case(results, "start")
    return None if found is None else float(len({"torch", "ray", "sqlalchemy"} & set(found["heavy_modules"])))


_SAVE, _DELTA, _STORED = "save fp32, fresh", "save as delta", "stored / source"
_AGAIN, _DISK, _RESTORE = "save again, unchanged", "durable save to disk", "restore fp32"
TARGETS = [
    Target("save-restic", _SAVE, "restic, fastest setting", 10, True, _times("save", restic_names)),
    Target("save-borg", _SAVE, "borg, fastest setting", 8, True, _times("save", borg_names)),
    Target("save-zipnn", _SAVE, "ZipNN compressing alone (API)", 2.5, True, _zipnn),
    Target("save-memcpy", _SAVE, "memcpy (API)", 0.12, True, _of_limit("save", "memcpy")),
    Target("delta-fp32", _DELTA, "fresh save, fp32 (API)", 0.6, True, _of_own("fp32", "save_next", "save")),
    Target("delta-bf16", _DELTA, "fresh save, bf16 (API)", 0.5, True, _of_own("bf16", "save_next", "save")),
    Target("stored-fp32", _STORED, "fp32 full state, fresh", 0.835, False, _ratio("fp32", ""), ""),
    Target("stored-fp32-10", _STORED, "fp32 full state, +10 steps", 0.78, False, _ratio("fp32", "+10"), ""),
    Target("stored-bf16", _STORED, "bf16 weights, fresh", 0.672, False, _ratio("bf16", ""), ""),
    Target("stored-bf16-1", _STORED, "bf16 weights, +1 step", 0.215, False, _ratio("bf16", "+1"), ""),
    Target("stored-bf16-10", _STORED, "bf16 weights, +10 steps", 0.385, False, _ratio("bf16", "+10"), ""),
    Target("stored-bf16-100", _STORED, "bf16 weights, +100 steps", 0.50, False, _ratio("bf16", "+100"), ""),
    Target("entropy-fp32", _STORED, "order-0 bound, fp32 fresh", 1.015, False, _over_entropy("fp32")),
    Target("entropy-bf16", _STORED, "order-0 bound, bf16 fresh", 1.015, False, _over_entropy("bf16")),
    Target("again", _AGAIN, "BLAKE3 on 2 threads (API)", 0.5, True, _of_limit("save_again", "BLAKE3, 2 threads")),
    Target("durable", _DISK, "cp + fsync", 1, True, _durable),
    Target("restore-restic", _RESTORE, "restic, fresh", 5, True, _times("restore", restic_names)),
    Target("restore-borg", _RESTORE, "borg, fresh", 5, True, _times("restore", borg_names)),
    Target("restore-delta-restic", _RESTORE, "restic, delta", 5, True, _times("restore_next", restic_names)),
    Target("restore-delta-borg", _RESTORE, "borg, delta", 5, True, _times("restore_next", borg_names)),
    Target("restore-memcpy", _RESTORE, "memcpy, fresh (API)", 0.15, True, _of_limit("restore", "memcpy")),
    Target("restore-delta", _RESTORE, "delta of fresh (API)", 0.6, True, _of_own("fp32", "restore_next", "restore")),
    *(Target(*row) for row in programs.ROWS),
    Target("seal", "encryption (API)", "save, time / unencrypted", 1.15, False, _sealed("save")),
    Target("open", "encryption (API)", "restore, time / unencrypted", 1.15, False, _sealed("restore")),
    Target("linear-time", "growing saves", "most seconds per byte / least", 1.1, False, _if_grown(time_spread)),
    Target("linear-memory", "growing saves", "peak memory, largest / smallest", 1.1, False, _if_grown(memory_growth)),
    Target("import", "import holdfast", "time", 120, False, _import_time, "ms"),
    Target("import-light", "import holdfast", "torch, ray, SQLAlchemy loaded", 0, False, _heavy, ""),
]


def judge(targets: Sequence[Target], results: Results) -> list[Verdict]:
    """Every target with its figure."""
    return [Verdict(target, target.measure(results)) for target in targets]


def verdict_lines(targets: Sequence[Target], results: Results) -> list[str]:
    """The verdicts for a terminal, at most 80 columns; a heading for results that say nothing of speeds."""
    lines = [f"plan {results['plan']}: " + ("the targets are of the full plan" if results["plan"] != "full" else "")]
    for verdict in judge(targets, results):
        target = verdict.target
        sign = "≥" if target.least else "≤"
        wanted = f"{sign} {number(target.bound, target.unit)}"
        measured = number(verdict.measured, target.unit)
        lines.append(f"{target.group:22} {target.text:31} {wanted:>9} {measured:>8} {verdict.word}")
    return lines
