"""`authority.yaml`: what is not understood is an error that names its line."""

from __future__ import annotations

import pytest

from holdfast.authority.settings import parse_settings
from holdfast.clock import from_rfc3339
from holdfast.errors import UsageError

SOUND = b"""
version: 1
issuers:
  - issuer: https://idp.example
    audience: holdfast
    groups_claim: null
grants:
  - {to: "group:ml", roles: [trainer, auditor], since: 2026-01-01, until: 2026-02-01T00:00Z}
  - {to: "user:https://idp.example#7", roles: [owner]}
break_glass: {who: ["user:https://idp.example#7"], longest: 2h}
"""


def test_what_is_said_is_taken() -> None:
    settings = parse_settings(SOUND)
    assert (settings.issuers[0].algorithms, settings.issuers[0].groups_claim) == (["RS256", "ES256"], None)
    grants = settings.grants_for(frozenset({"group:ml"}))
    assert [one.role for one in grants] == ["trainer", "auditor"]
    begin, end = from_rfc3339("2026-01-01"), from_rfc3339("2026-02-01")
    assert [grants[0].is_active(at) for at in (begin - 1, begin, end - 1, end)] == [False, True, True, False]
    both = settings.grants_for(frozenset({"user:https://idp.example#7"}))
    assert [one.role for one in both] == ["owner", "break-glass"]
    assert settings.grants_for(frozenset({"group:other"})) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty"),
        (b"version: 2", "version 2 is not known"),
        (
            b"version: 1\nissuers:\n - issuer: https://x\n   audiense: y",
            "line 4: issuers[0]: nothing is called `audiense`",
        ),
        (b"issuers:\n - issuer: https://x", "line 2: issuers[0]: this lacks `audience`"),
        (b"issuers:\n - issuer: https://x\n   audience: 7", "line 3: issuers[0].audience: expected `str`, got `int`"),
        (b"issuers: [{issuer: ftp://x, audience: a}]", "no URL of an identity provider"),
        (b"issuers: [{issuer: 'https://x#y', audience: a}]", "neither a query nor a fragment"),
        (b"issuers: [{issuer: https://x, audience: a, algorithms: [none]}]", "'none' cannot be allowed"),
        (b"issuers: [{issuer: https://x, audience: a, algorithms: [HS256]}]", "'HS256' cannot be allowed"),
        (b"issuers: [{issuer: https://x, audience: a, algorithms: []}]", "no algorithm is allowed"),
        (b"issuers: [{issuer: https://x, audience: a, skew: 6m}]", "'6m' is not between 0 s and 300 s"),
        (b"issuers: [{issuer: https://x, audience: a, stale: 90d}]", "'90d' is not between"),
        (b"issuers: [{issuer: https://x, audience: a}, {issuer: https://x, audience: b}]", "stands there twice"),
        (b"version: 1\nversion: 1", "line 2: `version` stands here twice"),
        (b"grants: [{to: 'somebody', roles: [trainer]}]", "begins with none of"),
        (b"grants: [{to: 'group:x', roles: [break-glass]}]", "is not granted"),
        (b"grants: [{to: 'group:x', roles: [member-keeper]}]", "is not granted"),
        (b"grants: [{to: 'group:x', roles: ['a b']}]", "is no name of a role"),
        (b"grants: [{to: 'group:x', roles: [trainer], until: tomorrow}]", "'tomorrow' is no time"),
        (b"certificates: {authorities: x, revoked: [xyz]}", "no serial number"),
        (b"break_glass: {who: [ann]}", "begins with none of"),
        (b"break_glass: {who: ['member:keeper']}", "names no member: write member:VAULT-ID/LABEL"),
        (b"break_glass: {longest: 30d}", "is not between"),
        (b"a: &x 1", "anchors and aliases"),
        (b"a: !!python/object/apply:os.system [ls]", "tags are not understood"),
        (b"a: [" + b"[" * 50, "line 1"),
        (b"a: {", "line 1: no YAML"),
        (b"? [a]\n: b", "a name was expected"),
        (b"\n\n\xff", "line 3: this is not UTF-8"),
        (b"#" * (300 << 10), "more than 256 KiB"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings(text)
    assert said in caught.value.message, caught.value.message
    assert caught.value.message.startswith("authority.yaml")
