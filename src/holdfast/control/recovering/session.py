"""What the verbs of recoveries share: the sites, a vault opened once, who speaks, approvals, the probes, the review."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from holdfast.control.audit.audited_vault import look_for_log
from holdfast.control.recovering.asking import ask, persons_of
from holdfast.control.recovering.history import Past, past_of
from holdfast.control.recovering.intending import approvers_needed
from holdfast.control.recovering.journals import journal_at, newest_configuration, newest_runs
from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.recovering.plan_files import PlanFile
from holdfast.control.recovering.probing import Prober
from holdfast.control.recovering.runs import approvals_of, is_asked, lost_homes, without_approvals
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.errors import HoldfastError, RefusedError
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Plan
from holdfast.recovery.reviewing.approvals import Approval, approvers_of
from holdfast.recovery.reviewing.persons import signing_label
from holdfast.recovery.reviewing.review import Review, review_plan
from holdfast.vault.vault import Vault

__all__ = ["Session"]

_PAST_RUNS: Final = 5
_LEARNT_SECONDS: Final = 2.0  # what was asked a moment ago is not asked again


class Session:
    """In the name of whoever opened the vault. What was said of sites is learnt here, before anything is decided."""

    def __init__(self, sites: DeclaredSites, told: Callable[[str], None]) -> None:
        """`told`: what a person has to hear while a run goes on."""
        self.sites, self.told = sites, told
        self.clock = sites.clock
        self.persons = persons_of(sites.config)
        self.ask = partial(ask, persons=self.persons)
        self.gone = threading.Event()  # set when this control plane has ended, or lost the run
        self.emergency = False  # break-glass: no approval is needed
        self._members: tuple[float, frozenset[str]] | None = None  # when it was asked, and who was revoked
        self._vaults: dict[tuple[str, ...], Vault] = {}
        sites.learn()
        self._learnt = self.clock.monotonic()

    def learn(self) -> None:
        """What was said of sites, unless that was asked a moment ago. Fencing and promoting ask for themselves."""
        if self.clock.monotonic() - self._learnt > _LEARNT_SECONDS:
            self.sites.learn()
            self._learnt = self.clock.monotonic()

    def vault_of(self, plan: Plan) -> Vault:
        """The vault with the plan's assets. Raises what opening raises."""
        return self.vault_with([self.sites.asset(name) for name in plan.intent.assets])

    def vault_with(self, assets: Sequence[DeclaredAsset]) -> Vault:
        """At the first store that opens; opened once. Raises what opening raises."""
        names = tuple(asset.name for asset in assets)
        if names not in self._vaults:
            self._vaults[names] = open_anywhere(self.sites, assets)
        return self._vaults[names]

    def any_vault(self) -> Vault:
        """Where no asset is named: a run is looked for by its id. Raises what opening raises."""
        return self.vault_with(list(self.sites.assets.values()))

    def journal(self, vault: Vault, file: PlanFile, by: str) -> Journal:
        """Where the plan's file says; not read yet. Raises UsageError."""
        return journal_at(self.sites, vault.handle.keys, file.run, file.journal, by, self.clock)

    def prober(
        self, vault: Vault, assets: Sequence[DeclaredAsset], to: Sequence[str], past: Past | None = None
    ) -> Prober:
        """With what past runs took, unless `past` is given."""
        if past is None:
            past = past_of(newest_runs(self.sites, vault.handle.keys, _PAST_RUNS, self.clock))
        return Prober(self.sites, vault, assets, to, past)

    def reviewed(self, vault: Vault, plan: Plan, state: RunState) -> Review:
        """By what the stores say now. What a restore would read is not counted again: no refusal hangs on it."""
        self.learn()
        assets = [self.sites.asset(name) for name in plan.intent.assets]
        prober = self.prober(vault, assets, (plan.site,), past=Past())
        facts = prober.facts(lost_homes(plan.intent, assets), sized=False)
        approvals = self.approvals(vault, plan, state)
        needed = approvers_needed(self.sites.config, plan.intent)
        now = self.clock.now_ns()
        review = review_plan(plan, facts, approvals, self.persons, approvers=needed, now_ns=now)
        return without_approvals(review) if self.emergency else review

    def approvals(self, vault: Vault, plan: Plan, state: RunState) -> list[Approval]:
        """Those that people gave to this run, and the standing ones under which it was begun by itself."""
        from holdfast.control.incidents.preapproving import standing_approvals

        given = [
            *approvals_of(state, asked=is_asked(plan, state, self.persons)),
            *standing_approvals(self.sites, vault, plan),
        ]
        if not given:
            return []
        taken_back = state.stopped or state.taking_back  # what nobody has to approve
        gone = frozenset() if taken_back else self._revoked(vault)
        return [msgspec.structs.replace(one, revoked=signing_label(one.by) in gone) for one in given]

    def meanwhile(self, vault: Vault, plan: Plan) -> list[Callable[[], None]]:
        """What is asked of the stores in a moment, for who has to read something else before: where this is recorded,
        and who was revoked. What goes wrong is said when it is needed.
        """

        def members() -> None:
            with suppress(HoldfastError):
                self._revoked(vault)

        needed = approvers_needed(self.sites.config, plan.intent) and not self.emergency
        return [lambda: look_for_log(vault), *([members] if needed else [])]

    def _revoked(self, vault: Vault) -> frozenset[str]:
        """Labels of members whose keys were revoked, as the stores say now: the vault may have been opened at one that
        has not heard of it.
        """
        now = self.clock.monotonic()
        if self._members is None or now - self._members[0] > _LEARNT_SECONDS:
            config = newest_configuration(self.sites, vault.handle.keys)
            self._members = now, frozenset(one.label for one in config.signers if one.revoked is not None)
        return self._members[1]

    def require_approved(self, vault: Vault, plan: Plan, state: RunState, began: int) -> None:
        """Raises RefusedError where keys of those who approved the run, which began at that time (ns), were revoked
        since, and too few others did.

        Not of a run that is being taken back.
        """
        if self.emergency:
            return
        needed = approvers_needed(self.sites.config, plan.intent)
        gone = sorted({one.by for one in self.approvals(vault, plan, state) if one.revoked}) if needed else []
        if gone and len(self.approvers(vault, plan, state, began)) < needed:
            raise RefusedError(
                f"too few approvals of this run count now: the key of {', '.join(gone)} was revoked since",
                hint="somebody else approves it (`holdfast recover approve`), or `holdfast recover stop` takes it back",
            )

    def approvers(self, vault: Vault, plan: Plan, state: RunState, *also_at: int) -> set[str]:
        """Whose approval counts now, or did at one of these moments (ns)."""
        given = self.approvals(vault, plan, state)
        moments: Iterable[int] = (self.clock.now_ns(), *also_at)
        return set[str]().union(*(approvers_of(given, plan, at, self.persons) for at in moments))
