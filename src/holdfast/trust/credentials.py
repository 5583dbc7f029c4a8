"""Credentials: what one person or machine holds of a vault's keys, and the key file that it is written in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

import msgspec
from blake3 import blake3

from holdfast.errors import CredentialError, UnsupportedFormatError, UsageError
from holdfast.trust.keyfile import create_private_file, read_private_file
from holdfast.trust.private import Private
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey
from holdfast.trust.suites import Suite, suite_of

__all__ = [
    "Role",
    "ROLES",
    "is_label",
    "Credential",
    "encode_credential",
    "decode_credential",
    "load_credential",
    "write_credential",
]

Role: TypeAlias = Literal["keeper", "reader", "writer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The most capable first."""

_Parsed = TypeVar("_Parsed")
_VERSION, _VERSION_WITH_SUITE = 1, 2  # the second where a key is of another suite than HYBRID_1
_CHECK_CONTEXT = "holdfast 1 key file"
_HEX_128 = re.compile(r"[0-9a-f]{32}")
_LABEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})?")  # it becomes part of a file name


def is_label(text: str) -> bool:
    """Whether it may name a member: up to 64 letters, digits, '.', '_' and '-', or nothing."""
    return _LABEL.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credential(Private):
    """Keys of one vault, for one role. Raises UsageError when they do not fit the role.

    A keeper signs, and opens; a reader opens; a writer signs, and opens nothing. `opener` may be missing where a
    passphrase opens, or nothing has to be opened (a vault of public data). Without an opener, at least one keeper is
    pinned: else nothing would tell a genuine configuration from a forged one.
    """

    role: Role
    vault_id: str  # 32 hex digits
    label: str = ""  # up to 64 letters, digits, '.', '_', '-'
    signer: SigningKey | None = None
    opener: SealingKey | None = None
    chunk_id_key: bytes | None = None  # 32 bytes; writers only (the others unwrap it from the vault's configuration)
    index_key: bytes | None = None  # 32 bytes; likewise
    keepers: tuple[str, ...] = ()  # fingerprints of the keepers whose signatures are trusted from the start

    def __post_init__(self) -> None:
        problem = self._problem_of_form() or self._problem_of_role()
        if problem:
            raise UsageError(f"this is no valid credential: {problem}")

    def _problem_of_form(self) -> str:
        if self.role not in ROLES:
            return "its role is not keeper, reader or writer"
        if not _HEX_128.fullmatch(self.vault_id):
            return "a vault id has 32 hex digits in lower case"
        if not is_label(self.label):
            return "a label has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit"
        if not all(_HEX_128.fullmatch(keeper) for keeper in self.keepers):
            return "a keeper's fingerprint has 32 hex digits in lower case"
        if any(key is not None and len(key) != 32 for key in (self.chunk_id_key, self.index_key)):
            return "the chunk-id key and the index key have 32 bytes"
        return ""

    def _problem_of_role(self) -> str:
        if (self.signer is None) != (self.role == "reader"):
            return "keepers and writers have a signing key, readers have none"
        if self.opener is not None and self.role == "writer":
            return "a writer has no key that opens"
        if (self.chunk_id_key is None) != (self.index_key is None):
            return "the chunk-id key and the index key come together"
        if self.chunk_id_key is not None and self.role != "writer":
            return "only writers carry the chunk-id key and the index key"
        if self.opener is None and not self.keepers:
            return "without a key that opens, it must pin a keeper"
        return ""

    def __repr__(self) -> str:
        name = f" {self.label!r}" if self.label else ""
        return f"<Credential: {self.role}{name} of vault {self.vault_id}>"


