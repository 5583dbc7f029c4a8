"""One drill, beginning to end: a place of its own, the scenario, measures, evidence, clean-up whatever happens.

PASSED and FAILED are about the recovery. A drill that could not inject, observe or clean up is ERROR, one that somebody
stopped (the lever, SIGTERM, Ctrl-C) STOPPED.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from holdfast.clock import Clock
from holdfast.control.drilling.recording import write_evidence
from holdfast.control.drilling.taking_back import take_back
from holdfast.control.drilling.terminating import termination
from holdfast.control.sites.declared import DeclaredSites
from holdfast.drills.judging import facts_of, measured_of, objective_of_trial
from holdfast.drills.lever import Lever, drills_home
from holdfast.drills.manifest import Manifest
from holdfast.drills.outcomes import DrillOutcome, write_outcome
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.organisation import Terms, Trial
from holdfast.drills.troubles import DrillBroken, DrillFailed, DrillStopped
from holdfast.errors import HoldfastError
from holdfast.evidence.record_outcome import MomentKind, Outcome
from holdfast.evidence.record_setting import CleanUp
from holdfast.objectives import judge
from holdfast.version import VERSION

__all__ = ["Order", "conduct", "drill_id"]

_TRIAL: Final = "trial"
_SPARE_BYTES: Final = 1 << 20


class Order(NamedTuple):
    """What is to be rehearsed. `name`: as declared, empty by hand. `where`: a folder in which the trial is made; None:
    below the state home. `plant`: something that is to go wrong on purpose. `keep`: the trial stays, and is said.
    `steady`: what is not as it should be outside of the trial, asked at the end. `evidence_of`: whose journals have
    the run; None: the trial's. `commands`: whether the trial needs any. `organisation`: whose stops
    at stores it heeds; by default all that this machine heard of.
    """

    id: str
    name: str
    scenario: Scenario
    level: str
    terms: Terms
    prepare: Callable[[Stage], None]
    copies: int | None = None
    where: Path | None = None
    plant: str = ""
    keep: bool = False
    steady: Callable[[], list[str]] = list
    evidence_of: DeclaredSites | None = None
    asset_class: str = "development"
    commands: bool = True
    organisation: str = ""


class _Ended(NamedTuple):
    outcome: Outcome
    why: str


def drill_id(key: str = "") -> str:
    """20 hex digits: of that key, so that it happens once; else new."""
    return hashlib.sha256(f"holdfast drill\0{key}".encode()).hexdigest()[:20] if key else secrets.token_hex(10)


def conduct(order: Order, environment: Mapping[str, str], clock: Clock, told: Callable[[str], None]) -> DrillOutcome:
    """Never raises for what happens in the drill: that is in its state. Raises FailedError, RefusedError where nothing
    can be kept about it, so that nothing is begun.
    """
    home = drills_home(environment) / order.id
    lever = Lever(environment, order.organisation)
    manifest = Manifest.begin(home / "manifest.json", order.id)
    folder = manifest.make_folder(
        (order.where or home) / (_TRIAL if order.where is None else f"drill-{order.id}"), _TRIAL
    )
    with termination() as terminated:

        def look() -> None:
            if terminated.is_set():
                raise DrillStopped("it was told to end (SIGTERM)")
            why = lever.pulled(order.id)
            if why:
                raise DrillStopped(f"the lever was pulled: {why}")

        return _Conducted(order, environment, clock, told, look, manifest, folder, home).run()


class _Conducted:
    """The parts of one drill, in their order."""

    def __init__(
        self,
        order: Order,
        environment: Mapping[str, str],
        clock: Clock,
        told: Callable[[str], None],
        look: Callable[[], None],
        manifest: Manifest,
        folder: Path,
        home: Path,
    ) -> None:
        self._order = order
        self._manifest, self._folder, self._home = manifest, folder, home
        trial = Trial(folder, order.terms, environment, clock, look)
        self._around = ExitStack()  # until the evidence is written: it reads what lies there
        self._stage = Stage(trial, clock, look=look, told=told, plant=order.plant)
        self._stage.note_run = lambda run: manifest.note_run(run, "of this drill, at the declared stores")

    def run(self) -> DrillOutcome:
        stage = self._stage
        ended = self._guarded(self._play)
        stage.look = stage.trial.look = _nobody  # what follows is done whatever anybody says
        ended = self._put_in_order(stage, ended)
        problems: list[str] = []
        files: list[str] = []
        trouble = ""
        stays = self._order.evidence_of is not None  # signed by a key that stays, and kept: only when all is known
        try:
            problems = self._order.steady()
            if problems and ended.outcome in (Outcome.PASSED, Outcome.FAILED):
                ended = _Ended(Outcome.ERROR, f"after it something outside was not as before: {'; '.join(problems)}")
            if not stays:
                first = self._outcome(stage, ended, self._clean_up_to_come(), problems)
                files, trouble = write_evidence(stage.trial, self._order, first, self._home / "evidence")
        except Exception as error:  # noqa: BLE001 - whatever it is: what the drill made has to go
            trouble = f"the drill broke at its end: {type(error).__name__}: {error}"
            ended = _Ended(Outcome.ERROR, trouble) if ended.outcome is not Outcome.STOPPED else ended
        finally:
            removed, left = self._clear(stage)
        if left and not self._order.keep:
            ended = _Ended(Outcome.ERROR, f"not all could be cleared away: {'; '.join(left)}")
            files, trouble = self._thrown_away(files, trouble)
        stage.mark(MomentKind.CLEANED, "left over: " + "; ".join(left) if left else "all that it made is removed")
        clean_up = CleanUp(created=self._created(), removed=tuple(removed), left=tuple(left))
        last = self._outcome(stage, ended, clean_up, problems)
        if stays and not trouble:
            files, trouble = write_evidence(stage.trial, self._order, last, self._home / "evidence")
        last = msgspec.structs.replace(last, evidence=tuple(files), evidence_problem=trouble)
        write_outcome(self._home / "report.json", last)
        return last

    def _clean_up_to_come(self) -> CleanUp:
        """As the evidence has it, which is signed by a key of the trial's, and so before the trial goes."""
        if self._order.keep:
            return CleanUp(created=self._created(), removed=(), left=(f"{self._folder}: it was to be kept",))
        return CleanUp(created=self._created(), removed=(), left=(), later=True)

    def _thrown_away(self, files: list[str], trouble: str) -> tuple[list[str], str]:
        """Evidence that was signed before it was known that the drill broke at its end: it says what is not so."""
        if not files:
            return files, trouble
        try:
            shutil.rmtree(self._home / "evidence")
        except OSError as error:
            return [], f"what lies in {self._home / 'evidence'} was signed before the drill broke ({error.strerror})"
        return [], "it was signed before the drill broke, and is thrown away"

    def _clear(self, stage: Stage) -> tuple[list[str], list[str]]:
        stage.trial.close()
        try:
            self._around.close()
        except (OSError, HoldfastError) as error:
            return [], [f"what surrounded the trial could not be ended ({error})"]
        if self._order.keep:
            return [], [f"{self._folder}: it was to be kept"]
        sites = self._order.evidence_of
        return self._manifest.clear(None if sites is None else lambda run: take_back(sites, run))

    def _play(self) -> None:
        stage = self._stage
        if self._order.commands:
            self._manifest.note_process(stage.trial.lay_out(), "launcher of the trial's commands")
        self._around.enter_context(self._order.scenario.around(stage))
        self._order.prepare(stage)
        self._order.scenario.play(stage)

    def _put_in_order(self, stage: Stage, ended: _Ended) -> _Ended:
        """Watches end, faults are taken back."""
        stage.end_watches()
        healed = self._guarded(stage.heal)
        if healed.outcome is not Outcome.PASSED and ended.outcome in (Outcome.PASSED, Outcome.FAILED):
            return _Ended(Outcome.ERROR, healed.why)
        if self._order.plant == "clean-up-that-fails":
            (self._folder / ".holdfast-drill").write_text("somebody else's")
        return ended

    def _guarded(self, act: Callable[[], None]) -> _Ended:
        try:
            act()
        except DrillFailed as error:
            if self._is_full():
                return _Ended(Outcome.ERROR, f"the drill's own disk is full ({error.message})")
            return _Ended(Outcome.FAILED, error.message)
        except DrillStopped as error:
            return _Ended(Outcome.STOPPED, error.message)
        except DrillBroken as error:
            return _Ended(Outcome.ERROR, error.message)
        except HoldfastError as error:
            return _Ended(Outcome.ERROR, f"the drill broke: {error.message}")
        except KeyboardInterrupt:
            return _Ended(Outcome.STOPPED, "it was interrupted")
        except Exception as error:  # noqa: BLE001 - whatever breaks in a drill says nothing of the recovery
            return _Ended(Outcome.ERROR, f"the drill broke: {type(error).__name__}: {error}")
        return _Ended(Outcome.PASSED, "")

    def _is_full(self) -> bool:
        """Then whatever did not work did not because of the drill's place."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return True
        return found.f_bavail * found.f_frsize < _SPARE_BYTES

    def _created(self) -> tuple[str, ...]:
        return tuple(f"{one.what}: {one.path or one.pid}" for one in self._manifest.made)

    def _outcome(self, stage: Stage, ended: _Ended, clean_up: CleanUp, problems: list[str]) -> DrillOutcome:
        order, terms = self._order, self._order.terms
        measured = measured_of(stage)
        objective = objective_of_trial(order.asset_class, terms.rpo, terms.rto, order.copies)
        return DrillOutcome(
            facts=facts_of(
                stage, order.id, order.name, order.scenario, order.level, ended.outcome, ended.why, clean_up
            ),
            recovery=terms.recovery,
            asset=terms.asset,
            level=order.level,
            objective=objective,
            measured=measured,
            verdict=judge(objective, measured),
            runs=tuple(stage.runs),
            recovery_site=stage.recovery_site,
            snapshot=stage.snapshot,
            steady=tuple(problems),
            software=f"holdfast {VERSION}",
        )


def _nobody() -> None:
    return
