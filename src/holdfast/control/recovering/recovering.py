"""Recoveries of declared assets: planned from what is probed, reviewed, approved, run, adopted and checked.

The door for the CLI, workers, drills and the server; each verb has its own module.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.journals import find_run, newest_journals
from holdfast.control.recovering.plan_files import PlanFile, plan_file
from holdfast.control.recovering.runs import Status, status_of
from holdfast.control.recovering.session import Session
from holdfast.control.sites.declared import DeclaredSites
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.journal.leaving import LeavingOut
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Plan
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.running.progress import Progress

__all__ = ["Recoveries", "Status"]

Watch = Callable[[Plan, Progress], None]
Seen = Callable[[Plan, RunState], None]


class Recoveries:
    """In the name of whoever opened the vault. What was said of sites is learnt here, before anything is decided."""

    def __init__(self, sites: DeclaredSites, *, told: Callable[[str], None] = lambda text: None) -> None:
        """`told`: what a person has to hear while a run goes on."""
        self._session = Session(sites, told)

    def plan(self, wanted: Wanted) -> PlanFile:
        """Probe, and plan. Raises what planning raises (RefusedError with the reason of each site), and opening."""
        from holdfast.control.recovering.planning import make_plan

        return make_plan(self._session, wanted)

    def review(self, file: PlanFile) -> Review:
        """By what the stores say now, and by the approvals that were given."""
        from holdfast.control.recovering.planning import review_file

        return review_file(self._session, file)

    def check(self, wanted: Wanted) -> tuple[PlanFile, Review, dict[str, str]]:
        """Plan, review and ask every step whether it could be done now: nothing is changed."""
        from holdfast.control.recovering.planning import check_recovery

        return check_recovery(self._session, wanted)

    def begin(self, file: PlanFile) -> Status:
        """Put the plan to the stores of its journal, where others see it: it is neither approved nor run by that."""
        from holdfast.control.recovering.saying import propose_plan

        return propose_plan(self._session, file)

    def propose(self, file: PlanFile) -> str:
        """The same; the id of the run."""
        return self.begin(file).run

    def file_of(self, run: str) -> PlanFile:
        """The plan of a run whose id alone is known. Raises NotFoundError where no store that answers has it."""
        status = self.status(run)
        return plan_file(status.plan, status.journal, status.target)

    def approve(self, file: PlanFile, seconds: float) -> Entry:
        """Signed with this member's key, for so long. Raises RefusedError for who asked for the plan."""
        from holdfast.control.recovering.saying import approve_plan

        return approve_plan(self._session, file, seconds)

    def approve_without(self, run: str, site: str, seconds: float) -> LeavingOut:
        """Agree that a site of a run's journal is gone for good, so that `adopt` may leave its store out."""
        from holdfast.control.recovering.leaving_out import approve_leaving_out

        return approve_leaving_out(self._session, run, site, seconds)

    def run(self, file: PlanFile, target: str, watch: Watch) -> Status:
        """Run the plan to its end. Raises RefusedError (the review; it is run by another control plane already)."""
        from holdfast.control.recovering.running import Running

        return Running(self._session).run(file, target, watch)

    def submit(self, file: PlanFile, target: str) -> Status:
        """Put the plan to the stores, and hand it to the workers of this machine's (or organisation's) work database.

        Raises RefusedError for a run that has ended; what the stores and that database raise.
        """
        from holdfast.control.recovering.running import submit

        return submit(self._session, file, target)

    def follow(self, run: str, seen: Seen) -> Status:
        """Look at a run, whoever has it, until it has ended; `seen` is told after each look how it stands."""
        from holdfast.control.recovering.running import follow

        return follow(self._session, run, seen)

    def adopt(self, run: str, target: str, watch: Watch, without: str = "") -> Status:
        """Go on with a run whose control plane is gone, from what lies at the stores. `without`: a site of its journal
        that is gone for good, as somebody else approved (`approve_without`).
        """
        from holdfast.control.recovering.running import Running

        return Running(self._session).adopt(run, target, watch, without)

    def write_evidence(self, run: str) -> str:
        """Of a run that has ended. Why it was not written; empty: it was. It never changes the verdict."""
        from holdfast.control.recovering.running import write_evidence

        return write_evidence(self._session, run)

    def say(self, run: str, deed: Deed, *, step: str = "", reason: str = "") -> Status:
        """What a person says to a run: PAUSED, RESUMED, STOPPED, SKIPPED. Signed with this member's key."""
        from holdfast.control.recovering.saying import say_to_run

        return say_to_run(self._session, run, deed, step, reason)

    def status(self, run: str) -> Status:
        """Raises NotFoundError where no store that answers has it."""
        session = self._session
        keys = session.any_vault().handle.keys
        return status_of(run, find_run(session.sites, keys, run, "", session.clock))

    def runs(self, limit: int) -> list[Status]:
        """The newest, as far as their journals can be read."""
        session = self._session
        journals = newest_journals(session.sites, session.any_vault().handle.keys, limit, session.clock)
        return [status_of(run, journal) for run, journal in journals.items()]
