"""The signed evidence of a drill: written by a process of the trial, with the trial's memory and one of its keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.drills.outcomes import DrillOutcome
from holdfast.drills.trial.organisation import APPROVER, DEPUTY, OPERATOR, Trial
from holdfast.errors import HoldfastError
from holdfast.evidence.drill_facts import DrillFacts

if TYPE_CHECKING:
    from holdfast.control.drilling.conducting import Order

__all__ = ["main", "write_evidence"]

_PATIENCE_SECONDS: Final = 300.0


def write_evidence(trial: Trial, order: Order, outcome: DrillOutcome, folder: Path) -> tuple[list[str], str]:
    """The files that were written, or why none were. Never raises for what the evidence does: a verdict is none of its
    business.
    """
    run = outcome.runs[0] if outcome.runs else order.id
    config, environment = trial.config, {}
    if order.evidence_of is not None:
        config, environment = order.evidence_of.loaded.path, dict(order.evidence_of.environment)
    else:
        person = next((one for one in (OPERATOR, DEPUTY, APPROVER) if trial.key(one).exists()), "")
        if not person:
            return [], "the trial has no key that could sign it"
        environment = trial.environment(person, "evidence")
    try:
        with TemporaryDirectory(prefix=".facts-", dir=folder.parent) as beside:  # the trial may be gone by now
            facts = Path(beside) / "facts.json"
            facts.write_bytes(msgspec.json.encode(outcome.facts))
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(config), run, str(facts), str(folder)],
                env=environment,
                cwd=beside,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return [], f"the evidence could not be written ({error})"
    if done.returncode != 0:
        return [], f"the evidence could not be written: {(done.stderr.strip() or 'nobody says why').splitlines()[-1]}"
    return sorted(str(path) for path in folder.rglob("*") if path.is_file()), ""


def main(arguments: list[str]) -> int:
    """`CONFIG RUN FACTS FOLDER`, in the environment of the trial."""
    from holdfast.config.finding import load_config
    from holdfast.control.evidencing.writing import write_evidence_of
    from holdfast.control.sites.declared import DeclaredSites

    config, run, facts, folder = arguments
    try:
        sites = DeclaredSites(load_config(config))
        sites.learn()
        drill = msgspec.json.decode(Path(facts).read_bytes(), type=DrillFacts)
        write_evidence_of(sites, run, drill=drill, folder=Path(folder))
    except HoldfastError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