class _Document(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The key file's members; `bytes` are base 64."""

    holdfast_key: int
    role: Role
    vault: str
    label: str = ""
    signer: bytes | None = None
    opener: bytes | None = None
    chunk_id_key: bytes | None = None
    index_key: bytes | None = None
    keepers: tuple[str, ...] = ()
    suite: int = int(Suite.HYBRID_1)
    check: str

    def __repr__(self) -> str:
        return "<_Document>"

    def expected_check(self) -> str:
        """32 hex digits over all members: a slip in a copied key is told from a key of another vault."""
        secrets = (self.signer, self.opener, self.chunk_id_key, self.index_key)
        members = [self.role.encode(), self.vault.encode(), self.label.encode()]
        members += [secret or b"" for secret in secrets] + [keeper.encode() for keeper in self.keepers]
        if self.suite != Suite.HYBRID_1:
            members.append(b"suite %d" % self.suite)
        framed = b"".join(len(member).to_bytes(4, "little") + member for member in members)
        return blake3(framed, derive_key_context=_CHECK_CONTEXT).hexdigest(16)


class _Version(msgspec.Struct):
    holdfast_key: int


def encode_credential(credential: Credential) -> bytes:
    """The text of the key file, UTF-8. It is secret."""
    document = _Document(
        holdfast_key=_version_of(credential),
        role=credential.role,
        vault=credential.vault_id,
        label=credential.label,
        signer=None if credential.signer is None else credential.signer.to_bytes(),
        opener=None if credential.opener is None else credential.opener.to_bytes(),
        chunk_id_key=credential.chunk_id_key,
        index_key=credential.index_key,
        keepers=credential.keepers,
        suite=_signing_suite(credential),
        check="",
    )
    document.check = document.expected_check()
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _signing_suite(credential: Credential) -> int:
    return int(Suite.HYBRID_1 if credential.signer is None else credential.signer.suite)


def _version_of(credential: Credential) -> int:
    suites = {key.suite for key in (credential.signer, credential.opener) if key is not None}
    return _VERSION if suites <= {Suite.HYBRID_1} else _VERSION_WITH_SUITE


def decode_credential(text: bytes, name: str) -> Credential:
    """The credential in a key file's text; `name` is for messages, which never show the content.

    Raises CredentialError (malformed or damaged) and UnsupportedFormatError (of a later version).
    """
    # No cause is chained: a decoder's error may quote the content.
    version = _parse(text, _Version)
    if version is None:
        raise CredentialError(f"{name} is not a holdfast key file", object_name=name)
    if version.holdfast_key > _VERSION_WITH_SUITE:
        raise UnsupportedFormatError(f"{name} was written by a newer version of holdfast", object_name=name)
    document = _parse(text, _Document)
    credential = _credential_of(document) if document is not None else None
    if credential is None:
        raise CredentialError(
            f"the key file {name} is malformed or damaged",
            hint="use another copy of it; if there is none, open the vault as another recipient",
            object_name=name,
        )
    return credential


def _parse(text: bytes, shape: type[_Parsed]) -> _Parsed | None:
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _credential_of(document: _Document) -> Credential | None:
    if document.check != document.expected_check():
        return None
    try:
        credential = Credential(
            role=document.role,
            vault_id=document.vault,
            label=document.label,
            signer=None if document.signer is None else SigningKey(document.signer, suite_of(document.suite)),
            opener=None if document.opener is None else SealingKey(document.opener),
            chunk_id_key=document.chunk_id_key,
            index_key=document.index_key,
            keepers=document.keepers,
        )
    except (UsageError, CredentialError, UnsupportedFormatError):
        return None
    # One form for each credential: what an older program can read says so, and nothing else does.
    said = document.holdfast_key, document.suite
    return credential if said == (_version_of(credential), _signing_suite(credential)) else None


def load_credential(path: str | os.PathLike[str]) -> Credential:
    """Read a key file.

    Raises PermissionDeniedError when it cannot be read or others than its owner may use it, CredentialError when it is
    missing, malformed or damaged, UnsupportedFormatError when a newer version wrote it.
    """
    place = Path(path)
    return decode_credential(read_private_file(place), str(place))


def write_credential(credential: Credential, path: str | os.PathLike[str]) -> None:
    """Write a key file, durably, readable by its owner alone. Folders that are missing are made, with mode 0700.

    Raises RefusedError when the path is taken: a key file is never overwritten.
    """
    create_private_file(Path(path), encode_credential(credential))
