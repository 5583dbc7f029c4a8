"""Which actor does which kind of step, for one plan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from holdfast.control.recovering.actors.commands import Commanding, HttpChecking
from holdfast.control.recovering.actors.comparing import Verifying
from holdfast.control.recovering.actors.fencing import Fencing, Promoting
from holdfast.control.recovering.actors.people import Asking
from holdfast.control.recovering.actors.restoring import Restoring
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
        self._restoring = Restoring(sites, self._places, rehearsal=plan.intent.isolated, clock=sites.clock, gone=gone)

    def actors(self, journal: Journal) -> Actors:
        """One for each kind of step that can be done here."""
        sites, vault, clock = self._sites, self._vault, self._sites.clock
        stores = {one.asset: (one.store, one.snapshot) for one in self._plan.chosen}
        names = stores_of_journal(journal.entries, self._plan)
        keys = vault.handle.keys

        def state() -> RunState:
            return journal_at(sites, keys, journal.run, names, "", clock).read()

        return {
            Kind.FENCE: Fencing(sites, vault),
            Kind.RESTORE: self._restoring,
            Kind.VERIFY: Verifying(sites, self._places, stores, clock),
            Kind.PROMOTE: Promoting(sites, vault),
            Kind.SHELL: Commanding(str(self._where), sites.environment, clock),
            Kind.HTTP_CHECK: HttpChecking(clock),
            Kind.HUMAN: Asking(state, self._told, clock),
        }

    def settle(self, run: str) -> None:
        """What a run that passed leaves to be put in order."""
        self._restoring.settle(self._plan.intent.assets, run)
