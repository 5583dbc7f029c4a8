"""What people and identity providers hand over: tokens, key sets, API keys, certificates, policies, settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache

import cedarpy  # noqa: F401 - a library of 16 MiB, loaded before memory is counted
import joserfc.jwk as _jwk
import joserfc.jws as _jws
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fuzz.model import Broken, Target
from holdfast.authority.api_keys import ApiKey, Register, new_api_key, parse_api_key, principal_of_api_key
from holdfast.authority.break_glass import banner, decode_session, elevated_by
from holdfast.authority.certificates import parse_certificate, principal_of_certificate
from holdfast.authority.deciding import Circumstances, decide
from holdfast.authority.issuer_keys import KeyCache, parse_key_set
from holdfast.authority.policies import default_policies, load_policies, problems_in
from holdfast.authority.register import decode_register
from holdfast.authority.settings import Certificates, Issuer, Settings, parse_settings
from holdfast.authority.table import COLUMNS, typical_principal, typical_resource
from holdfast.authority.tokens import principal_of_token
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import CredentialError

__all__ = ["TARGETS"]

_NOW = 1_800_000_000
_NOW_NS = _NOW * NANOSECONDS
_ISSUER = "https://idp.example"
_SETTINGS = Settings(
    issuers=[Issuer(issuer=_ISSUER, audience="holdfast", algorithms=["ES256", "RS256"])],
    certificates=Certificates(authorities="unused"),
)
_LIBRARIES = 128 << 20
_WHY_LIBRARIES = "libraries that are loaded by the first token"


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    """The same in every run: what campaigns keep stays good."""
    return ec.derive_private_key(0x1234567, ec.SECP256R1())


@cache
def _signer() -> _jwk.ECKey:
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _jwk.ECKey.import_key(pem)


@cache
def _key_set() -> bytes:
    public = dict(_signer().as_dict(private=False)) | {"kid": "k", "use": "sig", "alg": "ES256"}
    return json.dumps({"keys": [public]}).encode()


def _cache_of(data: bytes) -> KeyCache:
    def fetch(url: str, authorities: str | None) -> bytes:
        if "well-known" in url:
            return json.dumps({"issuer": _ISSUER, "jwks_uri": f"{_ISSUER}/keys"}).encode()
        return data

    return KeyCache(None, ManualClock(_NOW_NS), fetch=fetch)


def _signed(payload: bytes) -> bytes:
    head = {"alg": "ES256", "kid": "k", "typ": "JWT"}
    return _jws.serialize_compact(head, payload, _signer(), ["ES256"]).encode()


def _claims(**changes: object) -> bytes:
    claims = {"iss": _ISSUER, "sub": "ann", "aud": "holdfast", "iat": _NOW, "exp": _NOW + 600, "groups": ["a"]}
    return json.dumps(claims | changes).encode()


def _token(data: bytes) -> None:
    principal = principal_of_token(data, _SETTINGS, _cache_of(_key_set()), _NOW_NS)
    if principal.id != f"{_ISSUER}#ann":  # the seeds are the only ones that anybody signed
        raise Broken(f"a token that nobody signed is {principal.id!r}'s")


def _token_claims(data: bytes) -> None:
    """Behind the signature: an issuer that says anything."""
    if len(data) > 8_000:
        return
    principal = principal_of_token(_signed(data), _SETTINGS, _cache_of(_key_set()), _NOW_NS)
    said = json.loads(data)
    audiences = [said["aud"]] if isinstance(said["aud"], str) else said["aud"]
    if said["iss"] != _ISSUER or "holdfast" not in audiences or said["exp"] + 60 <= _NOW:
        raise Broken("a token of somebody else's, or of another time, was taken")
    decide(default_policies(), principal, "restore", typical_resource("Asset"), Circumstances(_NOW_NS))


def _rsa_key_set() -> bytes:
    """A key of 2,048 bits, and one that is too short. Nothing here has signed with them."""
    keys = [{"kty": "RSA", "kid": name, "e": "AQAB", "n": "u" * length} for name, length in (("k", 342), ("s", 100))]
    return json.dumps({"keys": keys}).encode()


def _published(data: bytes) -> None:
    keys = parse_key_set(data, "x")
    if any(key.kind not in ("RSA", "EC", "OKP") for key in keys):
        raise Broken("a key that two share was taken")
    principal_of_token(_signed(_claims()), _SETTINGS, _cache_of(data), _NOW_NS)


def _api_key(data: bytes) -> None:
    key = parse_api_key(data)
    if key.text.encode() != data.strip():
        raise Broken("an API key does not give its own text")
    try:
        principal_of_api_key(key, _register(), Settings(), _NOW_NS)
    except CredentialError:
        return
    raise Broken("a key that was never given out was taken")


@cache
def _register() -> Register:
    return new_api_key(
        Register(salt=bytes(32)), "ci", roles=["trainer"], scopes=None, person="", now_ns=_NOW_NS, expires_ns=None
    )[0]


def _registered(data: bytes) -> None:
    register = decode_register(data, "x")
    for record in register.keys:
        if register.find(record.id) != record:
            raise Broken("a key is not found by its id")


def _register_seeds() -> list[bytes]:
    import msgspec

    return [
        msgspec.json.encode(Register(salt=bytes(32), keys=[msgspec.structs.replace(_register().keys[0], id="0" * 16)]))
    ]


def _policies(data: bytes) -> None:
    problems = problems_in({"x.cedar": data})
    policies = load_policies({"x.cedar": data})
    if problems or len(policies.rules) - len(policies.own) != len(default_policies().rules):
        raise Broken("policies with problems were taken")
    for column in COLUMNS:
        for action, kind in (("restore", "Snapshot"), ("approve", "Plan"), ("policy.change", "Plane")):
            who, what = typical_principal(column), typical_resource(kind)
            decision = decide(policies, who, action, what, Circumstances(_NOW_NS))
            forbidden = {rule.id for rule in policies.own if rule.effect == "forbid"} & set(decision.policies)
            if decision.allowed and forbidden:
                raise Broken("what is forbidden was allowed")


def _settings(data: bytes) -> None:
    settings = parse_settings(data)
    for issuer in settings.issuers:
        if not issuer.algorithms or any(name.startswith(("HS", "none")) for name in issuer.algorithms):
            raise Broken("an algorithm that is none was allowed")
    settings.grants_for(frozenset(rule.to for rule in settings.grants))


_NAME = "spiffe://example.org/a"


@cache
def _authority() -> x509.Certificate:
    return _certificate("root", _key(), ca=True)


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    begin, end = (datetime.fromtimestamp(_NOW + shift, UTC) for shift in (-86_400, 86_400))
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(5).not_valid_before(begin).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(_key().public_key()), False)
    if ca:
        builder = builder.add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), True
        )
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_NAME)]), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    return builder.sign(_key(), hashes.SHA256(), ecdsa_deterministic=True)


def _client(data: bytes) -> None:
    parse_certificate(data)
    found = principal_of_certificate([data], _SETTINGS, [_authority()], _NOW_NS)
    if found.id != _NAME:  # the authority signed one
        raise Broken(f"a certificate that nobody signed is {found.id!r}'s")


def _client_seeds() -> list[bytes]:
    leaf = _certificate("a", ec.derive_private_key(99, ec.SECP256R1()), ca=False)
    return [one.public_bytes(serialization.Encoding.DER) for one in (leaf, _authority())]


def _session(data: bytes) -> None:
    session = decode_session(data, "x")
    who = typical_principal("trainer")
    elevated = elevated_by(who, session, _NOW_NS)
    banner(elevated)
    if elevated is not who and session.principal != f"{who.kind}:{who.id}":
        raise Broken("somebody else's session elevates")


_SESSION = (
    b'{"id":"x","principal":"User:some trainer","person":"p","reason":"an incident, 12",'
    b'"since":0,"until":9999999999999999999}'
)
_HOSTILE = (b"null", b"[" * 500, b'"\\ud800"', b"1e400", b"9" * 400, b"true", b'""')
_CEDAR = (
    b'Role::"owner"', b"principal", b"action", b"resource", b"context", b"permit", b"forbid", b"when {", b"unless {",
    b"datetime(", b"ip(", b'Action::"save"', b"?principal", b"(((((((((", b"!!!!", b"if true then ", b"@id(",
    b"@reason(", b" has ", b" like ", b" is ", b" in ", b".contains(", b"//", b"\\u{10ffff}", b'"*"',
)  # fmt: skip

TARGETS = [
    Target(
        "token",
        "`principal_of_token`: header, issuer, algorithm, key, signature",
        _token,
        lambda: [_signed(_claims()), _signed(_claims(aud=["a", "holdfast"]))],
        (b"eyJhbGciOiJub25lIn0", b"eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ", b".", b"=", b"..", b"e30"),
        memory=_LIBRARIES,
        why_memory=_WHY_LIBRARIES,
    ),
    Target(
        "token-claims",
        "`principal_of_token` behind a sound signature, `decide`",
        _token_claims,
        lambda: [_claims(), _claims(nbf=_NOW, aud=["x", "holdfast"], email="a@b", name="A", groups="g")],
        (*_HOSTILE, b'"exp"', b'"aud"', b'"iss"', b'"nbf"', b"-1", b"1800000000", b'"groups"'),
        memory=_LIBRARIES,
        why_memory=_WHY_LIBRARIES,
    ),
    Target(
        "key-set",
        "`parse_key_set`, `KeyCache.keys`, `import_key`",
        _published,
        lambda: [_key_set(), _rsa_key_set()],
        (*_HOSTILE, b'"kty"', b'"oct"', b'"RSA"', b'"EC"', b'"OKP"', b'"P-256"', b'"d"', b'"use"', b'"key_ops"'),
        memory=_LIBRARIES,
        why_memory=_WHY_LIBRARIES,
    ),
    Target(
        "api-key",
        "`parse_api_key`, `principal_of_api_key`",
        _api_key,
        lambda: [ApiKey("0" * 16, "0" * 52).text.encode()],
    ),
    Target("api-key-register", "`decode_register`", _registered, _register_seeds, _HOSTILE),
    Target(
        "policies",
        "`statements_of`, `problems_in`, `load_policies`, `decide`",
        _policies,
        lambda: [
            b'@id("a") @reason("b")\nforbid (principal in Role::"trainer", action == Action::"save", resource)\n'
            b'when { resource has class && resource.class == "x" };\n// more\n'
            b'permit (principal is User, action in [Action::"reading"], resource) unless { principal has until };',
            b'permit (principal, action, resource) when { context.now < datetime("2026-12-24T00:00:00Z") };',
        ],
        _CEDAR,
        max_bytes=4000,
    ),
    Target(
        "authority-settings",
        "`parse_strictly`, `parse_settings`, `grants_for`",
        _settings,
        lambda: [
            b"version: 1\nissuers:\n  - {issuer: https://a, audience: b, algorithms: [ES256]}\ngrants:\n"
            b"  - {to: 'group:x', roles: [trainer], until: 2026-12-24T18:00Z}\n"
            b"break_glass: {who: ['user:a'], longest: 4h}\n",
            b"version: 1\ncertificates: {authorities: ca.pem, revoked: ['05', aF], skew: 60s}\n"
            b"issuers:\n  - {issuer: https://a, audience: b, keys: https://a/k, refresh: 1h, stale: 2d, longest: 9h}\n",
        ],
        (
            b"&a",
            b"*a",
            b"!!python/object",
            b"<<:",
            b"? ",
            b"|\n",
            b"{",
            b"[" * 40,
            b"null",
            b"1e9",
            b"'",
            b"---",
            b"HS256",
            b"revoked: [",
            b"\\n",
        ),
        max_bytes=4000,
    ),
    Target(
        "certificate",
        "`parse_certificate`, `principal_of_certificate`",
        _client,
        _client_seeds,
        (b"\x30\x80", b"\xff\xff"),
    ),
    Target("break-glass", "`decode_session`, `elevated_by`, `banner`", _session, lambda: [_SESSION], _HOSTILE),
]
