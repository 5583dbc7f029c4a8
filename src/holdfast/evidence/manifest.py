"""The manifest of a bundle and its signature: the one place that says which bytes belong together, and who says so."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.errors import DamageError, UnsupportedFormatError, UntrustedError
from holdfast.evidence.encoding import ASK_AGAIN, decode_json, require_version, tidy
from holdfast.evidence.record import SCHEMA_VERSION
from holdfast.evidence.record_trust import FileDigest
from holdfast.trust.signing import SigningKey, fingerprint, verify
from holdfast.trust.suites import Suite

__all__ = [
    "COUNTERSIGNATURE",
    "MANIFEST",
    "SIGNATURE",
    "SUITES",
    "Manifest",
    "check_files",
    "countersign_manifest",
    "make_manifest",
    "open_countersignature",
    "open_manifest",
    "sign_manifest",
]

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
COUNTERSIGNATURE: Final = "countersign.sig"
SUITES: Final = {Suite.HYBRID_1: "Ed25519 + ML-DSA-65", Suite.HYBRID_2: "Ed25519 + ML-DSA-87"}
_DOMAIN: Final = b"holdfast 1 evidence manifest\0"
_COUNTER_DOMAIN: Final = b"holdfast 1 evidence countersignature\0"


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`: the files by name, size and SHA-256 (hex); `signer`: the fingerprint of who signs it."""

    schema_version: int
    record_id: str
    run: str
    signer: str
    suite: str
    files: tuple[FileDigest, ...]


class _Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`public_key`, `signature`: base 64 in JSON."""

    schema_version: int
    suite: str
    fingerprint: str
    public_key: bytes
    signature: bytes


_MANIFEST_DECODER: Final = msgspec.json.Decoder(Manifest)
_SIGNATURE_DECODER: Final = msgspec.json.Decoder(_Signature)


def make_manifest(record_id: str, run: str, files: Mapping[str, bytes], signer: SigningKey) -> bytes:
    """Sorted by name."""
    digests = tuple(
        FileDigest(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in sorted(files.items())
    )
    return tidy(
        Manifest(
            schema_version=SCHEMA_VERSION,
            record_id=record_id,
            run=run,
            signer=fingerprint(signer.public),
            suite=SUITES[signer.suite],
            files=digests,
        )
    )


def sign_manifest(manifest: bytes, signer: SigningKey) -> bytes:
    """The bytes of `manifest.sig`."""
    return _written(SUITES[signer.suite], signer.public, signer.sign(_DOMAIN + manifest))


def _written(suite: str, public: bytes, signature: bytes) -> bytes:
    """One way to write it, so that a changed byte is no other way to write the same."""
    said = {
        "fingerprint": fingerprint(public),
        "public_key": base64.b64encode(public).decode(),
        "schema_version": SCHEMA_VERSION,
        "signature": base64.b64encode(signature).decode(),
        "suite": suite,
    }
    return json.dumps(said, indent=1, sort_keys=True).encode() + b"\n"


def countersign_manifest(manifest: bytes, signer: SigningKey) -> bytes:
    """The bytes of `countersign.sig`: by whoever had it signed with a key that nobody has any more."""
    return _written(SUITES[signer.suite], signer.public, signer.sign(_COUNTER_DOMAIN + manifest))


def open_countersignature(manifest: bytes, countersignature: bytes) -> str:
    """The fingerprint of who signed it. Raises DamageError, UnsupportedFormatError, UntrustedError."""
    return _checked(countersignature, COUNTERSIGNATURE, _COUNTER_DOMAIN + manifest)[0]


def _checked(signature: bytes, name: str, message: bytes) -> tuple[str, str]:
    """Fingerprint and suite of a signature over that message. Raises as `open_manifest`."""
    require_version(signature, name, (SCHEMA_VERSION,))
    signed = decode_json(signature, _SIGNATURE_DECODER, name)
    if signed.suite not in SUITES.values():
        raise UnsupportedFormatError(f"{name} is of an unknown suite", object_name=name)
    actual = fingerprint(signed.public_key)
    if signed.fingerprint != actual:
        raise UntrustedError(f"{name} names another signer than its key has", object_name=name)
    if signature != _written(signed.suite, signed.public_key, signed.signature):
        raise DamageError(f"{name} was not written like this", hint=ASK_AGAIN, object_name=name)
    verify(signed.public_key, message, signed.signature)
    return actual, signed.suite


def open_manifest(
    manifest: bytes, signature: bytes, *, signer: str = "", countersigner: str = ""
) -> tuple[Manifest, str]:
    """The manifest and the fingerprint of who signed it. `signer`: who is trusted, where that is given: it must be by
    them, or countersigned by them.

    Raises DamageError, UnsupportedFormatError, UntrustedError.
    """
    actual, suite = _checked(signature, SIGNATURE, _DOMAIN + manifest)
    if signer and signer.strip().lower() not in {actual, countersigner or actual}:
        more = f", and countersigned by {countersigner}" if countersigner else ""
        raise UntrustedError(
            f"{SIGNATURE} is by {actual}{more}, not by {signer}",
            hint="ask whoever ran it for the fingerprint of their signing key",
            object_name=SIGNATURE,
        )
    require_version(manifest, MANIFEST, (SCHEMA_VERSION,))
    found = decode_json(manifest, _MANIFEST_DECODER, MANIFEST)
    if found.signer != actual or found.suite != suite:
        raise DamageError(f"{MANIFEST} names another signer than it has", hint=ASK_AGAIN, object_name=MANIFEST)
    return found, actual


def check_files(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """That exactly these files are there, byte for byte. Raises DamageError."""
    named = {one.name: one for one in manifest.files}
    for name in sorted(named.keys() - files.keys()):
        raise DamageError(f"{name} is missing", hint=ASK_AGAIN, object_name=name)
    for name in sorted(files.keys() - named.keys()):
        raise DamageError(f"{name} is not part of this evidence", hint="take it away", object_name=name)
    for name, data in files.items():
        one = named[name]
        if len(data) != one.size_bytes or hashlib.sha256(data).hexdigest() != one.sha256:
            raise DamageError(f"{name} is not the file that was signed", hint=ASK_AGAIN, object_name=name)
