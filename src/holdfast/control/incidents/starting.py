"""Planning and beginning a run that nobody asked for: the same calls as a person's, with a standing approval."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from holdfast.config.detecting_model import Automatic
from holdfast.control.incidents.model import Incident
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.plan_files import PlanFile, encode_plan_file, read_plan_file
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Workflows, submit_run
from holdfast.durable import replace_file
from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.homes import state_home
from holdfast.recovery.plans import plan_hash
from holdfast.recovery.reviewing.review import Review

__all__ = ["Planned", "RecoveryStarter", "Started", "Starter"]

_APPROVALS: Final = frozenset(
    {"NOT_APPROVED", "APPROVAL_EXPIRED", "APPROVER_REVOKED", "APPROVER_IS_INITIATOR", "APPROVER_MAY_BE_INITIATOR"}
)


class Planned(NamedTuple):
    """A plan that was made now. `hash`: what is claimed and approved; `target`: where it restores to."""

    run: str
    hash: str
    file: PlanFile
    target: str


class Started(NamedTuple):
    """`begun` false: it waits, or was refused, for the reason in `why`."""

    begun: bool
    why: str


class Starter(Protocol):
    """What plans and begins a run."""

    def plan(self, name: str, automatic: Automatic, incident: Incident) -> Planned:
        """Raises what planning raises."""
        ...

    def start(self, plan: Planned) -> Started:
        """Review it, and begin it if that lets it pass. What goes wrong is told, and not raised."""
        ...

    def resume(self, run: str, automatic: Automatic, incident: Incident) -> Started | None:
        """The same for one that was planned before, if it has not begun."""
        ...

    def planned(self, plan: str) -> str | None:
        """The run of the plan with that hash, if it was planned here."""
        ...


class RecoveryStarter:
    """With the queue of work where there is one; else in a thread of this process, which finishes before it ends."""

    def __init__(self, sites: DeclaredSites, workflows: Workflows | None = None) -> None:
        self._sites, self._workflows = sites, workflows
        self.threads: list[threading.Thread] = []
        self._begun: set[str] = set()

    def plan(self, name: str, automatic: Automatic, incident: Incident) -> Planned:
        """What is kept on this machine of it lets it be begun later, too."""
        target = str(Path(automatic.target) / incident.id)
        wanted = Wanted(
            name,
            isolated=automatic.isolated,
            target=target if automatic.isolated else "",
            reason=f"by itself: incident {incident.id}",
            fault_at=incident.fault_at or None,
            noticed_at=incident.noticed_at,
        )
        file = Recoveries(self._sites).plan(wanted)
        self._kept(file)
        return Planned(file.run, plan_hash(file.plan), file, target)

    def start(self, plan: Planned) -> Started:
        recoveries = Recoveries(self._sites)
        try:
            review = recoveries.review(plan.file)
            if not review.passed:
                return self._not(recoveries, plan, review)
            if self._workflows is not None:
                recoveries.propose(plan.file)
                asset = "+".join(plan.file.plan.intent.assets)
                submit_run(self._workflows, plan.run, asset=asset, target=plan.target, by="incidents")
                self._begun.add(plan.run)
                return Started(True, f"run {plan.run} was handed to the workers")
        except HoldfastError as error:
            return Started(False, f"run {plan.run} was not begun: {error.message}")
        thread = threading.Thread(target=self._run, args=(plan,), name=f"run {plan.run}", daemon=False)
        self.threads.append(thread)
        self._begun.add(plan.run)
        thread.start()
        return Started(True, f"run {plan.run} was begun here")

    def _not(self, recoveries: Recoveries, plan: Planned, review: Review) -> Started:
        reasons = "; ".join(
            f"{one.code}: {one.reason}" + (f" ({one.change})" if one.code == "APPROVER_MAY_BE_INITIATOR" else "")
            for one in review.refusals
        )
        if all(one.code in _APPROVALS for one in review.refusals):
            recoveries.propose(plan.file)  # others see the run from now on
            path = self._path(plan.run)
            where = f"`holdfast recover approve {path}`" if path else "an approval"
            return Started(False, f"run {plan.run} is planned, reviewed, and waits for {where} ({reasons})")
        return Started(False, f"run {plan.run} was refused: {reasons}")

    def resume(self, run: str, automatic: Automatic, incident: Incident) -> Started | None:
        """Begin a run that was planned here and not begun: it waited for an approval, or this process was killed. None:
        there is nothing to do: it has begun, or was planned elsewhere.
        """
        path = self._path(run)
        if path is None or not path.exists() or run in self._begun:
            return None
        try:
            file = read_plan_file(path)
            with suppress(NotFoundError):
                if Recoveries(self._sites).status(run).state.owner:
                    self._begun.add(run)
                    return None
        except HoldfastError as error:
            return Started(False, f"run {run} was not begun: {error.message}")
        return self.start(Planned(run, plan_hash(file.plan), file, str(Path(automatic.target) / incident.id)))

    def planned(self, plan: str) -> str | None:
        """By the plans that are kept here."""
        path = self._path("*")
        for one in sorted(path.parent.glob(path.name)) if path is not None else ():
            with suppress(HoldfastError):
                file = read_plan_file(one)
                if plan_hash(file.plan) == plan:
                    return file.run
        return None

    def _path(self, run: str) -> Path | None:
        home = state_home(self._sites.environment)
        return None if home is None else home / "holdfast" / "incidents" / "plans" / f"{run}.json"

    def _kept(self, file: PlanFile) -> None:
        path = self._path(file.run)
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, encode_plan_file(file))
        except OSError as error:
            self._sites.progress.note(f"{path} cannot be written ({error.strerror})")

    def _run(self, plan: Planned) -> None:
        try:
            status = Recoveries(self._sites).run(plan.file, plan.target, lambda planned, progress: None)
            self._sites.progress.note(f"run {plan.run} {status.state.verdict or 'was left'}")
        except RefusedError as error:
            self._sites.progress.note(f"run {plan.run} was refused: {error.message}")
        except HoldfastError as error:
            self._sites.progress.note(f"run {plan.run} was left: {error.message}")
