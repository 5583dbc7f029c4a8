"""Evidence of a run, written when it has ended: gathered, measured, signed, kept at the stores of its journal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.control.audit.audited_vault import audited, recorded_on
from holdfast.control.evidencing.gathering import log_of_vault, proofs_of, setting_of
from holdfast.control.evidencing.keeping import keep, kept_of, newest_kept
from holdfast.control.evidencing.sealing import Kept
from holdfast.control.recovering.journals import choose_journal, find_run, landing_stores
from holdfast.control.recovering.opening import assets_by_vault, open_anywhere
from holdfast.control.recovering.runs import status_of
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.errors import DamageError, HoldfastError, NotFoundError, RefusedError
from holdfast.evidence.bundle import EvidenceFiles, make_files, told_of, verify_files, write_files
from holdfast.evidence.chain import journal_file
from holdfast.evidence.drill_facts import DrillFacts
from holdfast.evidence.encoding import decode_record
from holdfast.evidence.gathered import RunOfJournal
from holdfast.evidence.manifest import MANIFEST
from holdfast.evidence.record import Evidence
from holdfast.evidence.recording import record_of
from holdfast.recovery.journal.entries import chained
from holdfast.recovery.plans import plan_hash
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.audit.auditing import AuditLog

__all__ = ["earlier_records", "write_evidence_of"]

_EARLIER_MAX: Final = 50
_NOTHING: Final = b""


def write_evidence_of(
    sites: DeclaredSites, run: str, *, drill: DrillFacts | None = None, folder: Path | None = None
) -> EvidenceFiles:
    """Write it to the stores of the run's journal, once, and into `folder` (made if needed) where one is given.

    Where evidence of that run is kept already, that one is written into `folder`, and returned; but a drill's is of the
    drill, and lies under the drill's id where its run left some of its own. `run`: its id; the drill's own where the
    drill ended before any run began. Needs a keeper's key. Raises NotFoundError (no such run),
    RefusedError (it has not ended; the record would contradict itself), CredentialError, StoreUnreachableError,
    ConflictError, AlreadyExistsError (`folder` holds evidence), and what reading the journal raises. Nothing of the run
    depends on it: callers say what went wrong, and go on.
    """
    trouble: HoldfastError | None = None
    for members in assets_by_vault(sites):
        try:
            return _write_of(sites, members, run, drill, folder)
        except (NotFoundError, DamageError) as error:  # its journal may be another vault's
            trouble = trouble or error
    raise trouble or NotFoundError(f"{sites.loaded.path} declares no assets", hint="docs/config.md shows how")


def _write_of(
    sites: DeclaredSites, members: Sequence[DeclaredAsset], run: str, drill: DrillFacts | None, folder: Path | None
) -> EvidenceFiles:
    """Where the vault of these assets has the run. Raises as `write_evidence_of`."""
    vault = open_anywhere(sites, members)
    keys = vault.handle.keys
    signer = keys.require_keeper("writing the evidence of a run")
    place, files = run, _kept_files(sites, vault, run)
    if files is not None and drill is not None and not _is_of(files, drill):
        place, files = drill.drill_id, _kept_files(sites, vault, drill.drill_id)
    if files is None:
        found = _run_of(sites, vault, run, drill)
        assets = _assets(sites, found, drill)
        log, words = log_of_vault(sites, vault, assets)
        plan = plan_hash(found.plan) if found is not None else ""
        trust, proofs = proofs_of(log, plan, _NOTHING)
        earlier = earlier_records(sites, vault, _EARLIER_MAX)
        setting = setting_of(sites, vault, assets, found, log=trust, log_words=words, earlier=earlier)
        record = record_of(found, setting, drill)
        journal = journal_file(found.run, found.stores, found.entries, found.head) if found is not None else None
        made = {**make_files(record, signer, journal=journal), **proofs}
        verify_files(made)
        stores = found.stores if found is not None else _stores(sites)
        kept = Kept(run=place, at=sites.clock.now_ns(), files=made)
        objects = {"evidence": hashlib.sha256(made[MANIFEST]).hexdigest()}
        with recorded_on(_with_log(vault, log, sites), "evidence.write", objects=objects, names={"run": run}):
            files = keep(sites, keys, stores, kept).files
    if folder is not None:
        write_files(files, folder)
    verified = verify_files(files)
    _, where = kept_of(sites, keys, place)
    return told_of(files, verified.record, verified.signer, folder, where)


def _with_log(vault: Vault, log: AuditLog | None, sites: DeclaredSites) -> Vault:
    """The same vault at the store that has its audit log: what is done here is recorded there."""
    if log is None or log.store.url == vault.handle.store.url:
        return vault
    own = vault.handle
    return audited(
        Vault(Handle(log.store, own.keys, own.clock, own.progress, own.workers)), environment=sites.environment
    )


def _kept_files(sites: DeclaredSites, vault: Vault, run: str) -> dict[str, bytes] | None:
    try:
        return kept_of(sites, vault.handle.keys, run)[0].files
    except NotFoundError:
        return None


def _is_of(files: dict[str, bytes], drill: DrillFacts) -> bool:
    return decode_record(files.get("evidence.json", b""), "evidence.json").identity.drill == drill.drill_id


def _run_of(sites: DeclaredSites, vault: Vault, run: str, drill: DrillFacts | None) -> RunOfJournal | None:
    keys = vault.handle.keys
    try:
        journal = find_run(sites, keys, run, "", sites.clock)
    except NotFoundError:
        if drill is not None and drill.drill_id == run:
            return None
        raise
    status = status_of(run, journal)
    if not status.state.verdict:
        raise RefusedError(f"the run {run} has not ended: there is no evidence of it yet", object_name=run)
    last = next(one.data for one in reversed(journal.stored) if one.entry is not None)
    return RunOfJournal(
        run=run,
        stores=status.journal,
        entries=tuple(status.entries),
        head=chained(last),
        plan=status.plan,
        state=status.state,
    )


def _assets(sites: DeclaredSites, run: RunOfJournal | None, drill: DrillFacts | None) -> list[DeclaredAsset]:
    names = list(run.plan.intent.assets) if run is not None else []
    if not names and drill is not None and drill.name in sites.config.drills:
        recovery = sites.config.recoveries.get(sites.config.drills[drill.name].recovery)
        if recovery is not None:
            names = [recovery.asset] if recovery.asset else list(sites.config.groups[recovery.group].assets)
    if not names:
        names = [name for name, asset in sites.assets.items() if not asset.set_name][:1]
    return [sites.asset(name) for name in names]


def _stores(sites: DeclaredSites) -> tuple[str, ...]:
    """Where evidence without a journal goes: as a journal would."""
    lost = {name for name, state in sites.states.items() if state.condition is Condition.FAILED}
    return choose_journal(landing_stores(sites), lost)


def earlier_records(sites: DeclaredSites, vault: Vault, limit: int) -> list[Evidence]:
    """The records of the newest evidence, as far as it can be read and its signature holds, the newest first."""
    found = []
    for one in newest_kept(sites, limit):
        try:
            kept, _ = kept_of(sites, vault.handle.keys, one.run, one.stores)
            verify_files(kept.files)
            found.append(decode_record(kept.files["evidence.json"], "evidence.json"))
        except HoldfastError as error:
            sites.progress.note(f"the evidence of {one.run} is not counted: {error.message}")
    return found
