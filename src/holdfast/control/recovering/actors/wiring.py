"""Which actor does which kind of step, for one plan. Only those that the plan needs are loaded: it runs in a hurry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.control.recovering.actors.comparing import Verifying
from holdfast.control.recovering.actors.fencing import Fencing, Promoting
from holdfast.control.recovering.actors.people import Asking
from holdfast.control.recovering.actors.restoring import Restoring
from holdfast.control.recovering.actors.services import Services
from holdfast.control.recovering.journals import journal_at
from holdfast.control.recovering.places import Places
from holdfast.control.recovering.runs import stores_of_journal
from holdfast.control.sites.declared import DeclaredSites
from holdfast.recovery.journal.entries import Entry
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Kind, Plan
from holdfast.recovery.running.actors import Actor, Actors
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.recovering.actors.commands import Commanding

__all__ = ["Wiring"]


class Wiring:
    """The actors of a plan that restores to the folder `where`. `gone`: set when this control plane gives up."""

    def __init__(
        self,
        sites: DeclaredSites,
        vault: Vault,
        plan: Plan,
        where: Path,
        *,
        gone: threading.Event,
        told: Callable[[str], None],
    ) -> None:
        self._sites, self._vault, self._plan, self._where, self._told = sites, vault, plan, where, told
        self._places = Places(where, plan.intent.assets)
        self._entries: Callable[[], Sequence[Entry]] = tuple
        self._services = Services(sites, _secrets_of(plan))
        self._restoring = Restoring(sites, self._places, rehearsal=plan.intent.isolated, clock=sites.clock, gone=gone)

    def actors(self, journal: Journal) -> Actors:
        """One for each kind of step that the plan has."""
        sites, clock = self._sites, self._sites.clock
        names = stores_of_journal(journal.entries, self._plan)
        keys = self._vault.handle.keys

        def state() -> RunState:
            return journal_at(sites, keys, journal.run, names, "", clock).read()

        def entries() -> Sequence[Entry]:
            read = journal_at(sites, keys, journal.run, names, "", clock)
            read.read()
            return read.entries

        self._entries = entries

        def made(step: str) -> tuple[str, str] | None:
            from holdfast.control.recovering.actors.saving import saved_of

            return saved_of(state, step)

        self._restoring.made = made
        return {kind: self._actor(kind, state) for kind in dict.fromkeys(step.kind for step in self._plan.steps)}

    def _actor(self, kind: Kind, state: Callable[[], RunState]) -> Actor:
        sites, vault, clock, places = self._sites, self._vault, self._sites.clock, self._places
        if kind is Kind.RESTORE:
            return self._restoring
        if kind is Kind.VERIFY:
            chosen = {one.asset: (one.store, one.snapshot) for one in self._plan.chosen}
            return Verifying(sites, places, chosen, clock, self._restored)
        if kind in (Kind.FENCE, Kind.PROMOTE):
            return Fencing(sites, vault) if kind is Kind.FENCE else Promoting(sites, vault)
        if kind in (Kind.STOP, Kind.SAVE, Kind.GET_COMPUTE, Kind.START, Kind.WAIT_HEALTHY, Kind.TRAFFIC):
            return self._of_services(kind, state)
        return self._of_runbook(kind, state)

    def _of_services(self, kind: Kind, state: Callable[[], RunState]) -> Actor:
        """What is done with what runs beside the data."""
        sites, services, clock, places = self._sites, self._services, self._sites.clock, self._places
        if kind is Kind.STOP:
            from holdfast.control.recovering.actors.stopping import Stopping

            return Stopping(sites, services, self._asking(state), clock)
        if kind is Kind.SAVE:
            from holdfast.control.recovering.actors.saving import Saving

            return Saving(sites, {one.asset: one.store for one in self._plan.chosen}, clock)
        if kind is Kind.TRAFFIC:
            from holdfast.control.recovering.actors.sending import Sending

            return Sending(services, self._entries)
        from holdfast.control.recovering.actors.computing import Getting, Starting, WaitingHealthy

        if kind is Kind.GET_COMPUTE:
            return Getting(services, places, clock)
        return Starting(services, places, clock) if kind is Kind.START else WaitingHealthy(services, places, clock)

    def _of_runbook(self, kind: Kind, state: Callable[[], RunState]) -> Actor:
        """What people declared of their own."""
        if kind is Kind.HUMAN:
            return self._asking(state)
        from holdfast.control.recovering.actors.commands import Commanding, HttpChecking

        if kind is Kind.HTTP_CHECK:
            return HttpChecking(self._sites.clock)
        commanding = Commanding(str(self._where), self._services.given, self._sites.clock)
        return commanding if kind is Kind.SHELL else self._calling(kind, commanding)

    def _calling(self, kind: Kind, commanding: Commanding) -> Actor:
        from holdfast.control.recovering.actors.calling import Calling, Playing, Posting

        called = commanding, self._services, str(self._where)
        if kind is Kind.PYTHON:
            return Calling(*called)
        return Playing(*called) if kind is Kind.ANSIBLE else Posting(*called)

    def _asking(self, state: Callable[[], RunState]) -> Asking:
        return Asking(state, self._told, self._sites.clock)

    def _restored(self, asset: str) -> tuple[str, str] | None:
        """What the asset was restored from in the end, where a step of the run saved something newer."""
        return self._restoring.made(f"{Kind.SAVE}-{asset}") if self._saves(asset) else None

    def _saves(self, asset: str) -> bool:
        return any(step.kind is Kind.SAVE and step.asset == asset for step in self._plan.steps)

    def settle(self, run: str) -> None:
        """What a run that passed leaves to be put in order."""
        self._restoring.settle(self._plan.intent.assets, run)
        kinds = {step.kind for step in self._plan.steps}
        if kinds.isdisjoint((Kind.STOP, Kind.START, Kind.GET_COMPUTE)):
            return
        from holdfast.control.recovering.actors.computing import give_back_all, leave_home

        if self._plan.intent.isolated:
            give_back_all(self._services, self._plan, run, self._sites.progress)
        leave_home(self._services, self._plan, run, self._sites.progress)


def _secrets_of(plan: Plan) -> frozenset[str]:
    """Variables of the environment that steps refer to as their secrets."""
    said = (str(step.with_.get("secret", "")) for step in plan.steps)
    return frozenset(one[2:-1] for one in said if one.startswith("${"))
