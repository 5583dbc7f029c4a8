"""Bearer tokens against a real identity provider on the loopback interface: what is sound, and all that is not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.authority.issuer_keys import RETRY_SECONDS, KeyCache, parse_key_set
from holdfast.authority.settings import Issuer, Settings, parse_settings
from holdfast.authority.tokens import principal_of_token
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import CredentialError
from holdfast.testing.identity_provider import IdentityProvider


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str, total_bytes: int | None) -> None: ...
    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None: ...
    def note(self, message: str) -> None:
        self.notes.append(message)


class World:
    """A provider, the settings that accept it, and a cache of its keys on disk."""

    def __init__(self, provider: IdentityProvider, folder: Path, clock: ManualClock) -> None:
        self.provider, self.folder, self.clock, self.notes = provider, folder, clock, Notes()
        self.settings = self.accepting()
        self.cache = self.fresh_cache()

    def accepting(self, **changes: object) -> Settings:
        issuer = {"issuer": self.provider.issuer, "audience": "holdfast", "algorithms": ["ES256", "RS256"]} | changes
        grants = [{"to": "group:ml", "roles": ["trainer"]}]
        text = json.dumps({"version": 1, "issuers": [issuer], "grants": grants})
        return parse_settings(text.encode())

    def fresh_cache(self) -> KeyCache:
        """As another process has it."""
        return KeyCache(self.folder, self.clock, self.notes)

    def principal(self, token: bytes):
        return principal_of_token(token, self.settings, self.cache, self.clock.now_ns())

    def refusal(self, token: bytes) -> str:
        with pytest.raises(CredentialError) as caught:
            self.principal(token)
        assert caught.value.exit_code == 7
        assert token.decode(errors="replace")[-20:] not in caught.value.message + caught.value.hint
        return caught.value.message


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def world(tmp_path: Path, clock: ManualClock) -> Iterator[World]:
    with IdentityProvider(clock) as provider:
        yield World(provider, tmp_path / "keys", clock)


def test_a_sound_token_says_who_it_is(world: World) -> None:
    found = world.principal(
        world.provider.token("alice", groups=["ml", "all"], email="alice@example.org", email_verified=True)
    )
    assert (found.kind, found.id, found.name) == ("User", f"{world.provider.issuer}#alice", "alice@example.org")
    assert found.person == f"user:{world.provider.issuer}#alice"
    assert found.groups == {"ml", "all"}
    assert found.roles(world.clock.now_ns()) == {"trainer"}
    assert found.until_ns == world.clock.now_ns() + (600 + 60) * NANOSECONDS
    assert "ES256" in found.how


@pytest.mark.parametrize("verified", [None, False, "false", "yes"])
def test_an_address_that_nobody_verified_names_nobody(world: World, verified: object) -> None:
    found = world.principal(world.provider.token("mallory", email="owner@example.org", email_verified=verified))
    assert found.name == "mallory" and "email" not in dict(found.attributes)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES384", "Ed25519"])
def test_each_algorithm_that_is_allowed(tmp_path: Path, clock: ManualClock, algorithm: str) -> None:
    with IdentityProvider(clock, algorithm=algorithm) as provider:
        world = World(provider, tmp_path, clock)
        assert algorithm in ("RS256",) or "not allowed" in world.refusal(provider.token())
        world.settings = world.accepting(algorithms=[algorithm])
        assert world.principal(provider.token()).name == "alice"


@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_a_token_that_is_not_signed(world: World, alg: str) -> None:
    assert "is not signed at all" in world.refusal(world.provider.forged_unsigned(alg=alg))


def test_the_public_key_is_no_secret_to_sign_with(world: World) -> None:
    assert "'HS256', which is not allowed" in world.refusal(world.provider.forged_with_public_key())
    with pytest.raises(Exception, match="'HS256' cannot be allowed"):
        world.accepting(algorithms=["HS256"])


def test_a_key_serves_only_its_own_algorithms(world: World) -> None:
    assert "is not one for RS256" in world.refusal(_with_header(world, {"alg": "RS256"}))


def _with_header(world: World, changes: dict) -> bytes:
    """A sound token whose header was changed afterwards."""
    head, body, signature = world.provider.token().split(b".")
    known = json.loads(base64.urlsafe_b64decode(head + b"=="))
    return b".".join([_segment(known | changes), body, signature])


def _segment(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def test_changed_claims_are_not_the_issuers(world: World) -> None:
    head, _, signature = world.provider.token("alice").split(b".")
    forged = b".".join([head, _segment(world.provider.claims("mallory")), signature])
    assert world.refusal(forged) == "the token's signature is not its issuer's"
    cut = world.provider.token()[:-8]
    assert "signature" in world.refusal(cut)


def test_expired_and_not_yet_valid(world: World) -> None:
    token = world.provider.token(lasts=60)
    world.clock.sleep(60 + 59)
    assert world.principal(token).name == "alice"  # clocks may differ by a minute
    world.clock.sleep(1)
    assert "has expired 1 min 00 s ago" in world.refusal(token)
    now = world.clock.now_ns() // NANOSECONDS
    assert world.principal(world.provider.token(nbf=now + 60, iat=now))
    assert "not valid yet, for 1 min 01 s more" in world.refusal(world.provider.token(nbf=now + 61))
    assert "issued 2 min 00 s from now" in world.refusal(world.provider.token(iat=now + 120, nbf=None))


def test_a_token_for_ever_is_refused(world: World) -> None:
    assert "longer than the 1 d 00 h" in world.refusal(world.provider.token(lasts=10 * 86_400))
    assert "longer than" in world.refusal(world.provider.token(lasts=10 * 86_400, iat=None, nbf=None))


@pytest.mark.parametrize("aud", ["other", ["other", "another"], []])
def test_wrong_audience(world: World, aud: object) -> None:
    assert "not for 'holdfast'" in world.refusal(world.provider.token(aud=aud))


def test_one_audience_of_several(world: World) -> None:
    assert world.principal(world.provider.token(aud=["other", "holdfast"]))


def test_wrong_issuer(world: World) -> None:
    assert "issuer that is not accepted" in world.refusal(world.provider.token(iss="https://evil.example"))
    assert "who issued it" in world.refusal(world.provider.token(iss=None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sub": ""}, "whom it is for"),
        ({"sub": None}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": 1e300}, "impossible"),
        ({"exp": 10**400}, "impossible"),
        ({"exp": -1}, "impossible"),
        ({"exp": True}, "malformed"),
        ({"groups": ["g"] * 501}, "more than 500 groups"),
        ({"sub": "a\nb"}, "whom it is for"),
    ],
)
def test_claims_that_cannot_be(world: World, changes: dict, said: str) -> None:
    assert said in world.refusal(world.provider.token(**changes))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "crit", "b64"])
def test_a_token_does_not_bring_its_own_key(world: World, name: str) -> None:
    assert f"has a {name!r}" in world.refusal(_with_header(world, {name: "https://evil.example"}))


@pytest.mark.parametrize(
    "token", [b"", b"a.b", b"a.b.c", b"...", b"\xff.\xff.\xff", b"e30.e30.e30", b"bnVsbA.e30.", b"x" * 20_000]
)
def test_what_is_no_token(world: World, token: bytes) -> None:
    with pytest.raises(CredentialError):
        world.principal(token)


def test_a_header_without_a_key_id_and_of_another_type(world: World) -> None:
    assert "by which key" in world.refusal(_with_header(world, {"kid": None}))
    assert "for something else" in world.refusal(_with_header(world, {"typ": "secevent+jwt"}))


def test_an_unknown_key_is_looked_for_once_in_a_while(world: World) -> None:
    world.principal(world.provider.token())
    asked = len(world.provider.requests)
    unknown = _with_header(world, {"kid": "made-up"})
    assert "does not publish ('made-up')" in world.refusal(unknown)
    assert len(world.provider.requests) == asked  # it was asked a moment ago
    world.clock.sleep(RETRY_SECONDS)
    for _ in range(20):
        world.refusal(unknown)
    assert len(world.provider.requests) == asked + 2  # discovery and keys, once


def test_keys_rotate(world: World) -> None:
    old = world.provider.token()
    world.principal(old)
    world.provider.rotate()
    world.clock.sleep(RETRY_SECONDS)
    assert world.principal(world.provider.token())
    assert world.principal(old)
    world.provider.rotate(keep_old=False)
    world.clock.sleep(RETRY_SECONDS)
    assert world.principal(world.provider.token(lasts=9000))
    world.clock.sleep(3600)
    assert "does not publish" in world.refusal(world.provider.token(header={"kid": "key-1"}))


def test_the_plane_goes_on_while_the_provider_is_down(world: World) -> None:
    world.principal(world.provider.token())
    world.provider.down = True
    world.cache = world.fresh_cache()
    world.clock.sleep(1800)
    assert world.principal(world.provider.token()).attributes == (("issuer", world.provider.issuer),)
    assert world.notes.notes == []  # not older than they should be
    world.clock.sleep(7200)
    found = world.principal(world.provider.token())
    assert dict(found.attributes)["keys"].startswith("of 2023-11-14T22:13:20")
    assert "which should be newer" in world.notes.notes[-1] and "503" in world.notes.notes[-1]
    world.provider.stop()  # nobody listens any more
    world.cache = world.fresh_cache()
    assert world.principal(world.provider.token())
    world.clock.sleep(24 * 3600)
    assert "older than the 1 d 00 h that are allowed" in world.refusal(world.provider.token())


def test_without_kept_keys_a_provider_that_is_down_is_no_way_in(world: World) -> None:
    world.provider.down = True
    assert "keys of the identity provider" in world.refusal(world.provider.token())


def test_keys_of_the_future_are_not_fresh(world: World) -> None:
    world.principal(world.provider.token())
    world.provider.down = True
    world.cache = world.fresh_cache()
    back = world.clock.now_ns() - 3600 * NANOSECONDS
    earlier = ManualClock(back)
    world.cache.clock = world.clock = world.provider.clock = earlier
    assert "older than" in world.refusal(world.provider.token())


@pytest.mark.parametrize("kept", [b"", b"{}", b"[" * 5000, b'{"issuer":"x","fetched_ns":1,"key_set":""}'])
def test_a_cache_that_is_damaged_is_fetched_anew(world: World, kept: bytes) -> None:
    world.principal(world.provider.token())
    [file] = world.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(kept)
    world.cache = world.fresh_cache()
    assert world.principal(world.provider.token())


def test_kept_keys_that_others_may_write_are_not_believed(world: World) -> None:
    world.principal(world.provider.token())
    [file] = world.folder.iterdir()
    world.provider.down = True
    world.cache = world.fresh_cache()
    assert world.principal(world.provider.token())
    file.chmod(0o602)
    world.cache = world.fresh_cache()
    assert "keys of the identity provider" in world.refusal(world.provider.token())


def test_discovery_of_another_issuer_is_not_believed(world: World) -> None:
    provider = world.provider
    honest = provider.answer
    provider.answer = lambda path: (  # type: ignore[method-assign]
        (200, json.dumps({"issuer": "https://evil.example", "jwks_uri": f"{provider.issuer}/keys"}).encode())
        if "well-known" in path
        else honest(path)
    )
    assert "of another issuer" in world.refusal(provider.token())
    world.settings = world.accepting(keys=f"{provider.issuer}/keys")
    world.clock.sleep(RETRY_SECONDS)
    assert world.principal(provider.token())


def test_two_issuers_do_not_speak_for_each_other(world: World, tmp_path: Path, clock: ManualClock) -> None:
    with IdentityProvider(clock) as other:
        both = [Issuer(issuer=one.issuer, audience="holdfast") for one in (world.provider, other)]
        world.settings = Settings(issuers=both)
        world.cache = KeyCache(tmp_path / "both", clock)
        assert world.principal(other.token()).id == f"{other.issuer}#alice"
        assert "signature" in world.refusal(other.token(iss=world.provider.issuer))


def test_a_key_set_is_read_strictly() -> None:
    rsa = {"kty": "RSA", "kid": "a", "n": base64.urlsafe_b64encode(b"\xff" * 256).decode().rstrip("="), "e": "AQAB"}
    weak = rsa | {"kid": "weak", "n": base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("=")}
    others = [
        weak,
        rsa | {"kid": "enc", "use": "enc"},
        rsa | {"kid": None},
        rsa | {"key_ops": ["sign"], "kid": "b"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
        {"kty": "AKP", "kid": "later"},
        {"kty": 7},
    ]
    found = parse_key_set(json.dumps({"keys": [rsa, *others]}).encode(), "x")
    assert [key.kid for key in found] == ["a"]
    with pytest.raises(CredentialError, match="no key that verifies"):
        parse_key_set(json.dumps({"keys": others}).encode(), "x")
    with pytest.raises(CredentialError, match="publishes a private key"):
        parse_key_set(json.dumps({"keys": [rsa | {"d": "AQAB"}]}).encode(), "x")
    for data in (b"", b"[]", b'{"keys": 1}', b"[" * 9000, b"\xff"):
        with pytest.raises(CredentialError):
            parse_key_set(data, "x")
