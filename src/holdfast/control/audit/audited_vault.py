"""A vault whose verbs are recorded in its audit log: what was done, to what, how it ended, and what was refused.

Every verb that changes something, restores or verifies. Looking (lists, manifests) is not recorded. Actions have the
names that `holdfast.authority.actions` gives them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast.control.audit.recorded import Facts, recorded
from holdfast.control.authority.decision_log import DecisionLog, DecisionRecord
from holdfast.control.vaults.uses import note_read, used
from holdfast.errors import FailedError
from holdfast.objectives.retention import Hold
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.vault import SaveReport, Vault

if TYPE_CHECKING:
    from holdfast.audit.journal import Journal
    from holdfast.vault.checking.whole_vault import CheckReport
    from holdfast.vault.collecting.report import CollectReport
    from holdfast.vault.repairing.model import Repaired
    from holdfast.vault.restoring.restore import Restored
    from holdfast.vault.retaining.applying import Applied
    from holdfast.vault.retaining.planning import RetentionPlan
    from holdfast.vault.snapshots.dropping import DropPlan
    from holdfast.vault.snapshots.quarantine import SetAside
    from holdfast.vault.tensors.loading import LazyTensors

__all__ = ["AuditedVault", "Elsewhere", "JournalDecisions", "audited", "decision_logs", "recorded_on"]


Elsewhere: TypeAlias = Callable[[], Iterable[Handle]]


class AuditedVault(Vault):
    """Does what `Vault` does, and says so in the journal. A record that fails is loud, and fails no verb."""

    def __init__(self, handle: Handle, journal: Journal) -> None:
        super().__init__(handle)
        self.journal = journal

    def save(self, asset: str, *args: Any, **options: Any) -> SaveReport:
        with recorded(self.journal, "save", names={"asset": asset}) as facts:
            report = super().save(asset, *args, **options)
            facts.objects |= {"snapshot": report.root.id, "verdict": report.root.validation.verdict}
        return report

    def restore(self, reference: str, target: Any, **options: Any) -> Restored:
        from holdfast.control.vaults.archived import told_of_archives

        with recorded(self.journal, "restore", names={"reference": reference, "target": os.fsdecode(target)}) as facts:
            with told_of_archives(self, reference), used(self.handle, "restore") as use:
                done = super().restore(reference, target, **options)
                use.of(done.root, done.bytes - done.resumed_bytes)
            facts.objects |= _of(done.root)
            facts.names |= {"asset": done.root.asset}
        if not options.get("rehearsal"):
            note_read(self.handle, done.root)
        return done

    def load(self, reference: str, **options: Any) -> LazyTensors:
        with recorded(self.journal, "read", names={"reference": reference}) as facts:
            root = self.find(reference)
            facts.objects |= _of(root)
            facts.names |= {"asset": root.asset}
            loaded = super().load(root.id, **options)
        note_read(self.handle, root)
        return loaded

    def with_replicas(self, *args: Any, **options: Any) -> Vault:
        """What is restored with the help of replicas is recorded, too."""
        return AuditedVault(super().with_replicas(*args, **options).handle, self.journal)

    def verify(self, reference: str, **options: Any) -> SaveReport:
        with recorded(self.journal, "verify", names={"reference": reference}) as facts:
            with used(self.handle, "read back") as use:
                report = super().verify(reference, **options)
                use.of(report.root, report.verified.bytes if report.verified is not None else 0)
            facts.objects |= {**_of(report.root), "findings": str(len(report.found))}
            facts.names |= {"asset": report.root.asset}
        return report

    def tag(self, reference: str, name: str) -> Root:
        with recorded(self.journal, "tag", names={"reference": reference, "tag": name}) as facts:
            root = super().tag(reference, name)
            facts.objects |= _of(root)
        return root

    def untag(self, asset: str, name: str) -> None:
        with recorded(self.journal, "tag", objects={"change": "removed"}, names={"asset": asset, "tag": name}):
            super().untag(asset, name)

    def quarantine(self, reference: str, reason: str) -> SetAside:
        with recorded(self.journal, "quarantine", names={"reference": reference, "reason": reason}):
            return super().quarantine(reference, reason)

    def release(self, reference: str) -> SetAside:
        with recorded(self.journal, "release", names={"reference": reference}):
            return super().release(reference)

    def hold(self, reference: str, reason: str, **options: Any) -> Hold:
        with recorded(self.journal, "hold", names={"reference": reference, "reason": reason}):
            return super().hold(reference, reason, **options)

    def unhold(self, reference: str) -> Hold:
        with recorded(self.journal, "unhold", names={"reference": reference}):
            return super().unhold(reference)

    def plan_drop(self, reference: str) -> DropPlan:
        """Recorded only where it is refused: a denial."""
        try:
            return super().plan_drop(reference)
        except Exception:
            with recorded(self.journal, "drop", names={"reference": reference}):
                raise

    def apply_drop(self, plan: DropPlan) -> None:
        with recorded(self.journal, "drop", objects=_of(plan.root), names={"asset": plan.root.asset}):
            super().apply_drop(plan)

    def apply_retention(self, plan: RetentionPlan) -> Applied:
        with recorded(self.journal, "retention.apply"):
            return super().apply_retention(plan)

    def repair(self, *args: Any, **options: Any) -> Repaired:
        if options.get("dry_run"):
            return super().repair(*args, **options)
        with recorded(self.journal, "repair"):
            return super().repair(*args, **options)

    def check(self, **options: Any) -> CheckReport:
        with recorded(self.journal, "vault.check") as facts:
            report = super().check(**options)
            facts.objects |= {"damages": str(len(report.damages))}
        return report

    def collect(self, *args: Any, **options: Any) -> CollectReport:
        if options.get("dry_run"):
            return super().collect(*args, **options)
        with recorded(self.journal, "collect"):
            return super().collect(*args, **options)


def audited(
    vault: Vault, *, environment: Mapping[str, str] = os.environ, elsewhere: Elsewhere | None = None
) -> AuditedVault:
    """The vault with the journal of who opened it. Where it has no audit log, nothing is written.

    `elsewhere`: asked where this store has no log: the same vault at other stores, one of which may have it.
    """
    return AuditedVault(vault.handle, _LateJournal(vault.handle, environment, elsewhere))


class _LateJournal:
    """Looked for when there is something to record: who only looks at a vault pays nothing."""

    def __init__(self, handle: Handle, environment: Mapping[str, str], elsewhere: Elsewhere | None = None) -> None:
        self._handle, self._environment, self._elsewhere = handle, environment, elsewhere
        self._journal: Journal | None = None
        self._decided: DecisionRecord | None = None

    def record(self, action: str, **said: Any) -> bool:
        """With the policies that allowed it, and whom they allowed it where that is not just the member who signs."""
        decided = self._decided
        if decided is not None:
            said["policies"] = said.get("policies") or decided.policies
            if decided.principal is not None and decided.principal.get("kind") != "Member":
                said["names"] = {**(said.get("names") or {}), "principal": _told(decided.principal)}
        return self.resolved().record(action, **said)

    def decided(self, entry: DecisionRecord) -> None:
        """What is recorded from here on was allowed by this decision."""
        self._decided = entry

    def resolved(self) -> Journal:
        """The journal itself."""
        from holdfast.control.audit.recording import journal_of

        if self._journal is None:
            found = journal_of(self._handle, environment=self._environment)
            if self._elsewhere is not None and _is_silent(found):
                others = (journal_of(one, environment=self._environment) for one in self._elsewhere())
                found = next((one for one in others if not _is_silent(one)), found)
            self._journal = found
        return self._journal


class JournalDecisions:
    """Decisions about who may do what, into the same journal: a `control.authority.decision_log.DecisionLog`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def record(self, entry: DecisionRecord, *, required: bool) -> None:
        """Raises FailedError when it is required and cannot be written.

        What is allowed is recorded with what comes of it, in one entry; a denial, and what is done under break-glass,
        at once. Who asked, and about what, are names: they are hashed unless the log may hold plain ones.
        """
        if isinstance(self._journal, _LateJournal):
            if entry.decision == "allow" and entry.break_glass is None:
                self._journal.decided(entry)
                return
            if _is_silent(self._journal.resolved()):
                return  # the vault has no log; the local file has taken it
        names = {"reason": "; ".join(entry.reasons)} if entry.reasons else {}
        for kind, what in (("principal", entry.principal), ("resource", entry.resource)):
            if what:
                names[kind] = _told(what)
        objects = {"roles": ",".join(entry.roles)} if entry.roles else {}
        if entry.break_glass is not None:
            objects["break-glass"] = entry.break_glass.get("id", "")
            names["break-glass-reason"] = entry.break_glass.get("reason", "")
        written = self._journal.record(
            entry.action,
            decision="break-glass" if entry.break_glass is not None else _DECISIONS.get(entry.decision, entry.decision),
            policies=entry.policies,
            objects=objects,
            names=names,
            outcome="decided",
            required=required,
        )
        if required and not written:
            raise FailedError(f"the decision about {entry.action} is not in the audit log")


