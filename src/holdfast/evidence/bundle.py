"""The evidence of a run as files that a stranger checks offline.

See `docs/format/evidence-1.md`, and `docs/verify-evidence.py`, which needs nothing of this package.

=====================  ==================================================================================
evidence.json          the record (`holdfast.evidence.record.Evidence`)
evidence.html          the same for people; self-contained
evidence.pdf           the same for who files paper; left out where nobody can make it
journal.json           the entries of the run's journal, with the hashes that chain them; of runs that have one
manifest.json          these files by SHA-256
manifest.sig           the signature over the manifest; written last
countersign.sig        another one, by whoever ran a drill whose own key is gone; of drills in a trial
proofs/N.tlog-proof    that entry N of the audit log is about this run; each verifies by itself
=====================  ==================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.errors import DamageError, NotFoundError, RefusedError
from holdfast.evidence.bundle_v1 import SIGNATURE_V1, open_v1
from holdfast.evidence.chain import JOURNAL, chain_problems, decode_journal
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.encoding import ASK_AGAIN, decode_record, encode_record
from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.log_proofs import PROOFS, ProvenEntry, check_proofs
from holdfast.evidence.manifest import (
    COUNTERSIGNATURE,
    MANIFEST,
    SIGNATURE,
    SUITES,
    check_files,
    make_manifest,
    open_countersignature,
    open_manifest,
    sign_manifest,
)
from holdfast.evidence.record import Evidence
from holdfast.stores.local import LocalStore
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["EvidenceFiles", "VerifiedEvidence", "make_files", "read_folder", "verify_evidence", "verify_files"]
__all__ += ["write_evidence", "write_files"]

EVIDENCE: Final = "evidence.json"
PAGE: Final = "evidence.html"
PDF: Final = "evidence.pdf"
_FILES_MAX: Final = 1000
_BYTES_MAX: Final = 64 << 20


class EvidenceFiles(NamedTuple):
    """What was written. `sha256` is of `evidence.json`; `pdf` is None where none could be made; `stores`: where the
    same was kept (empty: nowhere).
    """

    folder: Path | None
    evidence: Path | None
    signature: Path | None
    page: Path | None
    pdf: Path | None
    sha256: str
    signer: str  # fingerprint
    record: Evidence
    stores: tuple[str, ...] = ()


class VerifiedEvidence(NamedTuple):
    """A record whose signature, digests, chain, proofs and figures hold. Whether `signer` deserves trust is the
    reader's to say, unless it was named. `proven`: entries of the audit log about it. `countersigner`: who has signed
    it besides, empty for nobody: of a drill, whose own key is gone, whoever ran it.
    """

    record: Evidence
    sha256: str
    signer: str  # fingerprint
    proven: tuple[ProvenEntry, ...] = ()
    files: tuple[str, ...] = ()
    countersigner: str = ""


def make_files(record: Evidence, signer: SigningKey, *, journal: bytes | None = None) -> dict[str, bytes]:
    """All signed files by name. Raises RefusedError when the record contradicts itself, UsageError."""
    wrong = contradictions(record)
    if journal is not None:
        wrong += chain_problems(decode_journal(journal, JOURNAL), record)
    if wrong:
        raise RefusedError(f"the record contradicts itself and is not signed: {' '.join(wrong)}")
    content = encode_record(record)
    seal = Seal(sha256=_sha256(content), signer=fingerprint(signer.public), suite=SUITES[signer.suite])
    files = {EVIDENCE: content, PAGE: render_page(record, seal).encode()}
    pdf = _pdf(record, seal)
    if pdf is not None:
        files[PDF] = pdf
    if journal is not None:
        files[JOURNAL] = journal
    manifest = make_manifest(record.identity.record_id, record.identity.run, files, signer)
    return {**files, MANIFEST: manifest, SIGNATURE: sign_manifest(manifest, signer)}


def _pdf(record: Evidence, seal: Seal) -> bytes | None:
    try:
        from holdfast.evidence.pdf.document import render_pdf
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "reportlab":
            raise
        return None
    return render_pdf(record, seal)


def write_evidence(record: Evidence, folder: Path, signer: SigningKey) -> EvidenceFiles:
    """Make the files and write them into `folder`. Raises as `make_files` and `write_files`."""
    files = make_files(record, signer)
    write_files(files, folder)
    return told_of(files, record, fingerprint(signer.public), folder)


def told_of(
    files: Mapping[str, bytes], record: Evidence, signer: str, folder: Path | None, stores: Sequence[str] = ()
) -> EvidenceFiles:
    def path(name: str) -> Path | None:
        return folder / name if folder is not None and name in files else None

    return EvidenceFiles(
        folder=folder,
        evidence=path(EVIDENCE),
        signature=path(SIGNATURE),
        page=path(PAGE),
        pdf=path(PDF),
        sha256=_sha256(files[EVIDENCE]),
        signer=signer,
        record=record,
        stores=tuple(stores),
    )


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Durably, the signature last; `folder` is made if needed, and nothing in it is overwritten.

    Raises AlreadyExistsError, PermissionDeniedError, StorageFullError, FailedError.
    """
    store = LocalStore(folder)
    last = [name for name in (MANIFEST, SIGNATURE) if name in files]
    for name in [*sorted(files.keys() - set(last)), *last]:
        store.create(name, files[name])


