"""Private keys of logs and witnesses: an Ed25519 key and an ML-DSA-44 key side by side, in one key file.

A log signs its checkpoints with Ed25519 (kind 0x01, which every verifier of signed notes knows) and with ML-DSA-44
(kind 0x06); a witness with two cosignatures (0x04 and 0x06). The key file is JSON of mode 0600, as other key files:
`{"holdfast_audit_key": 1, "use": "log" or "witness", "name", "ed25519", "mldsa44", "check"}`, seeds in base 64.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.notes import NoteSignature
from holdfast.audit.verifier_keys import Kind, VerifierKey, ed25519_message, is_key_name, mldsa_message
from holdfast.errors import CredentialError, UnsupportedFormatError, UsageError
from holdfast.trust.keyfile import create_private_file, read_private_file
from holdfast.trust.private import Private

__all__ = ["Use", "NoteKey", "decode_note_key", "encode_note_key", "load_note_key", "write_note_key"]

Use: TypeAlias = Literal["log", "witness"]
_SEED = 32
_VERSION = 1
_CHECK = "holdfast 1 audit key file"


class NoteKey(Private):
    """The key of a log, or of a witness. Immutable; may be shared by threads."""

    __slots__ = ("_ed", "_ml", "_seeds", "keys", "name", "use")

    def __init__(self, use: Use, name: str, ed25519: bytes, mldsa44: bytes) -> None:
        """`name`: of the key, for a log its origin. Seeds of 32 bytes each. Raises UsageError, CredentialError."""
        if use not in ("log", "witness"):
            raise UsageError("an audit key is a log's or a witness's")
        if not is_key_name(name):
            raise UsageError(
                f"{name!r} cannot name a log or witness: up to 255 characters, no space, no `+`",
                hint="a name like example.com/site-b",
            )
        if (len(ed25519), len(mldsa44)) != (_SEED, _SEED):
            raise CredentialError("the seeds of an audit key have 32 bytes each")
        self.use: Use = use
        self.name = name
        self._seeds = (bytes(ed25519), bytes(mldsa44))
        self._ed = Ed25519PrivateKey.from_private_bytes(ed25519)
        self._ml = MLDSA44PrivateKey.from_seed_bytes(mldsa44)
        kind = Kind.ED25519 if use == "log" else Kind.ED25519_COSIGNATURE
        self.keys: tuple[VerifierKey, VerifierKey] = (
            VerifierKey(name, kind, self._ed.public_key().public_bytes_raw()),
            VerifierKey(name, Kind.MLDSA44_COSIGNATURE, self._ml.public_key().public_bytes_raw()),
        )

    @classmethod
    def generate(cls, use: Use, name: str) -> NoteKey:
        return cls(use, name, os.urandom(_SEED), os.urandom(_SEED))

    @property
    def seeds(self) -> tuple[bytes, bytes]:
        """Of Ed25519 and of ML-DSA-44; secret."""
        return self._seeds

    def sign(self, checkpoint: Checkpoint, time: int) -> list[NoteSignature]:
        """Both signatures of a checkpoint; `time` in seconds since the epoch. ML-DSA is randomized."""
        classical, quantum = self.keys
        stamp = time.to_bytes(8, "big")
        if self.use == "log":
            first = self._ed.sign(checkpoint.text.encode())
        else:
            first = stamp + self._ed.sign(ed25519_message(time, checkpoint.text))
        second = stamp + self._ml.sign(mldsa_message(self.name, time, checkpoint.text, "the checkpoint"))
        return [NoteSignature(self.name, classical.key_id, first), NoteSignature(self.name, quantum.key_id, second)]

    def sign_bytes(self, message: bytes) -> bytes:
        """64 bytes, Ed25519. `message` begins with words that no checkpoint can begin with: say, with a zero byte."""
        if not message.startswith(b"\0"):
            raise UsageError("what is no note begins with a zero byte")
        return self._ed.sign(message)


class _Document(msgspec.Struct, kw_only=True):
    holdfast_audit_key: int
    use: Use
    name: str
    ed25519: bytes
    mldsa44: bytes
    check: str

    def __repr__(self) -> str:
        return "<_Document>"

    def expected_check(self) -> str:
        fields = [self.use.encode(), self.name.encode(), self.ed25519, self.mldsa44]
        framed = b"".join(len(one).to_bytes(4, "little") + one for one in fields)
        return blake3(framed, derive_key_context=_CHECK).hexdigest(16)


class _Version(msgspec.Struct):
    holdfast_audit_key: int


def encode_note_key(key: NoteKey) -> bytes:
    """The text of the key file. It is secret."""
    ed25519, mldsa44 = key.seeds
    document = _Document(
        holdfast_audit_key=_VERSION, use=key.use, name=key.name, ed25519=ed25519, mldsa44=mldsa44, check=""
    )
    document.check = document.expected_check()
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode_note_key(text: bytes, name: str) -> NoteKey:
    """Raises CredentialError, UnsupportedFormatError. No message, and no cause of one, quotes the content."""
    document = None
    try:
        version = msgspec.json.decode(text, type=_Version).holdfast_audit_key
        if version > _VERSION:
            raise UnsupportedFormatError(f"{name} was written by a newer version of holdfast", object_name=name)
        document = msgspec.json.decode(text, type=_Document)
        if document.holdfast_audit_key == _VERSION and document.check == document.expected_check():
            return NoteKey(document.use, document.name, document.ed25519, document.mldsa44)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError, UsageError, CredentialError):
        pass
    raise CredentialError(f"{name} is not an audit key file, or it is damaged", object_name=name) from None


def load_note_key(path: Path, use: Use) -> NoteKey:
    """Raises CredentialError (missing, damaged, or for the other use), PermissionDeniedError (open to others)."""
    key = decode_note_key(read_private_file(path), str(path))
    if key.use != use:
        raise CredentialError(f"{path} holds the key of a {key.use}, not of a {use}", object_name=str(path))
    return key


def write_note_key(key: NoteKey, path: Path) -> None:
    """A new file of mode 0600, durably. Raises RefusedError when the path is taken."""
    create_private_file(path, encode_note_key(key))