_DECISIONS = {"allow": "allowed", "deny": "denied"}


def _is_silent(journal: Journal) -> bool:
    from holdfast.audit.journal import SilentJournal

    return isinstance(journal, SilentJournal)


def _told(what: Mapping[str, str]) -> str:
    return "/".join(what.get(one, "") for one in ("kind", "id"))


def _of(root: Root) -> dict[str, str]:
    return {"snapshot": root.id}


def recorded_on(
    vault: Vault, action: str, *, names: Mapping[str, str] | None = None, objects: Mapping[str, str] | None = None
) -> AbstractContextManager[Facts]:
    """`recorded` in the journal of an opened vault, for what is no verb of `Vault`: keys, copies, locks."""
    if not isinstance(vault, AuditedVault):
        return nullcontext(Facts())
    return recorded(vault.journal, action, names=names, objects=objects)


def look_for_log(vault: Vault) -> None:
    """Find out now where it is recorded: for who waits for something else meanwhile. Nothing else depends on it."""
    if isinstance(vault, AuditedVault) and isinstance(vault.journal, _LateJournal):
        vault.journal.resolved()


def decision_logs(vault: Vault) -> tuple[DecisionLog, ...]:
    """Where decisions about this vault are recorded besides the local file: its audit log, where it has one.

    For `control.authority.guarding.guard(…, logs=decision_logs(vault))`.
    """
    return (JournalDecisions(vault.journal),) if isinstance(vault, AuditedVault) else ()
