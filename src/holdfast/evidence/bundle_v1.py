"""Evidence of version 1: `evidence.json`, `evidence.html` and `evidence.json.sig`. Read, and written no more."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from holdfast.errors import DamageError, NotFoundError, UnsupportedFormatError, UntrustedError
from holdfast.evidence.encoding import ASK_AGAIN, decode_json, require_version
from holdfast.trust.signing import fingerprint, verify

__all__ = ["SIGNATURE_V1", "open_v1"]

SIGNATURE_V1: Final = "evidence.json.sig"
_SUITE: Final = "Ed25519 + ML-DSA-65"
_DOMAINS: Final = {"evidence.json": b"holdfast 1 evidence\0", "evidence.html": b"holdfast 1 evidence page\0"}


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


_SIGNED: Final = msgspec.json.Decoder(_SignatureFile)


def open_v1(files: Mapping[str, bytes], *, signer: str = "") -> tuple[bytes, str]:
    """The bytes of the record, and the fingerprint of who signed it and the page. Raises as `verify_files` does."""
    sealed = files[SIGNATURE_V1]
    require_version(sealed, SIGNATURE_V1, (1,))
    signature = decode_json(sealed, _SIGNED, SIGNATURE_V1)
    if signature.suite != _SUITE:
        raise UnsupportedFormatError(f"{SIGNATURE_V1} is signed with an unknown suite", object_name=SIGNATURE_V1)
    actual = fingerprint(signature.public_key)
    if signature.fingerprint != actual:
        raise UntrustedError(f"{SIGNATURE_V1} names another signer than its key has", object_name=SIGNATURE_V1)
    if signer and actual != signer.strip().lower():
        raise UntrustedError(
            f"{SIGNATURE_V1} is by {actual}, not by {signer}",
            hint="ask whoever ran the drill for the fingerprint of their signing key",
            object_name=SIGNATURE_V1,
        )
    for (name, domain), signed in zip(_DOMAINS.items(), (signature.evidence, signature.page), strict=True):
        if name not in files:
            raise NotFoundError(f"{name} is missing", hint=ASK_AGAIN, object_name=name)
        content = files[name]
        if signed.name != name or signed.sha256 != hashlib.sha256(content).hexdigest():
            raise DamageError(f"{name} is not the file that was signed", hint=ASK_AGAIN, object_name=name)
        verify(signature.public_key, domain + content, signed.signature)
    return files["evidence.json"], actual
