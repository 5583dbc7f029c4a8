"""`authority.yaml`: whose word is taken about identities, who has which role, who may break the glass."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from holdfast.authority.principals import BREAK_GLASS_ROLE, MEMBER_ROLES, Grant
from holdfast.clock import from_rfc3339
from holdfast.errors import UsageError
from holdfast.units import parse_duration

__all__ = ["Issuer", "Certificates", "GrantRule", "BreakGlass", "Settings", "ALGORITHMS", "parse_settings"]

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
)  # fmt: skip
"""All that can be allowed: signatures with a key pair. `none` and secrets that two share (HS256, …) never."""
SKEW_SECONDS_MAX: Final = 300.0
_ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Text = Annotated[str, Meta(min_length=1, max_length=400)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of the file has in common: nothing that is not known."""


class Issuer(_Part, frozen=True, kw_only=True):
    """An identity provider (OpenID Connect). `keys`: where its keys are; by default its discovery document says it.

    `refresh`: how old the kept keys grow before they are fetched again; `stale`: how old they may be while the provider
    does not answer. `skew`: how far clocks may differ. `longest`: for how long a token may be valid at most.
    `authorities`: a file of CA certificates for reaching it, instead of the system's.
    """

    issuer: Text
    audience: Text
    algorithms: list[str] = msgspec.field(default_factory=lambda: ["RS256", "ES256"])
    keys: Text | None = None
    groups_claim: Text | None = "groups"
    refresh: Text = "1h"
    stale: Text = "24h"
    skew: Text = "60s"
    longest: Text = "24h"
    authorities: Text | None = None


class Certificates(_Part, frozen=True, kw_only=True):
    """Clients that prove themselves by a certificate. `authorities`: a file of the CA certificates that count, PEM.

    `revoked`: serial numbers, in hex.
    """

    authorities: Text
    revoked: list[Text] = []
    skew: Text = "60s"


class GrantRule(_Part, frozen=True, kw_only=True):
    """Roles for whom `to` names: `user:<issuer>#<subject>`, `group:<name>`, `machine:<name in the certificate>`,
    `member:<vault id>/<label>`, `api-key:<id>`. `since`, `until`: RFC 3339.
    """

    to: Text
    roles: list[Text]
    since: Text | None = None
    until: Text | None = None


class BreakGlass(_Part, frozen=True, kw_only=True):
    """Who may begin a break-glass session (written as in `grants`), and for how long at most."""

    who: list[Text] = []
    longest: Text = "4h"


class Settings(_Part, frozen=True, kw_only=True):
    """The whole file."""

    version: int = 1
    issuers: list[Issuer] = []
    certificates: Certificates | None = None
    grants: list[GrantRule] = []
    break_glass: BreakGlass = BreakGlass()

    def grants_for(self, names: frozenset[str]) -> tuple[Grant, ...]:
        """The grants for somebody who goes by these names (`user:…`, `group:…`, …)."""
        found = [
            Grant(role, _moment(rule.since), _moment(rule.until))
            for rule in self.grants
            if rule.to in names
            for role in rule.roles
        ]
        if names & set(self.break_glass.who):
            found.append(Grant(BREAK_GLASS_ROLE))
        return tuple(found)


def parse_settings(data: bytes, name: str = "authority.yaml") -> Settings:
    """Raises UsageError naming file and line, or what is the matter."""
    from holdfast.strict_yaml import parse_strictly  # most installations have no such file

    settings = parse_strictly(data, Settings, name, "see docs/authority.md for an example")
    problem = _problem(settings)
    if problem:
        raise UsageError(f"{name}: {problem}", hint="see docs/authority.md")
    return settings


def _problem(settings: Settings) -> str:
    if settings.version != 1:
        return f"version {settings.version} is not known: only 1 is"
    issuers = [one.issuer for one in settings.issuers]
    if len(set(issuers)) != len(issuers):
        return "an issuer stands there twice"
    problems = [_issuer_problem(one) for one in settings.issuers]
    problems += [_grant_problem(one) for one in settings.grants]
    if settings.certificates is not None:
        problems.append(_skew_problem(settings.certificates.skew))
        problems += [_serial_problem(one) for one in settings.certificates.revoked]
    problems.append(_span_problem(settings.break_glass.longest, 60.0, 7 * 86_400.0))
    problems += [_name_problem(one) for one in settings.break_glass.who]
    return next((problem for problem in problems if problem), "")


def _issuer_problem(issuer: Issuer) -> str:
    for url in (issuer.issuer, issuer.keys):
        if url is not None and not url.startswith(("https://", "http://")):
            return f"{url!r} is no URL of an identity provider"
    if not issuer.issuer.isprintable() or set(issuer.issuer) & set("#?"):
        return f"{issuer.issuer!a} is no issuer: it has neither a query nor a fragment"
    forbidden = sorted(set(issuer.algorithms) - set(ALGORITHMS))
    if forbidden or not issuer.algorithms:
        which = f"{forbidden[0]!r} cannot be allowed" if forbidden else "no algorithm is allowed"
        return f"{which} for tokens of {issuer.issuer}: choose among {', '.join(ALGORITHMS)}"
    return (
        _skew_problem(issuer.skew)
        or _span_problem(issuer.refresh, 10.0, 7 * 86_400.0)
        or _span_problem(issuer.stale, 0.0, 30 * 86_400.0)
        or _span_problem(issuer.longest, 1.0, 30 * 86_400.0)
    )


def _skew_problem(text: str) -> str:
    return _span_problem(text, 0.0, SKEW_SECONDS_MAX)


def _span_problem(text: str, least: float, most: float) -> str:
    try:
        seconds = parse_duration(text)
    except UsageError as error:
        return error.message
    return "" if least <= seconds <= most else f"{text!r} is not between {least:.0f} s and {most:.0f} s"


def _serial_problem(text: str) -> str:
    return "" if re.fullmatch(r"[0-9a-fA-F]{1,40}", text) else f"{text!r} is no serial number in hex"


_MEMBER: Final = re.compile(r"member:[0-9a-f]{32}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS: Final = ("user:", "group:", "machine:", "member:", "api-key:")


def _name_problem(name: str) -> str:
    if name.startswith("member:") and not _MEMBER.fullmatch(name):
        return f"{name!r} names no member: write member:VAULT-ID/LABEL"
    return "" if name.startswith(_KINDS) else f"{name!r} begins with none of {', '.join(_KINDS)}"


def _grant_problem(rule: GrantRule) -> str:
    for role in rule.roles:
        if not _ROLE.fullmatch(role):
            return f"{role!r} is no name of a role"
        if role == BREAK_GLASS_ROLE or role in MEMBER_ROLES:
            return f"the role {role!r} is not granted: `break_glass` lists who may, and a vault its members"
    for moment in (rule.since, rule.until):
        try:
            _moment(moment)
        except ValueError:
            return f"{moment!r} is no time, for example 2026-12-01T08:00Z"
    return _name_problem(rule.to)


def _moment(text: str | None) -> int | None:
    return None if text is None else from_rfc3339(text)
