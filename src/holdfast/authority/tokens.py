"""Bearer tokens of identity providers: JWTs (RFC 7519), checked as RFC 8725 recommends.

What a token says counts only after its signature was verified with a key that its issuer publishes, by an algorithm
that the settings allow for that issuer.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm

from holdfast.authority.issuer_keys import IssuerKey, KeyCache
from holdfast.authority.principals import Principal
from holdfast.authority.settings import Issuer, Settings
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import CredentialError
from holdfast.units import format_duration, parse_duration

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

__all__ = ["principal_of_token", "TOKEN_BYTES_MAX"]

TOKEN_BYTES_MAX: Final = 16 << 10
_GROUPS_MAX: Final = 500
_NAME_MAX: Final = 255
_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_ISSUED_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")  # RFC 9068 for the latter two
_FORBIDDEN: Final = ("jwk", "jku", "x5u", "crit", "b64", "enc", "zip")


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str | None = None


class _Issued(msgspec.Struct, frozen=True):
    iss: str


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    aud: str | list[str]
    exp: int | float
    iat: int | float | None = None
    nbf: int | float | None = None
    name: str | None = None
    email: str | None = None
    email_verified: bool | str = False  # some providers write "true"


class _Parts(NamedTuple):
    header: _Header
    payload: bytes


def principal_of_token(token: bytes, settings: Settings, keys: KeyCache, now_ns: int) -> Principal:
    """Whoever the token was issued to. Raises CredentialError with the reason; it never quotes the token."""
    parts = _parts(token)
    issuer = _issuer(parts.payload, settings)
    header = parts.header
    if header.alg not in issuer.algorithms:
        signed = "is not signed at all" if header.alg.lower() == "none" else f"is signed by {header.alg[:20]!r}"
        raise CredentialError(
            f"the token {signed}, which is not allowed for {issuer.issuer}",
            hint=f"allowed: {', '.join(issuer.algorithms)}",
        )
    if not header.kid:
        raise CredentialError("the token does not say by which key (`kid`) it is signed")
    known = keys.keys(issuer, header.kid)
    found = [key for key in known.find(header.kid) if _fits(key, header.alg)]
    if not known.find(header.kid):
        raise CredentialError(
            f"the token is signed by a key that {issuer.issuer} does not publish ({header.kid[:80]!r})",
            hint="get a new token; the provider may have changed its keys",
        )
    if not found:
        raise CredentialError(f"the key {header.kid[:80]!r} of {issuer.issuer} is not one for {header.alg}")
    payload = _verified(token, found, header.alg)
    claims, said = _claims(payload)
    _check_claims(claims, issuer, now_ns)
    notes = (("keys", f"of {to_rfc3339(known.fetched_ns)}, as the provider does not answer"),) if known.stale else ()
    return _principal(claims, said, issuer, header, settings, notes)


def _parts(token: bytes) -> _Parts:
    if len(token) > TOKEN_BYTES_MAX:
        raise CredentialError(f"the token has more than {TOKEN_BYTES_MAX >> 10} KiB, which none has")
    segments = token.split(b".")
    if len(segments) != 3:
        raise CredentialError(
            "this is no token: a JWT has three parts", hint="an API key goes to HOLDFAST_API_KEY_FILE"
        )
    try:
        header = base64_decoded(segments[0])
        raw = msgspec.json.decode(header)
        parsed = msgspec.json.decode(header, type=_Header)
        payload = base64_decoded(segments[1])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CredentialError("the token is malformed") from error
    strange = [name for name in _FORBIDDEN if name in raw]
    if strange:
        raise CredentialError(f"the token's header has a {strange[0]!r}, which is not accepted")
    if parsed.typ is not None and parsed.typ.lower() not in _ISSUED_TYPES:
        raise CredentialError(f"the token is one for something else ({parsed.typ[:40]!r})")
    return _Parts(parsed, payload)


def base64_decoded(segment: bytes) -> bytes:
    """Base64url without padding, strictly: RFC 7515, appendix C. Raises ValueError."""
    try:
        data = base64.b64decode(segment + b"=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64url") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment:
        raise ValueError("no canonical base64url")
    return data


def _issuer(payload: bytes, settings: Settings) -> Issuer:
    """Whose settings to check it by; that it is theirs is checked afterwards."""
    try:
        claimed = msgspec.json.decode(payload, type=_Issued).iss
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CredentialError("the token does not say who issued it") from error
    for issuer in settings.issuers:
        if issuer.issuer == claimed:
            return issuer
    raise CredentialError(
        f"the token is of an issuer that is not accepted here ({claimed[:200]!r})",
        hint="authority.yaml lists the issuers",
    )


def _fits(key: IssuerKey, algorithm: str) -> bool:
    """A key is for one family of algorithms: else a public key could be made to serve as something else."""
    return key.kind == _KEY_TYPES.get(algorithm[:2]) and key.algorithm in (None, algorithm)


def _verified(token: bytes, keys: list[IssuerKey], algorithm: str) -> bytes:
    """The payload, once one of the keys has verified the signature."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry
    from joserfc.jws import deserialize_compact

    registry = _registry(algorithm)
    for key in keys:
        try:
            public = JWKRegistry.import_key(key.jwk)
            return deserialize_compact(token, public, [algorithm], registry).payload or b""
        # A key set of a stranger: joserfc passes on what cryptography raises for points off the curve and the like.
        except (JoseError, ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm, RecursionError):
            continue
    raise CredentialError("the token's signature is not its issuer's")


