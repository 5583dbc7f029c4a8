"""Experiments in the format of Chaos Toolkit: asked for, recorded, and under the same lever as drills."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from holdfast.authority.resources import plan_resource
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.drilling.stopping import StoreLever, looking_at_stores
from holdfast.control.drilling.terminating import termination
from holdfast.control.recovering.asking import ask, speaker
from holdfast.control.sites.declared import DeclaredSites
from holdfast.drills.chaos.listing import Planned, listed
from holdfast.drills.chaos.model import Experiment
from holdfast.drills.chaos.reading import BYTES_MAX, read_experiment
from holdfast.drills.chaos.running import Ran, run
from holdfast.drills.lever import Lever
from holdfast.drills.troubles import DrillStopped
from holdfast.errors import FailedError, NotFoundError, RefusedError

__all__ = ["list_experiment", "run_experiment"]

_ACTION: Final = "drill.run"


class _Read(NamedTuple):
    """`digest`: of the file, in hex: what is asked for and recorded is that text."""

    experiment: Experiment
    digest: str


def list_experiment(file: Path, modules: Sequence[str] = ()) -> tuple[str, list[Planned]]:
    """Its title, and all that would be run; nothing is. Raises NotFoundError, FailedError, UsageError (with the place
    of what is not known).
    """
    experiment = _read(file).experiment
    return experiment.title, listed(experiment, modules)


def run_experiment(
    file: Path,
    journal: Path,
    *,
    sites: DeclaredSites | None = None,
    modules: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    told: Callable[[str], None] = lambda text: None,
) -> Ran:
    """Run it and write its journal. `sites`: whose policies are asked for `drill.run`, in whose audit log it is
    recorded, and at whose stores the lever is looked at; None: the policies of this installation are asked alone.

    Raises NotFoundError, UsageError (with the place of what is not known), PermissionDeniedError, RefusedError (the
    lever is pulled, the journal is there), FailedError.
    """
    read = _read(file)
    if journal.exists():
        raise RefusedError(f"{journal} exists, and a journal is not replaced", hint="--journal FILE, another one")
    organisation = "" if sites is None else sites.config.organisation
    lever = Lever(environment, organisation)
    with _allowed(read, sites, environment, clock, lever, told) as outcome, termination() as terminated:

        def look() -> None:
            if terminated.is_set():
                raise DrillStopped("it was told to end (SIGTERM)")
            why = lever.pulled()
            if why:
                raise DrillStopped(f"the lever was pulled: {why}")

        ran = run(read.experiment, clock, modules=modules, environment=environment, look=look, told=told)
        outcome.append("done" if ran.state == "PASSED" else ran.state.lower())
    try:
        with journal.open("xb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(ran.journal), indent=2) + b"\n")
    except OSError as error:
        raise FailedError(f"{journal} cannot be written ({error.strerror})", object_name=str(journal)) from error
    return ran


@contextmanager
def _allowed(
    read: _Read,
    sites: DeclaredSites | None,
    environment: Mapping[str, str],
    clock: Clock,
    lever: Lever,
    told: Callable[[str], None],
) -> Iterator[list[str]]:
    """While it lasts the experiment may run; what is put into the list is recorded as its outcome."""
    said: list[str] = []
    if sites is None:
        _require_released(lever)
        authority = Authority(AuthorityHome(environment, clock))
        principal = authority.identify()
        resource = plan_resource(read.digest, initiator=principal.person, drill=True)
        authority.authorise(principal, _ACTION, resource)
        told("there is no holdfast.yaml: no audit log records it, and no store was asked whether drills are stopped")
        yield said
        return
    sites.learn()
    stores = StoreLever(sites)
    for name, why in stores.look(spread=True).silent.items():
        told(f"{name} does not say whether drills are stopped: {why}")
    _require_released(lever)
    vault = stores.vault
    to = next(iter(sites.config.sites))
    ask(vault, _ACTION, read.digest, by=speaker(vault), to=to, drill=True, environment=environment)
    names = {"experiment": read.experiment.title[:200]}
    with (
        looking_at_stores(stores, told),
        recorded_on(vault, _ACTION, objects={"experiment": read.digest}, names=names) as facts,
    ):
        yield said
        facts.outcome = said[0] if said else "failed"


def _require_released(lever: Lever) -> None:
    pulled = lever.pulled()
    if pulled:
        raise RefusedError(f"drills are stopped: {pulled}", hint="`holdfast drill stop --release` lets them go on")


def _read(file: Path) -> _Read:
    try:
        with file.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no experiment {file}", object_name=str(file)) from error
    except OSError as error:
        raise FailedError(f"{file} cannot be read ({error.strerror})", object_name=str(file)) from error
    return _Read(read_experiment(data, str(file)), hashlib.sha256(data).hexdigest())
