"""Writes, signs and verifies the evidence of a drill: three files that a stranger can check offline.

=====================  ==================================================================================
evidence.json          the record (`holdfast.drills.record.Evidence`)
evidence.html          the same for people; self-contained
evidence.json.sig      JSON: the signer's public key, and a signature over each of the other two; written last
=====================  ==================================================================================

To verify without writing Python: `python -m holdfast.drills.evidence FOLDER --signer FINGERPRINT`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from holdfast.drills.consistency import contradictions
from holdfast.drills.evidence_page import Seal, render_page
from holdfast.drills.headline import headline_of
from holdfast.drills.record import SCHEMA_VERSION, Evidence
from holdfast.errors import (
    DamageError,
    HoldfastError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedError,
    UsageError,
)
from holdfast.stores.local import LocalStore
from holdfast.trust.signing import SigningKey, fingerprint, verify

__all__ = ["EvidenceFiles", "VerifiedEvidence", "write_evidence", "verify_evidence", "encode_record", "decode_record"]

EVIDENCE = "evidence.json"
SIGNATURE = "evidence.json.sig"
PAGE = "evidence.html"

_SUITE = "Ed25519 + ML-DSA-65"
_EVIDENCE_DOMAIN = b"holdfast 1 evidence\0"
_PAGE_DOMAIN = b"holdfast 1 evidence page\0"

_ASK_AGAIN = "get the evidence again from whoever ran the drill, or from another copy"
_WHOLE_MAX = (1 << 63) - 1

_T = TypeVar("_T")


class EvidenceFiles(NamedTuple):
    """What `write_evidence` wrote. `sha256` is of `evidence.json`."""

    evidence: Path
    signature: Path
    page: Path
    sha256: str
    signer: str  # fingerprint


class VerifiedEvidence(NamedTuple):
    """A record whose signature, digests and verdict hold. Whether `signer` deserves trust is the reader's to say."""

    record: Evidence
    sha256: str
    signer: str  # fingerprint


class _SignedFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    sha256: str
    signature: bytes  # base64 in JSON


