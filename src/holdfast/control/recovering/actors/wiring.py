"""Which actor does which kind of step, for one plan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from holdfast.control.recovering.actors.calling import Calling, Playing, Posting
from holdfast.control.recovering.actors.commands import Commanding, HttpChecking
from holdfast.control.recovering.actors.comparing import Verifying
from holdfast.control.recovering.actors.computing import Getting, Starting, WaitingHealthy, give_back_all, leave_home
from holdfast.control.recovering.actors.fencing import Fencing, Promoting
from holdfast.control.recovering.actors.people import Asking
from holdfast.control.recovering.actors.restoring import Restoring
from holdfast.control.recovering.actors.saving import Saving, saved_of
from holdfast.control.recovering.actors.sending import Sending
from holdfast.control.recovering.actors.services import Services
from holdfast.control.recovering.actors.stopping import Stopping
from holdfast.control.recovering.journals import journal_at
from holdfast.control.recovering.places import Places
from holdfast.control.recovering.runs import stores_of_journal
from holdfast.control.sites.declared import DeclaredSites
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Kind, Plan
from holdfast.recovery.running.actors import Actors
from holdfast.vault.vault import Vault

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
        self._services = Services(sites, _secrets_of(plan))
        self._restoring = Restoring(sites, self._places, rehearsal=plan.intent.isolated, clock=sites.clock, gone=gone)

    def actors(self, journal: Journal) -> Actors:
        """One for each kind of step."""
        sites, vault, clock = self._sites, self._vault, self._sites.clock
        stores = {one.asset: (one.store, one.snapshot) for one in self._plan.chosen}
        preferred = {one.asset: one.store for one in self._plan.chosen}
        names = stores_of_journal(journal.entries, self._plan)
        keys = vault.handle.keys

        def state() -> RunState:
            return journal_at(sites, keys, journal.run, names, "", clock).read()

        def restored(asset: str) -> tuple[str, str] | None:
            return self._restoring.made(f"{Kind.SAVE}-{asset}") if self._saves(asset) else None

        self._restoring.made = lambda step: saved_of(state, step)
        commanding = Commanding(str(self._where), self._services.given, clock)
        asking = Asking(state, self._told, clock)
        services, places = self._services, self._places
        called = (commanding, services, str(self._where))
        return {
            Kind.STOP: Stopping(sites, services, asking, clock),
            Kind.SAVE: Saving(sites, preferred, clock),
            Kind.FENCE: Fencing(sites, vault),
            Kind.GET_COMPUTE: Getting(services, places, clock),
            Kind.RESTORE: self._restoring,
            Kind.VERIFY: Verifying(sites, places, stores, clock, restored),
            Kind.PROMOTE: Promoting(sites, vault),
            Kind.START: Starting(services, places, clock),
            Kind.WAIT_HEALTHY: WaitingHealthy(services, places, clock),
            Kind.TRAFFIC: Sending(services),
            Kind.SHELL: commanding,
            Kind.PYTHON: Calling(*called),
            Kind.ANSIBLE: Playing(*called),
            Kind.WEBHOOK: Posting(*called),
            Kind.HTTP_CHECK: HttpChecking(clock),
            Kind.HUMAN: asking,
        }

    def _saves(self, asset: str) -> bool:
        return any(step.kind is Kind.SAVE and step.asset == asset for step in self._plan.steps)

    def settle(self, run: str) -> None:
        """What a run that passed leaves to be put in order."""
        self._restoring.settle(self._plan.intent.assets, run)
        if self._plan.intent.isolated:
            give_back_all(self._services, self._plan, run, self._sites.progress)
        leave_home(self._services, self._plan, run, self._sites.progress)


def _secrets_of(plan: Plan) -> frozenset[str]:
    """Variables of the environment that steps refer to as their secrets."""
    said = (str(step.with_.get("secret", "")) for step in plan.steps)
    return frozenset(one[2:-1] for one in said if one.startswith("${"))