def read_folder(folder: Path) -> dict[str, bytes]:
    """What lies there, by name. Raises NotFoundError without a signature, DamageError for what is no evidence."""
    store = LocalStore(folder)
    names = [info.key for info in store.list("")]
    signed = SIGNATURE in names or SIGNATURE_V1 in names
    if not signed:
        raise NotFoundError(f"{folder} holds no evidence: {SIGNATURE} is missing", hint=ASK_AGAIN)
    if SIGNATURE not in names:
        names = [name for name in names if name in (EVIDENCE, PAGE, SIGNATURE_V1)]
    if len(names) > _FILES_MAX:
        raise DamageError(f"{folder} holds more files than evidence has", hint="verify a folder that holds it alone")
    files: dict[str, bytes] = {}
    for name in names:
        files[name] = store.get(name)
        if sum(map(len, files.values())) > _BYTES_MAX:
            raise DamageError(f"{folder} holds more than evidence has", hint="verify a folder that holds it alone")
    return files


def verify_evidence(
    folder: Path, *, signer: str = "", log_keys: Sequence[str] = (), witnesses: Sequence[str] = ()
) -> VerifiedEvidence:
    """`verify_files` of what lies in a folder. Raises the same, and NotFoundError, FailedError."""
    return verify_files(read_folder(folder), signer=signer, log_keys=log_keys, witnesses=witnesses)


def verify_files(
    files: Mapping[str, bytes], *, signer: str = "", log_keys: Sequence[str] = (), witnesses: Sequence[str] = ()
) -> VerifiedEvidence:
    """Check signature, digests, the journal's chain, proofs of the log, the record's form, and its figures.

    `signer`: the fingerprint that the reader trusts, learnt on another way; without it only integrity is shown.
    Who countersigned it counts as much. Raises DamageError, UntrustedError, UnsupportedFormatError, NotFoundError (a
    file is missing).
    """
    if SIGNATURE not in files and SIGNATURE_V1 in files:
        content, actual = open_v1(files, signer=signer)
        record = decode_record(content, EVIDENCE)
        if record.schema_version != 1:
            raise DamageError(f"{EVIDENCE} is of another version than its signature", object_name=EVIDENCE)
        _require_agreeing(contradictions(record))
        return VerifiedEvidence(record, _sha256(content), actual, (), tuple(sorted(files)))
    for name in (SIGNATURE, MANIFEST, EVIDENCE):
        if name not in files:
            raise NotFoundError(f"{name} is missing", hint=ASK_AGAIN, object_name=name)
    counter = files.get(COUNTERSIGNATURE)
    countersigner = open_countersignature(files[MANIFEST], counter) if counter is not None else ""
    manifest, actual = open_manifest(files[MANIFEST], files[SIGNATURE], signer=signer, countersigner=countersigner)
    beside = (MANIFEST, SIGNATURE, COUNTERSIGNATURE)
    proofs = {name: data for name, data in files.items() if name.startswith(PROOFS)}
    signed = {name: data for name, data in files.items() if name not in beside and name not in proofs}
    check_files(manifest, signed)
    record = decode_record(files[EVIDENCE], EVIDENCE)
    wrong = contradictions(record)
    if (manifest.record_id, manifest.run) != (record.identity.record_id, record.identity.run):
        wrong.append("The manifest is of another record.")
    if JOURNAL in signed:
        wrong += chain_problems(decode_journal(signed[JOURNAL], JOURNAL), record)
    elif record.trust.journal is not None:
        wrong.append("The record names a journal that is not here.")
    _require_agreeing(wrong)
    proven = check_proofs(record, files[MANIFEST], proofs, log_keys=log_keys, witnesses=witnesses)
    return VerifiedEvidence(
        record, _sha256(files[EVIDENCE]), actual, tuple(proven), tuple(sorted(files)), countersigner
    )


def _require_agreeing(wrong: list[str]) -> None:
    if wrong:
        raise DamageError(f"the evidence contradicts itself: {' '.join(wrong)}", hint="do not rely on it")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