class _SignatureFile(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: int
    suite: str
    fingerprint: str
    public_key: bytes  # base64 in JSON
    evidence: _SignedFile
    page: _SignedFile


class _Versioned(msgspec.Struct):
    schema_version: int


def encode_record(record: Evidence) -> bytes:
    """The bytes of `evidence.json`: equal records give equal bytes. Raises UsageError for figures JSON cannot hold."""
    content = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    try:
        same = msgspec.json.decode(content, type=Evidence) == record
    except msgspec.MsgspecError:
        same = False
    if not same:
        raise UsageError("the record holds a figure that JSON cannot (infinite or not a number)")
    return content


def decode_record(content: bytes, name: str) -> Evidence:
    """The record in these bytes; `name` is for messages. Raises DamageError, UnsupportedFormatError."""
    _check_version(content, name)
    record = _decode(content, Evidence, name)
    if not _are_figures(_decode(content, dict[str, object], name)):
        raise DamageError(f"{name} holds a number that no run can have", hint=_ASK_AGAIN, object_name=name)
    return record


def _are_figures(value: object) -> bool:
    """Whether all whole numbers have at most 64 bits: with larger ones no arithmetic of floats is possible."""
    if isinstance(value, dict):
        return all(map(_are_figures, value.values()))
    if isinstance(value, list):
        return all(map(_are_figures, value))
    return not isinstance(value, int) or abs(value) <= _WHOLE_MAX


def write_evidence(record: Evidence, folder: Path, signer: SigningKey) -> EvidenceFiles:
    """Write the three files into `folder` (made if needed), durably, the signature last.

    Raises RefusedError when the record contradicts itself, AlreadyExistsError when evidence is there already (it is
    never overwritten), UsageError, PermissionDeniedError, StorageFullError, FailedError.
    """
    wrong = contradictions(record)
    if wrong:
        raise RefusedError(f"the record contradicts itself and is not signed: {' '.join(wrong)}")
    content = encode_record(record)
    seal = Seal(sha256=_sha256(content), signer=fingerprint(signer.public), suite=_SUITE)
    page = render_page(record, seal).encode()
    signature = _SignatureFile(
        schema_version=SCHEMA_VERSION,
        suite=_SUITE,
        fingerprint=seal.signer,
        public_key=signer.public,
        evidence=_sign(signer, EVIDENCE, _EVIDENCE_DOMAIN, content),
        page=_sign(signer, PAGE, _PAGE_DOMAIN, page),
    )
    files = EvidenceFiles(folder / EVIDENCE, folder / SIGNATURE, folder / PAGE, seal.sha256, seal.signer)
    store = LocalStore(folder)
    store.create(EVIDENCE, content)
    store.create(PAGE, page)
    store.create(SIGNATURE, msgspec.json.format(msgspec.json.encode(signature), indent=1) + b"\n")
    return files


def verify_evidence(folder: Path, *, signer: str = "") -> VerifiedEvidence:
    """Check digests, signatures (of the record and of the page), the record's form, and its verdict, offline.

    `signer`: the fingerprint that the reader trusts, learnt on another way; without it only integrity is shown.
    Raises DamageError, UntrustedError, UnsupportedFormatError, NotFoundError (a file is missing), FailedError.
    """
    store = LocalStore(folder)
    name = str(folder / SIGNATURE)
    sealed = store.get(SIGNATURE)
    _check_version(sealed, name)
    signature = _decode(sealed, _SignatureFile, name)
    if signature.suite != _SUITE:
        raise UnsupportedFormatError(f"{name} is signed with an unknown suite", object_name=name)
    actual = fingerprint(signature.public_key)
    if signature.fingerprint != actual:
        raise UntrustedError(f"{name} names another signer than its key has", object_name=name)
    if signer and actual != signer.lower():
        raise UntrustedError(
            f"{name} is signed by {actual}, not by {signer}",
            hint="ask whoever ran the drill for the fingerprint of their signing key",
            object_name=name,
        )
    content = store.get(EVIDENCE)
    _check_file(folder / EVIDENCE, content, signature.evidence, _EVIDENCE_DOMAIN, signature.public_key)
    _check_file(folder / PAGE, store.get(PAGE), signature.page, _PAGE_DOMAIN, signature.public_key)
    record = decode_record(content, str(folder / EVIDENCE))
    wrong = contradictions(record)
    if wrong:
        raise DamageError(f"{folder / EVIDENCE} contradicts itself: {' '.join(wrong)}", hint="do not rely on it")
    return VerifiedEvidence(record, signature.evidence.sha256, actual)


def _sign(signer: SigningKey, name: str, domain: bytes, content: bytes) -> _SignedFile:
    return _SignedFile(name=name, sha256=_sha256(content), signature=signer.sign(domain + content))


def _check_file(path: Path, content: bytes, signed: _SignedFile, domain: bytes, public: bytes) -> None:
    if signed.name != path.name or signed.sha256 != _sha256(content):
        raise DamageError(
            f"{path} is not the file that was signed",
            hint=_ASK_AGAIN,
            object_name=str(path),
        )
    verify(public, domain + content, signed.signature)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_version(content: bytes, name: str) -> None:
    version = _decode(content, _Versioned, name).schema_version
    if version != SCHEMA_VERSION:
        raise UnsupportedFormatError(f"{name} has version {version} of the evidence format", object_name=name)


def _decode(content: bytes, kind: type[_T], name: str) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, UsageError, RecursionError) as error:
        raise DamageError(
            f"{name} is not evidence of this format: {error}",
            hint=_ASK_AGAIN,
            object_name=name,
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the evidence in a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.drills.evidence", description="Verify evidence offline.")
    parser.add_argument("folder", type=Path, help=f"holds {EVIDENCE}, {SIGNATURE} and {PAGE}")
    parser.add_argument("--signer", default="", help="the fingerprint of the signer that you trust")
    options = parser.parse_args(arguments)
    try:
        verified = verify_evidence(options.folder, signer=options.signer)
    except HoldfastError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    sys.stdout.write(f"{headline_of(verified.record)}\n")
    trusted = "whom you trust" if options.signer else "whom you have yet to trust: compare the fingerprint"
    sys.stderr.write(f"record {verified.record.identity.record_id}: intact, signed by {verified.signer}, {trusted}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
