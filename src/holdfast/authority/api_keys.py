"""API keys: for machines and programs that no identity provider knows. 256 random bits, shown once, kept as a hash.

`hfk_<id>_<secret>_<check>`: 16, 52 and 4 characters of Crockford's base 32. The check tells a slip in copying from a
key that is not known; and what begins with `hfk_` is found by programs that look for secrets where none should be.

What is kept of a secret is BLAKE3, keyed with a key of the register, over the id and the secret. A slow hash would add
nothing: nobody guesses 256 random bits, while everybody who sends a wrong key would make us work.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable
from typing import Final

import msgspec
from blake3 import blake3

from holdfast.authority.principals import MEMBER_ROLES, Grant, Principal
from holdfast.authority.settings import Settings
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import CredentialError, UsageError
from holdfast.trust.private import Private

__all__ = [
    "ApiKey",
    "KeyRecord",
    "Register",
    "new_api_key",
    "parse_api_key",
    "principal_of_api_key",
    "KEY_BYTES_MAX",
    "TIME_END",
]

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_FORM: Final = re.compile(rb"hfk_([0-9a-hjkmnp-tv-z]{16})_([0-9a-hjkmnp-tv-z]{52})_([0-9a-hjkmnp-tv-z]{4})")
KEY_BYTES_MAX: Final = 1024
TIME_END: Final = 253_402_300_800 * NANOSECONDS
"""Times are before it, in nanoseconds since the epoch: the year 10000, which no calendar here has."""
LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CHECK_CONTEXT: Final = "holdfast 1 api key check"


class ApiKey(Private):
    """A key in clear. `text` is what its owner sends."""

    __slots__ = ("id", "secret")

    def __init__(self, key_id: str, secret: str) -> None:
        self.id = key_id
        self.secret = secret

    @property
    def text(self) -> str:
        """The key. It is secret."""
        body = f"hfk_{self.id}_{self.secret}"
        return f"{body}_{_check(body)}"

    def __repr__(self) -> str:
        return f"<ApiKey {self.id}>"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key. `hash`: 32 bytes. `person`: who answers for it. Times in nanoseconds since the epoch."""

    id: str
    label: str
    hash: bytes
    person: str
    roles: list[str]
    scopes: list[str] | None
    created: int
    expires: int | None
    revoked: int | None = None

    def __repr__(self) -> str:
        return f"<KeyRecord {self.id} {self.label!r}>"


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """All keys of an installation. `salt`: 32 random bytes, so that its hashes are of no use anywhere else."""

    version: int = 1
    salt: bytes
    keys: list[KeyRecord] = []

    def __repr__(self) -> str:
        return f"<Register of {len(self.keys)} keys>"

    def find(self, key_id: str) -> KeyRecord | None:
        return next((one for one in self.keys if one.id == key_id), None)


def new_api_key(
    register: Register,
    label: str,
    *,
    roles: Iterable[str],
    scopes: Iterable[str] | None,
    person: str,
    now_ns: int,
    expires_ns: int | None,
) -> tuple[Register, ApiKey, KeyRecord]:
    """The register with one more key, and the key. `scopes`: actions and groups that it is limited to, None: no limit.

    Raises UsageError.
    """
    granted = sorted(set(roles))
    problem = _problem(register, label, granted)
    limits = None if scopes is None else sorted(set(scopes))
    for name in (person, *(limits or ())):
        if not name.isprintable():
            problem = problem or f"{name[:80]!a} is no name of a person or an action"
    if expires_ns is not None and expires_ns >= TIME_END:
        problem = problem or "an API key expires before the year 10000, or never"
    if problem:
        raise UsageError(problem)
    key = ApiKey(_random(16), _random(52))
    record = KeyRecord(
        id=key.id,
        label=label,
        hash=_hash(register, key),
        person=person or f"api-key:{key.id}",
        roles=granted,
        scopes=limits,
        created=now_ns,
        expires=expires_ns,
    )
    return msgspec.structs.replace(register, keys=[*register.keys, record]), key, record


def _problem(register: Register, label: str, roles: list[str]) -> str:
    if not LABEL.fullmatch(label):
        return "a label has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit"
    if any(one.label == label and one.revoked is None for one in register.keys):
        return f"there is an API key {label!r} already: revoke it, or take another label"
    for role in roles:
        if not LABEL.fullmatch(role) or role in MEMBER_ROLES or role == "break-glass":
            return f"{role!r} is no role that an API key can have"
    return ""


def parse_api_key(text: bytes) -> ApiKey:
    """Raises CredentialError for what is no whole API key. The message never quotes it."""
    match = _FORM.fullmatch(text.strip()) if len(text) <= KEY_BYTES_MAX else None
    if match is None:
        raise CredentialError("this is no API key: one begins with `hfk_`, and has 78 characters")
    key_id, secret, check = (part.decode() for part in match.groups())
    if not hmac.compare_digest(check, _check(f"hfk_{key_id}_{secret}")):
        raise CredentialError("the API key was not copied whole: its last part does not fit the rest")
    return ApiKey(key_id, secret)


def principal_of_api_key(key: ApiKey, register: Register, settings: Settings, now_ns: int) -> Principal:
    """Raises CredentialError for a key that is not known, is revoked, has expired, or is not valid yet."""
    record = register.find(key.id)
    # The work is the same for a key that is not there: how long it takes says nothing.
    kept = record.hash if record is not None else bytes(32)
    if not hmac.compare_digest(_hash(register, key), kept) or record is None:
        raise CredentialError(
            f"the API key {key.id} is not known here", hint="`holdfast policy api-key list` lists them"
        )
    if record.revoked is not None:  # whatever the clock says: it may have been wrong then, or be wrong now
        raise CredentialError(f"the API key {key.id} was revoked at {to_rfc3339(record.revoked)}")
    if record.expires is not None and record.expires <= now_ns:
        raise CredentialError(f"the API key {key.id} expired at {to_rfc3339(record.expires)}", hint="create a new one")
    if record.created > now_ns + 300 * 1_000_000_000:
        raise CredentialError(
            f"the API key {key.id} was created at {to_rfc3339(record.created)}, which is not yet",
            hint="is this machine's clock right?",
        )
    names = frozenset({f"api-key:{record.id}"})
    return Principal(
        kind="ApiKey",
        id=record.id,
        name=record.label,
        person=record.person,
        how=f"the API key {record.id}",
        grants=(*(Grant(role) for role in record.roles), *settings.grants_for(names)),
        scopes=None if record.scopes is None else frozenset(record.scopes),
        since_ns=record.created,
        until_ns=record.expires,
    )


def _hash(register: Register, key: ApiKey) -> bytes:
    return blake3(f"{key.id}_{key.secret}".encode(), key=register.salt).digest()


def _check(body: str) -> str:
    digest = blake3(body.encode(), derive_key_context=_CHECK_CONTEXT).digest(4)
    return "".join(_ALPHABET[byte & 31] for byte in digest)


def _random(characters: int) -> str:
    return "".join(_ALPHABET[byte & 31] for byte in os.urandom(characters))
