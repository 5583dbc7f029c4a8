"""What is kept of a drill: its facts, what was measured and judged, and where its evidence lies."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import DamageError, FailedError, NotFoundError
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.record_outcome import Outcome
from holdfast.objectives import Measured, Objective, State, Verdict

__all__ = ["DrillOutcome", "decode_outcome", "read_outcome", "write_outcome"]

_BYTES_MAX: Final = 16 << 20


class DrillOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drill that has ended. `facts.outcome` is of the recovery (PASSED, FAILED), or of the drill (STOPPED, ERROR);
    `verdict` is `judge(objective, measured)`.

    `recovery`, `asset`: what was rehearsed; in a sandbox the trial's own. `runs`: of recoveries, in the trial.
    `evidence`: files of the signed record; empty, with `evidence_problem`, where none could be written. `steady`: what
    is not as it was before the drill; empty: all is.
    """

    version: Literal[1] = 1
    facts: DrillFacts
    recovery: str
    asset: str
    level: str
    objective: Objective
    measured: Measured
    verdict: Verdict
    runs: tuple[str, ...] = ()
    recovery_site: str = ""
    snapshot: str = ""
    evidence: tuple[str, ...] = ()
    evidence_problem: str = ""
    steady: tuple[str, ...] = ()
    software: str = ""

    @property
    def id(self) -> str:
        return self.facts.drill_id

    @property
    def state(self) -> Outcome:
        return self.facts.outcome

    @property
    def missed(self) -> bool:
        """Whether it passed and an objective was missed: exit code 9."""
        judged = (self.verdict.rpo, self.verdict.rto, self.verdict.copies)
        return any(one.state in (State.MISSED, State.INVALID) for one in judged)

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, stopped or broken, 9 passed and missed an objective."""
        if self.state is not Outcome.PASSED:
            return 1
        return 9 if self.missed else 0


def decode_outcome(data: bytes, name: str) -> DrillOutcome:
    """Raises DamageError."""
    try:
        outcome = msgspec.json.decode(data, type=DrillOutcome)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} is no report of a drill ({error})", object_name=name) from error
    if not all(0 <= one.at_ns < 1 << 63 for one in (outcome.facts.started, outcome.facts.ended)):
        raise DamageError(f"{name} is no report of a drill: it has a time that no calendar has", object_name=name)
    return outcome


def read_outcome(path: Path) -> DrillOutcome:
    """Raises NotFoundError, FailedError, DamageError."""
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no report {path}", object_name=str(path)) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
    return decode_outcome(data, str(path))


def write_outcome(path: Path, outcome: DrillOutcome) -> None:
    """Replace the file. Raises FailedError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
    except OSError as error:
        raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
