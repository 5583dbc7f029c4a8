"""The keys of identity providers (RFC 7517), fetched when they are needed and kept on disk.

While a provider does not answer, its kept keys are used up to the age that the settings allow, so that recovery goes on
when the provider is part of what was lost. That is said each time.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from holdfast.authority.fetching import fetch_document
from holdfast.authority.policy_folder import check_owner
from holdfast.authority.settings import Issuer
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock, to_rfc3339
from holdfast.durable import replace_file
from holdfast.errors import CredentialError, HoldfastError
from holdfast.events import SILENT, Progress
from holdfast.units import format_duration, parse_duration

__all__ = ["IssuerKey", "IssuerKeys", "KeyCache", "parse_key_set", "RETRY_SECONDS"]

_KEYS_MAX: Final = 100
_AGE_MAX: Final = 1 << 40  # seconds; a kept file may state a number that no float can hold
_RSA_BITS: Final = (2048, 8192)  # NIST SP 800-131A; and what is checked in no time
RETRY_SECONDS: Final = 10.0
"""How often a provider is asked at most: tokens with made-up key ids must not become a flood of requests to it."""

Fetch: TypeAlias = Callable[[str, str | None], bytes]


class IssuerKey(NamedTuple):
    """A public key. `algorithm`: what the provider says it is for, if it says so. `jwk`: as published."""

    kid: str
    kind: str  # RSA, EC, OKP
    algorithm: str | None
    jwk: dict[str, Any]


class IssuerKeys(NamedTuple):
    """The keys of one provider. `stale`: they are older than they should be, as it does not answer."""

    keys: tuple[IssuerKey, ...]
    fetched_ns: int
    stale: bool = False

    def find(self, kid: str) -> list[IssuerKey]:
        return [key for key in self.keys if key.kid == kid]


class _Jwk(msgspec.Struct, frozen=True):
    """The members of a JWK that decide whether it is taken."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    n: str | None = None
    e: str | None = None
    d: str | None = None
    k: str | None = None


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class _Discovery(msgspec.Struct, frozen=True):
    """OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str


class _Kept(msgspec.Struct, frozen=True):
    issuer: str
    fetched_ns: int
    key_set: bytes


def parse_key_set(data: bytes, name: str) -> tuple[IssuerKey, ...]:
    """The keys of a JWK Set that verify signatures. Keys of other kinds, or too weak ones, are passed over.

    Raises CredentialError for what is no key set, has no usable key, or gives away a private key.
    """
    found: list[IssuerKey] = []
    try:
        raw = msgspec.json.decode(data, type=_KeySet).keys
        for one in raw[:_KEYS_MAX]:
            key = _usable(one, name)
            if key is not None:
                found.append(key)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CredentialError(f"the keys of {name} cannot be read", object_name=name) from error
    if not found:
        raise CredentialError(f"{name} publishes no key that verifies signatures", object_name=name)
    return tuple(found)


def _usable(raw: msgspec.Raw, name: str) -> IssuerKey | None:
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
    except (msgspec.MsgspecError, ValueError):
        return None  # of a kind that came later: RFC 7517, section 5, asks for passing over it
    if jwk.d is not None:
        raise CredentialError(
            f"{name} publishes a private key: whoever read it can make tokens", hint="tell whoever runs it"
        )
    wrong_use = jwk.use not in (None, "sig") or (jwk.key_ops is not None and "verify" not in jwk.key_ops)
    if jwk.kty not in ("RSA", "EC", "OKP") or jwk.kid is None or wrong_use:
        return None
    if jwk.kty == "RSA" and not _RSA_BITS[0] <= _bits(jwk.n) <= _RSA_BITS[1]:
        return None
    return IssuerKey(jwk.kid, jwk.kty, jwk.alg, msgspec.json.decode(raw))


def _bits(number: str | None) -> int:
    try:
        return int.from_bytes(base64.urlsafe_b64decode((number or "") + "=="), "big").bit_length()
    except ValueError:
        return 0


def _fetch(url: str, authorities: str | None) -> bytes:
    return fetch_document(url, authorities=authorities)


@dataclass
class KeyCache:
    """Keys of issuers, in memory and in files of `folder` (None: only in memory). `progress` is told what is stale."""

    folder: Path | None
    clock: Clock = SYSTEM_CLOCK
    progress: Progress = SILENT
    fetch: Fetch = _fetch
    _known: dict[str, IssuerKeys] = field(default_factory=dict, repr=False)
    _asked: dict[str, float] = field(default_factory=dict, repr=False)

    def keys(self, issuer: Issuer, kid: str) -> IssuerKeys:
        """The keys of an issuer, fetched anew where they are old, or lack `kid`.

        Raises CredentialError when there are none that may be used.
        """
        kept = self._known.get(issuer.issuer) or self._read(issuer)
        if kept is not None and kept.find(kid) and self._age(kept) < parse_duration(issuer.refresh):
            self._known[issuer.issuer] = kept
            return kept
        try:
            found = self._fetched(issuer)
        except HoldfastError as error:
            return self._stale(issuer, kept, error)
        if found is None:  # it was asked a moment ago
            return self._stale(issuer, kept, None)
        self._known[issuer.issuer] = found
        return found

    def _age(self, kept: IssuerKeys) -> float:
        """Seconds. Of a time that has not come yet nobody knows how old it is."""
        age = (self.clock.now_ns() - kept.fetched_ns) // NANOSECONDS
        return float(age) if 0 <= age <= _AGE_MAX else float("inf")

    def _fetched(self, issuer: Issuer) -> IssuerKeys | None:
        last = self._asked.get(issuer.issuer)
        if last is not None and self.clock.monotonic() - last < RETRY_SECONDS:
            return None
        self._asked[issuer.issuer] = self.clock.monotonic()
        url = issuer.keys or self._discovered(issuer)
        data = self.fetch(url, issuer.authorities)
        found = IssuerKeys(parse_key_set(data, issuer.issuer), self.clock.now_ns())
        self._write(issuer, found, data)
        return found

    def _discovered(self, issuer: Issuer) -> str:
        url = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            document = msgspec.json.decode(self.fetch(url, issuer.authorities), type=_Discovery)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise CredentialError(f"the discovery document of {issuer.issuer} cannot be read") from error
        if document.issuer != issuer.issuer:
            raise CredentialError(f"{url} is of another issuer, {document.issuer[:200]!r}")
        return document.jwks_uri

    def _stale(self, issuer: Issuer, kept: IssuerKeys | None, error: HoldfastError | None) -> IssuerKeys:
        """What is kept goes on counting for a while, and not silently."""
        why = error.message if error is not None else "it was asked a moment ago"
        if kept is None:
            raise CredentialError(
                f"the keys of the identity provider {issuer.issuer} are not known: {why}",
                hint="use an API key, a certificate or a key file of the vault; or break-glass",
            ) from error
        if self._age(kept) < parse_duration(issuer.refresh):
            return kept
        allowed = parse_duration(issuer.stale)
        if self._age(kept) > allowed:
            raise CredentialError(
                f"the keys of {issuer.issuer} are older than the {format_duration(allowed)} that are allowed: {why}",
                hint="`stale` in authority.yaml says how old they may be; an API key or a key file works meanwhile",
            ) from error
        self._known[issuer.issuer] = kept._replace(stale=True)
        self.progress.note(
            f"tokens of {issuer.issuer} are judged by its keys of {to_rfc3339(kept.fetched_ns)}, "
            f"which should be newer: {why}"
        )
        return self._known[issuer.issuer]

    def _file(self, issuer: Issuer) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{hashlib.sha256(issuer.issuer.encode()).hexdigest()[:32]}.keys"

    def _read(self, issuer: Issuer) -> IssuerKeys | None:
        """What is kept on disk; nothing where that cannot be read, may be written by others, or is another issuer's."""
        path = self._file(issuer)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                check_owner(path, os.fstat(file.fileno()))
                kept = msgspec.json.decode(file.read(), type=_Kept)
            if kept.issuer != issuer.issuer:
                return None
            return IssuerKeys(parse_key_set(kept.key_set, issuer.issuer), kept.fetched_ns)
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError, CredentialError):
            return None

    def _write(self, issuer: Issuer, found: IssuerKeys, data: bytes) -> None:
        path = self._file(issuer)
        if path is None:
            return
        record = msgspec.json.encode(_Kept(issuer.issuer, found.fetched_ns, data))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, record, mode=0o600, synced=False)
        except OSError as error:
            self.progress.note(f"the keys of {issuer.issuer} cannot be kept in {path} ({error.strerror})")
