"""Evidence for people: listed, shown, exported with the proofs that the audit log has by now, trends over all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.control.authority.guarding import guard
from holdfast.control.evidencing.comparing import AtStores, compare_journal
from holdfast.control.evidencing.gathering import log_of_vault, proofs_of
from holdfast.control.evidencing.keeping import Listed, kept_of, newest_kept
from holdfast.control.evidencing.sealing import Kept
from holdfast.control.recovering.opening import assets_by_vault, open_anywhere
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError, UsageError
from holdfast.evidence.bundle import VerifiedEvidence, verify_files, write_files
from holdfast.evidence.log_proofs import PROOFS
from holdfast.evidence.manifest import MANIFEST
from holdfast.evidence.record import Evidence
from holdfast.evidence.trends import Declared, Trends, trends_of
from holdfast.vault.vault import Vault

__all__ = ["Exported", "Shown", "Summary", "Unreadable", "export", "list_evidence", "show", "trends"]

_TRENDS_MAX: Final = 500


class Unreadable(NamedTuple):
    """Evidence at a store that cannot be believed, and why."""

    listed: Listed
    why: str


class Summary(NamedTuple):
    """Evidence that holds."""

    listed: Listed
    verified: VerifiedEvidence


class Shown(NamedTuple):
    """The evidence of a run: what it says, and where it is kept. `label`: the keeper whose key signed it, if known.

    `journal`: what its journal's stores have; None where it has none, or was not asked for.
    """

    verified: VerifiedEvidence
    stores: tuple[str, ...]
    label: str
    files: dict[str, bytes]
    journal: AtStores | None = None


class Exported(NamedTuple):
    """What lies in the folder now. `added`: proofs that the kept evidence did not have. `log_words`: of the log."""

    shown: Shown
    folder: Path
    added: tuple[str, ...]
    log_words: str


def list_evidence(sites: DeclaredSites, limit: int) -> list[Summary | Unreadable]:
    """The newest, by the times of the stores. Raises what opening the vault raises, PermissionDeniedError."""
    vaults = list(_opened(sites))
    found: list[Summary | Unreadable] = []
    for one in newest_kept(sites, limit):
        try:
            _, kept, _ = _kept(sites, vaults, one.run)
            found.append(Summary(one, verify_files(kept.files)))
        except HoldfastError as error:
            found.append(Unreadable(one, error.message))
    return found


def show(sites: DeclaredSites, run: str) -> Shown:
    """Raises NotFoundError, DamageError (also where the stores have another journal), UntrustedError."""
    vault, found = _shown(sites, run)
    return found._replace(journal=_journal(sites, vault, found))


def _journal(sites: DeclaredSites, vault: Vault, found: Shown) -> AtStores | None:
    """None also of a drill whose journal lay in its trial, and went with it."""
    compared = compare_journal(sites, vault.handle.keys, found.files)
    gone = compared is not None and not compared.same and bool(found.verified.record.identity.drill)
    return None if gone else compared


def _shown(sites: DeclaredSites, run: str) -> tuple[Vault, Shown]:
    from holdfast.trust.signing import fingerprint

    vault, kept, stores = _kept(sites, _opened(sites), run)
    verified = verify_files(kept.files)
    signers = vault.handle.keys.config.signers
    by = (verified.signer, verified.countersigner)
    label = next((one.label for one in signers if fingerprint(one.public) in by), "")
    return vault, Shown(verified, stores, label, kept.files)


def _kept(sites: DeclaredSites, vaults: Iterable[Vault], run: str) -> tuple[Vault, Kept, tuple[str, ...]]:
    """The evidence of a run, by the first of these vaults whose keys open it. Raises what the first of them raised."""
    trouble: HoldfastError | None = None
    for vault in vaults:
        try:
            return vault, *kept_of(sites, vault.handle.keys, run)
        except (NotFoundError, UsageError):  # by whichever keys
            raise
        except HoldfastError as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def export(sites: DeclaredSites, run: str, folder: Path) -> Exported:
    """Write the files as they are kept, byte by byte, and proofs of whatever came into the log since.

    Raises as `show`, and as `write_files`.
    """
    vault, found = _shown(sites, run)
    record, files = found.verified.record, dict(found.files)
    words, added = "", {}
    if record.trust.log is not None:
        names = [name for name in record.scope.asset.split(", ") if name in sites.assets]
        log, words = log_of_vault(sites, vault, [sites.asset(name) for name in names])
        plan = record.identity.plan.sha256 if record.identity.plan is not None else ""
        _, proofs = proofs_of(log, plan, files[MANIFEST])
        added = {name: data for name, data in proofs.items() if name not in files}
        try:
            verified = verify_files({**files, **added})
        except HoldfastError as error:
            words, added, verified = f"proofs of now are left out: {error.message}", {}, found.verified
        found = found._replace(verified=verified)
    write_files({**files, **added}, folder)
    return Exported(found, folder, tuple(name.removeprefix(PROOFS) for name in sorted(added)), words)


def trends(sites: DeclaredSites) -> Trends:
    """Over all evidence that can be read, and the drills that are declared."""
    from holdfast.drills.judging import LEVELS

    records: list[Evidence] = []
    for read in list_evidence(sites, _TRENDS_MAX):
        if isinstance(read, Summary):
            records.append(read.verified.record)
        else:
            sites.progress.note(f"the evidence of {read.listed.run} is not counted: {read.why}")
    declared = [
        Declared(name=name, recovery=drill.recovery, every_seconds=drill.every, exercise=LEVELS[drill.level])
        for name, drill in sites.config.drills.items()
    ]
    return trends_of(records, declared, sites.clock.now_ns())


def _opened(sites: DeclaredSites) -> Iterator[Vault]:
    """The vault of whole copies, then that of each set of stripes, as they are asked for. One that does not open is
    noted; raises what the first raised, where none does, and PermissionDeniedError likewise.
    """
    opened, trouble = 0, list[HoldfastError]()
    for members in assets_by_vault(sites) or [[]]:
        try:
            vault = open_anywhere(sites, members)
            guard(vault, "drill.report", environment=sites.environment)
        except HoldfastError as error:
            trouble.append(error)
            continue
        opened += 1
        yield vault
    if not opened:
        raise trouble[0]
    for one in trouble:
        sites.progress.note(f"the evidence of a vault is not looked at: {one.message}")
