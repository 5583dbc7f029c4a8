"""Experiments in the format of Chaos Toolkit, under the same lever as drills."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.drilling.terminating import termination
from holdfast.drills.chaos.reading import BYTES_MAX, read_experiment
from holdfast.drills.chaos.running import Ran, run
from holdfast.drills.lever import Lever
from holdfast.drills.troubles import DrillStopped
from holdfast.errors import FailedError, NotFoundError, RefusedError

__all__ = ["run_experiment"]


def run_experiment(
    file: Path,
    journal: Path | None,
    *,
    modules: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    told: Callable[[str], None] = lambda text: None,
) -> Ran:
    """Run it and write its journal; without one it is only read. Raises NotFoundError, UsageError (with the place of
    what is not known), RefusedError (the lever is pulled, the journal is there), FailedError.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no experiment {file}", object_name=str(file)) from error
    except OSError as error:
        raise FailedError(f"{file} cannot be read ({error.strerror})", object_name=str(file)) from error
    experiment = read_experiment(data, str(file))
    if journal is None:
        return Ran(experiment.title, "read", "NOT_MEASURED", False, None, None, [], {})
    lever = Lever(environment)
    pulled = lever.pulled()
    if pulled:
        raise RefusedError(f"drills are stopped: {pulled}", hint="`holdfast drill stop --release` lets them go on")
    if journal.exists():
        raise RefusedError(f"{journal} exists, and a journal is not replaced", hint="--journal FILE, another one")

    with termination() as terminated:

        def look() -> None:
            if terminated.is_set():
                raise DrillStopped("it was told to end (SIGTERM)")
            why = lever.pulled()
            if why:
                raise DrillStopped(f"the lever was pulled: {why}")

        ran = run(experiment, clock, modules=modules, environment=environment, look=look, told=told)
    try:
        with journal.open("xb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(ran.journal), indent=2) + b"\n")
    except OSError as error:
        raise FailedError(f"{journal} cannot be written ({error.strerror})", object_name=str(journal)) from error
    return ran
