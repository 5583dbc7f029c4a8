"""What a record of a run needs besides its journal: targets with their sources, sites, copies, the audit log."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.evidencing.pricing import terms_of
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.errors import HoldfastError
from holdfast.evidence.gathered import Reviewed, RunOfJournal, Setting
from holdfast.evidence.log_proofs import is_about, proof_name, trimmed
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_setting import (
    AssetTarget,
    Machine,
    Policy,
    PolicyValue,
    ScopedAsset,
    Site,
    Targets,
)
from holdfast.evidence.record_trust import LogEntry, LogTrust
from holdfast.ids import new_snapshot_id
from holdfast.objectives import NOT_MEASURED, NotMeasured, Objective, objective_of
from holdfast.recovery.reviewing.warned import warned_of
from holdfast.units import format_duration
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault
from holdfast.version import VERSION

if TYPE_CHECKING:
    from holdfast.control.audit.auditing import AuditLog

__all__ = ["log_of_vault", "proofs_of", "setting_of", "this_machine"]

_PROOF_COUNTS_NS: Final = 30 * 86_400 * NANOSECONDS
_OWN: Final = ("onprem", "local")
_OWED: Final = ("rpo", "rto", "copies", "save_every", "replicate_every", "verify_every", "immutable", "quorum")


def this_machine() -> Machine:
    """As far as figures depend on it. No host name."""
    return Machine(
        system=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        processors=os.cpu_count() or 1,
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def setting_of(
    sites: DeclaredSites,
    vault: Vault,
    assets: Sequence[DeclaredAsset],
    run: RunOfJournal | None,
    *,
    log: LogTrust | None,
    log_words: str,
    earlier: Iterable[Evidence] = (),
) -> Setting:
    """Never raises for what cannot be found out: that is NOT_MEASURED."""
    return Setting(
        record_id=new_snapshot_id(sites.clock.now_ns()),
        software=f"holdfast {VERSION}",
        machine=this_machine(),
        sites=tuple(_sites(sites, assets)),
        targets=_targets(sites, assets),
        assets=tuple(ScopedAsset(name=one.name, asset_class=one.owed.asset.class_name) for one in assets),
        third_parties=tuple(
            dict.fromkeys(one.cloud.value for one in sites.config.sites.values() if one.cloud.value not in _OWN)
        ),
        copies=_copies(sites, vault, assets, run),
        terms=terms_of(sites, vault, run),
        log=log,
        log_words=log_words,
        earlier=tuple(earlier),
        reviewed=tuple(
            Reviewed(code=one.code, about=one.about, reason=one.reason, refused=False)
            for one in warned_of(run.entries if run is not None else ())
        ),
    )


def _sites(sites: DeclaredSites, assets: Sequence[DeclaredAsset]) -> Iterable[Site]:
    homes = {one.placement.sites[0] for one in assets if one.placement.sites}
    holders = {site for one in assets for site in one.placement.sites}
    for name, site in sites.config.sites.items():
        role = "home of what was recovered" if name in homes else "holds copies" if name in holders else "not involved"
        if name in sites.states:
            role += f"; said to be {sites.states[name].condition.value}"
        place = f"{site.cloud.value}, {site.region}, {site.jurisdiction}"
        yield Site(name=name, role=role, place=place)


def _targets(sites: DeclaredSites, assets: Sequence[DeclaredAsset]) -> Targets:
    owed = [one.owed for one in assets]
    rpo = min((one.rpo.value for one in owed if one.rpo.value is not None), default=None)
    rto = min((one.rto.value for one in owed if one.rto.value is not None), default=None)
    copies = max((one.copies.value for one in owed if one.copies.value is not None), default=None)
    kind = owed[0].kind
    return Targets(
        objective=Objective(
            asset_class=kind,
            rpo_seconds=rpo,
            rto_seconds=rto,
            copies=copies,
            placement=objective_of(kind).placement,
        ),
        assets=tuple(
            AssetTarget(asset=one.name, rpo_seconds=one.rpo.value, rto_seconds=one.rto.value, copies=one.copies.value)
            for one in owed
        ),
        policy=_policy(sites, assets),
    )


def _policy(sites: DeclaredSites, assets: Sequence[DeclaredAsset]) -> Policy:
    """As this process loaded it when it began. The digest is of the file as it is now, where it still says the same."""
    values = []
    for asset in assets:
        for name in _OWED:
            value = getattr(asset.owed, name)
            values.append(
                PolicyValue(asset=asset.name, name=name, value=_told(name, value.value), source=str(value.source))
            )
    return Policy(sha256=_file_digest(sites), values=tuple(values))


def _told(name: str, value: object) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) or (isinstance(value, int) and name not in ("copies", "quorum")):
        return format_duration(float(value))
    return str(value)


def _file_digest(sites: DeclaredSites) -> str:
    try:
        return hashlib.sha256(sites.loaded.path.read_bytes()).hexdigest()
    except OSError:
        return "NOT_MEASURED"


def _copies(
    sites: DeclaredSites, vault: Vault, assets: Sequence[DeclaredAsset], run: RunOfJournal | None
) -> int | NotMeasured:
    """Sites where what came back was read back whole within the last 30 days, as this machine knows: of several assets
    the fewest. The store that the run itself read counts.
    """
    if run is None or run.state.verdict != "PASSED":
        return NOT_MEASURED
    from holdfast.vault.checking.proofs import Proofs

    own, counts = vault.handle, []
    now = own.clock.now_ns()
    for chosen in run.plan.chosen:
        asset = next((one for one in assets if one.name == chosen.asset), None)
        if asset is None or asset.set_name:
            return NOT_MEASURED
        holding = {chosen.site}
        for site in asset.placement.sites:
            try:
                store = sites.store(asset.at(site)).store
                proof = (
                    Proofs(Handle(store, own.keys, own.clock, own.progress, own.workers))
                    .snapshots()
                    .get(chosen.snapshot)
                )
            except HoldfastError:
                continue
            if site not in sites.states and proof is not None and 0 <= now - proof.at <= _PROOF_COUNTS_NS:
                holding.add(site)
        counts.append(len(holding))
    return min(counts, default=NOT_MEASURED)


def log_of_vault(sites: DeclaredSites, vault: Vault, assets: Sequence[DeclaredAsset]) -> tuple[AuditLog | None, str]:
    """The audit log at the first store that has one, and in words why there is none, or what is to be known of it.

    Takes what waits into the log where its key lies on this machine. Never raises for a log that cannot be had.
    """
    own, troubles = vault.handle, []
    stores = [own.store]
    names = dict.fromkeys(asset.at(site) for asset in assets if not asset.set_name for site in asset.placement.sites)
    for name in names:
        try:
            stores.append(sites.store(name).store)
        except HoldfastError as error:
            troubles.append(f"{name}: {error.message}")
    for store in {one.url: one for one in stores}.values():
        try:
            found = _log_at(Handle(store, own.keys, own.clock, own.progress, own.workers), sites.environment)
        except HoldfastError as error:
            troubles.append(error.message)
            continue
        if found is not None:
            return found
    why = (
        f"no audit log of the vault could be used: {'; '.join(troubles)}" if troubles else "the vault has no audit log"
    )
    return None, why[:1000]


def _log_at(handle: Handle, environment: Mapping[str, str]) -> tuple[AuditLog, str] | None:
    from holdfast.audit.layout import DECLARATIONS

    if next(iter(handle.store.list(DECLARATIONS)), None) is None:
        return None
    from holdfast.control.audit.auditing import find_log

    log = find_log(handle, environment=environment)
    if log is None:
        return None
    if not log.has_key():
        return log, "the log's key is elsewhere: entries that wait there are proven when this is exported"
    try:
        log.sequence()
    except HoldfastError as error:
        return log, f"entries wait for the log ({error.message}): they are proven when this is exported"
    return log, "what the log has of this run is proven by the files in proofs/"


def proofs_of(log: AuditLog | None, plan: str, manifest: bytes) -> tuple[LogTrust | None, dict[str, bytes]]:
    """What the record says of the log, and the proofs of its entries about this plan (SHA-256, hex) or manifest."""
    if log is None:
        return None, {}
    from holdfast.audit.entries import decode_leaf

    keys, witnesses = log.declared.keys, log.declared.witnesses
    entries: list[LogEntry] = []
    proofs: dict[str, bytes] = {}
    for place, data in log.entries():
        entry = decode_leaf(data, f"entry {place}").entry
        if is_about(entry.objects, plan, manifest):
            entries.append(
                LogEntry(
                    id=entry.id,
                    action=entry.action,
                    decision=entry.decision,
                    outcome=entry.outcome,
                    utc=to_rfc3339(entry.at_ns),
                )
            )
            proofs[proof_name(place)] = trimmed(log.prove(place), keys, witnesses)
    newest = log.reader.newest()
    trust = LogTrust(
        origin=log.declared.origin,
        keys=tuple(key.vkey for key in keys),
        witnesses=tuple(key.vkey for key in witnesses),
        quorum=log.declared.newest.quorum,
        size=newest.checkpoint.size if newest is not None else 0,
        root=newest.note.text.split("\n")[2] if newest is not None else "",
        entries=tuple(entries),
    )
    return trust, proofs
