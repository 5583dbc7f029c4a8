"""Public keys of logs and witnesses, as C2SP writes them (`vkey`), and what each kind of key signs.

| kind | signs |
|---|---|
| 0x01 Ed25519 | the text of the note (signed-note) |
| 0x04 Ed25519 cosignature | a time and the text (tlog-cosignature) |
| 0x06 ML-DSA-44 cosignature | a time, its own name, origin, size and root of a checkpoint (tlog-cosignature) |
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from holdfast.audit.checkpoint_text import parse_checkpoint_text
from holdfast.errors import UntrustedError, UsageError

__all__ = [
    "Kind",
    "VerifierKey",
    "is_key_name",
    "key_id_of",
    "parse_vkey",
    "ed25519_message",
    "mldsa_message",
    "TIME_SIZE",
]

TIME_SIZE = 8
_TIME_MAX = (1 << 63) - 1
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_LABEL = b"subtree/v1\n\0"


class Kind(IntEnum):
    """Signature types of signed-note that are understood here."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    MLDSA44_COSIGNATURE = 0x06


_PUBLIC_SIZES = {Kind.ED25519: 32, Kind.ED25519_COSIGNATURE: 32, Kind.MLDSA44_COSIGNATURE: 1312}
_SIGNATURE_SIZES = {Kind.ED25519: 64, Kind.ED25519_COSIGNATURE: 64, Kind.MLDSA44_COSIGNATURE: 2420}


def is_key_name(text: str) -> bool:
    """Whether that may name a key: not empty, neither spaces nor `+`, at most 255 bytes."""
    try:
        return _NAME.fullmatch(text) is not None and len(text.encode()) <= 255
    except UnicodeEncodeError:
        return False


def key_id_of(name: str, kind: Kind, public: bytes) -> bytes:
    """The first four bytes of SHA-256(name || newline || kind || public key)."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


class VerifierKey(NamedTuple):
    """A public key with its name. Make one with `parse_vkey`, or from a private key."""

    name: str
    kind: Kind
    public: bytes

    @property
    def key_id(self) -> bytes:
        return key_id_of(self.name, self.kind, self.public)

    @property
    def vkey(self) -> str:
        """`name+hex of the key id+base 64 of kind and key`."""
        encoded = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, text: str, signature: bytes, name: str) -> int | None:
        """The time that was signed along (s since the epoch), None for plain signatures. Raises UntrustedError."""
        timed = self.kind is not Kind.ED25519
        try:
            if len(signature) != _SIGNATURE_SIZES[self.kind] + (TIME_SIZE if timed else 0):
                raise InvalidSignature
            time = int.from_bytes(signature[:TIME_SIZE], "big") if timed else 0
            if time > _TIME_MAX:
                raise InvalidSignature
            if self.kind is Kind.MLDSA44_COSIGNATURE:
                key = MLDSA44PublicKey.from_public_bytes(self.public)
                key.verify(signature[TIME_SIZE:], mldsa_message(self.name, time, text, name))
            else:
                message = ed25519_message(time, text) if timed else text.encode()
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature[-64:], message)
        except (InvalidSignature, ValueError) as error:
            raise UntrustedError(
                f"the signature of {self.name} below {name} is wrong: it was changed, or somebody else signed it",
                object_name=name,
            ) from error
        return time if timed else None


def parse_vkey(text: str) -> VerifierKey:
    """Raises UsageError for what is no key, or one of a kind that is not known here."""
    name, plus, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not plus or not data or not is_key_name(name):
        raise UsageError(
            "a verifier key looks like NAME+12345678+BASE64", hint="`holdfast audit verify` shows the log's"
        )
    if data[0] not in set(Kind):
        raise UsageError(f"the key of {name} is of kind {data[0]:#04x}, which is not known here")
    key = VerifierKey(name, Kind(data[0]), data[1:])
    if len(key.public) != _PUBLIC_SIZES[key.kind] or key.key_id.hex() != key_id or key.vkey != text.strip():
        raise UsageError(f"the key of {name} is damaged: its id does not fit", hint="copy it once more")
    _check_point(key)
    return key


def ed25519_message(time: int, text: str) -> bytes:
    """What an Ed25519 cosignature signs (tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def mldsa_message(cosigner: str, time: int, text: str, name: str) -> bytes:
    """What an ML-DSA-44 cosignature signs (tlog-cosignature, "ML-DSA-44 signed message"). Raises DamageError."""
    checkpoint = parse_checkpoint_text(text, name)
    return b"".join(
        [
            _LABEL,
            _short(cosigner),
            time.to_bytes(8, "big"),
            _short(checkpoint.origin),
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        ]
    )


def _short(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) < 256:
        raise ValueError("names in a cosignature have 1 to 255 bytes")
    return len(data).to_bytes(1, "big") + data


def _check_point(key: VerifierKey) -> None:
    parse: Callable[[bytes], object] = (
        MLDSA44PublicKey.from_public_bytes
        if key.kind is Kind.MLDSA44_COSIGNATURE
        else Ed25519PublicKey.from_public_bytes
    )
    try:
        parse(key.public)
    except ValueError:
        raise UsageError(f"the key of {key.name} is damaged") from None