def _registry(algorithm: str) -> JWSRegistry:
    """One algorithm, our own limits of size, and no warnings about names of algorithms that the settings allow."""
    from joserfc.errors import UnsupportedAlgorithmError
    from joserfc.jws import JWSRegistry

    class Registry(JWSRegistry):
        max_header_length = max_payload_length = max_signature_length = TOKEN_BYTES_MAX

        def get_alg(self, name: str) -> Any:
            if name != algorithm:
                raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
            return self.algorithms[name]

    return Registry(algorithms=[algorithm], strict_check_header=False)


def _claims(payload: bytes) -> tuple[_Claims, dict[str, Any]]:
    try:
        claims, said = msgspec.json.decode(payload, type=_Claims), msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        sentence = str(error) if isinstance(error, msgspec.ValidationError) else "unreadable"
        raise CredentialError(f"the token's claims are malformed ({sentence})") from error
    if not 0 < len(claims.sub) <= _NAME_MAX or not claims.sub.isprintable():
        raise CredentialError("the token does not say whom it is for (`sub`)")
    return claims, said


def _check_claims(claims: _Claims, issuer: Issuer, now_ns: int) -> None:
    if claims.iss != issuer.issuer:
        raise CredentialError("the token is of another issuer than it began with")
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if issuer.audience not in audiences:
        raise CredentialError(
            f"the token is for {_listed(audiences)}, not for {issuer.audience!r}",
            hint="ask the identity provider for a token with that audience",
        )
    now, skew = now_ns / NANOSECONDS, parse_duration(issuer.skew)
    moments = [value for value in (claims.exp, claims.iat, claims.nbf) if value is not None]
    if not all(0 <= value < 1e11 for value in moments):
        raise CredentialError("the token's times are impossible")
    within = f"; clocks may differ by {format_duration(skew)}"
    if now >= claims.exp + skew:
        raise CredentialError(f"the token has expired {_apart(now - claims.exp)} ago{within}", hint="get a new one")
    if claims.nbf is not None and now < claims.nbf - skew:
        raise CredentialError(
            f"the token is not valid yet, for {_apart(claims.nbf - now)} more{within}",
            hint="is this machine's clock right?",
        )
    if claims.iat is not None and now < claims.iat - skew:
        raise CredentialError(
            f"the token was issued {_apart(claims.iat - now)} from now{within}", hint="is this machine's clock right?"
        )
    longest = parse_duration(issuer.longest)
    begins = max((value for value in (claims.iat, claims.nbf) if value is not None), default=now)
    if claims.exp - begins > longest + skew:
        raise CredentialError(
            f"the token is valid for longer than the {format_duration(longest)} that are allowed",
            hint="`longest` in authority.yaml says how long it may be",
        )


def _apart(seconds: float) -> str:
    return format_duration(max(0.0, seconds))


def _listed(audiences: list[str]) -> str:
    shown = ", ".join(repr(one[:80]) for one in audiences[:3])
    return shown or "nobody"


def _principal(
    claims: _Claims,
    said: dict[str, Any],
    issuer: Issuer,
    header: _Header,
    settings: Settings,
    notes: tuple[tuple[str, str], ...],
) -> Principal:
    groups = frozenset(_groups(said, issuer.groups_claim))
    person = f"user:{issuer.issuer}#{claims.sub}"
    # Where the provider did not verify an address, people may have written any into their profile.
    email = claims.email if claims.email_verified in (True, "true") else None
    name = email or claims.name or claims.sub
    if not name.isprintable() or len(name) > _NAME_MAX:
        name = claims.sub
    attributes = [("issuer", issuer.issuer), *notes]
    if email is not None and email.isprintable():
        attributes.append(("email", email[:_NAME_MAX]))
    return Principal(
        kind="User",
        id=f"{issuer.issuer}#{claims.sub}",
        name=name,
        person=person,
        how=f"a token of {issuer.issuer}, signed by {header.alg} with its key {str(header.kid)[:80]!r}",
        grants=settings.grants_for(frozenset({person, *(f"group:{group}" for group in groups)})),
        groups=groups,
        attributes=tuple(attributes),
        since_ns=round(claims.iat * NANOSECONDS) if claims.iat is not None else 0,
        until_ns=round((claims.exp + parse_duration(issuer.skew)) * NANOSECONDS),
    )


def _groups(said: dict[str, Any], claim: str | None) -> list[str]:
    """A list of text, or one text. What is no text is no group."""
    value = said.get(claim) if claim is not None else None
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if len(listed) > _GROUPS_MAX:
        raise CredentialError(f"the token lists more than {_GROUPS_MAX} groups")
    return [one for one in listed if isinstance(one, str) and 0 < len(one) <= _NAME_MAX and one.isprintable()]
