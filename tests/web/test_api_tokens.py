"""Tokens of a real identity provider over HTTP: who is let in by one, and every way to make one that is not."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.web.conftest import ORIGIN, Client

from holdfast.authority.issuer_keys import RETRY_SECONDS
from holdfast.cli.serving import operations
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK
from holdfast.control.service.context import Service, open_service
from holdfast.testing.identity_provider import IdentityProvider
from holdfast.web.app import create_app
from holdfast.web.settings import ServerSettings

SITES = "/api/v1/sites"
AHEAD: dict[str, Any] = {"groups": ["ops"]}


class Ahead:
    """The system's clock, and as much as a test says."""

    seconds = 0.0

    def now_ns(self) -> int:
        return SYSTEM_CLOCK.now_ns() + int(self.seconds * NANOSECONDS)

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class World(NamedTuple):
    """`provider` signs with elliptic curves at first; `stranger` is one whose word is not taken here."""

    client: Client
    service: Service
    provider: IdentityProvider
    stranger: IdentityProvider
    clock: Ahead
    keys: dict[str, str]
    folder: Path

    def ask(self, token: bytes | str, path: str = SITES, **more: Any) -> Any:
        text = token if isinstance(token, str) else token.decode()
        return self.client.get(path, headers={"Authorization": f"Bearer {text}"}, **more)

    def token(self, **changes: Any) -> bytes:
        return self.provider.token("alice", **(AHEAD | changes))

    def settle(self, *, groups: bool = True, issuer: bool = True) -> None:
        """Write authority.yaml, and have it read."""
        issuers = [{"issuer": self.provider.issuer, "audience": "holdfast", "algorithms": ["ES256", "RS256"]}]
        grants = [{"to": "group:ops", "roles": ["operator"]}]
        said = {"version": 1, "issuers": issuers if issuer else [], "grants": grants if groups else []}
        path = self.folder / "config" / "holdfast" / "authority.yaml"
        path.write_text(json.dumps(said))
        path.chmod(0o600)
        self.clock.seconds += 5


@pytest.fixture(scope="module")
def world(organisation: tuple[Path, dict[str, str]]) -> Iterator[World]:
    folder, keys = organisation
    clock = Ahead()
    service = open_service(folder / "holdfast.yaml", clock=clock, work=False)
    app = create_app(service, ServerSettings(tries=1_000_000, requests=1e6), operations(), routes=())
    with (
        IdentityProvider(clock) as provider,
        IdentityProvider(clock) as stranger,
        Client(app, base_url=ORIGIN) as client,
    ):
        made = World(client, service, provider, stranger, clock, keys, folder)
        made.settle()
        yield made
    service.close()
    (folder / "config" / "holdfast" / "authority.yaml").unlink()


def test_a_token_lets_in_whom_it_names_and_as_what(world: World) -> None:
    assert world.ask(world.token()).status_code == 200
    assert world.ask(world.token(groups=["others"])).status_code == 403
    assert world.ask(world.token(groups=[])).status_code == 403
    made = world.client.post(
        "/api/v1/plans", json={"name": "elsewhere"}, headers={"Authorization": f"Bearer {world.token().decode()}"}
    )
    assert made.status_code == 201, made.text
    assert made.json()["by"] == f"keeper/user:{world.provider.issuer}#alice"


def test_keys_rotate_and_what_is_taken_away_counts_no_more(world: World) -> None:
    old = world.token(lasts=7200)
    assert world.ask(old).status_code == 200
    world.provider.rotate(algorithm="RS256")
    world.clock.sleep(RETRY_SECONDS)
    assert world.ask(world.token()).status_code == 200
    assert world.ask(old).status_code == 200
    kid = world.provider.kid
    world.provider.rotate(algorithm="ES256", keep_old=False)
    world.clock.sleep(3601)
    assert world.ask(world.token()).status_code == 200
    assert world.ask(old).status_code == 401
    assert kid not in json.dumps(world.provider._published)


def with_header(token: bytes, changes: dict[str, Any]) -> bytes:
    head, body, signature = token.split(b".")
    known = json.loads(base64.urlsafe_b64decode(head + b"=="))
    return b".".join([segment(known | changes), body, signature])


def segment(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def with_claims(token: bytes, changes: dict[str, Any]) -> bytes:
    head, body, signature = token.split(b".")
    known = json.loads(base64.urlsafe_b64decode(body + b"=="))
    return b".".join([head, segment(known | changes), signature])


TRICKS = (
    "../../../../etc/passwd", "/dev/null", "key-1\x00.pem", "' OR '1'='1", "key-1\r\nX-Evil: 1", "{stranger}/keys",
    "%2e%2e%2fkey-1", "k" * 9000, "", "\u202eyek", "`id`",
)  # fmt: skip


def forged(world: World) -> dict[str, bytes]:
    """By what is wrong with it."""
    provider, now = world.provider, world.clock.now_ns() // NANOSECONDS
    sound = world.token()
    found = {
        "another audience": world.token(aud="holdfast-staging"),
        "audiences without this one": world.token(aud=["a", "b", "holdfast "]),
        "no audience": world.token(aud=None),
        "another issuer": world.token(iss=world.stranger.issuer),
        "an issuer with a slash more": world.token(iss=provider.issuer + "/"),
        "a stranger who says it is the issuer": world.stranger.token("alice", iss=provider.issuer, groups=["ops"]),
        "a stranger": world.stranger.token("alice", groups=["ops"]),
        "expired": world.token(iat=now - 900, nbf=now - 900, exp=now - 300),
        "not yet": world.token(nbf=now + 300, exp=now + 600),
        "of tomorrow": world.token(iat=now + 86_400, exp=now + 87_000, nbf=None),
        "for ever": world.token(exp=now + 10**9),
        "no end": world.token(exp=None),
        "an end that is text": world.token(exp=str(now + 300)),
        "nobody": world.token(sub=None),
        "claims changed": with_claims(sound, {"sub": "olga"}),
        "groups added": with_claims(world.token(groups=[]), {"groups": ["ops"]}),
        "signature cut": sound[:-10],
        "signature gone": sound.rpartition(b".")[0] + b".",
        "two parts": sound.rpartition(b".")[0],
        "four parts": sound + b".e30",
        "padding": sound + b"==",
        "the public key as a secret": provider.forged_with_public_key(),
        "another algorithm of the same key": with_header(sound, {"alg": "RS256"}),
        "huge": world.token(pad="x" * 20_000),
        "huge and empty": b"." * 30_000,
        "deep": b".".join([segment({"alg": "ES256", "kid": provider.kid}), deep(), b"AAAA"]),
        "another kind of token": provider.signed(
            json.dumps(provider.claims("alice")).encode(), header={"typ": "secevent+jwt"}
        ),
    }
    found |= {f"not signed: {alg}": provider.forged_unsigned(alg=alg) for alg in ("none", "None", "nOnE", "")}
    found |= {
        f"kid {kid[:20]!r}": world.token(header={"kid": kid.replace("{stranger}", world.stranger.issuer)})
        for kid in TRICKS
    }
    found |= {
        f"header {name}": world.token(header={name: value})
        for name, value in {
            "jku": f"{world.stranger.issuer}/keys",
            "x5u": f"{world.stranger.issuer}/keys",
            "jwk": {"kty": "oct", "k": "AAAA"},
            "crit": ["typ"],
        }.items()
    }
    return found


def deep() -> bytes:
    return base64.urlsafe_b64encode(b"[" * 6000 + b"]" * 6000).rstrip(b"=")


def test_no_other_token_does(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """By the header, and by the form of the login page. Nothing of a token reaches an answer, a log or a record."""
    decisions = world.folder / "state" / "holdfast" / "decisions.jsonl"
    assert world.ask(world.token()).status_code == 200
    asked = len(world.stranger.requests)
    let_in, said = [], []
    with caplog.at_level(logging.DEBUG):
        for name, token in forged(world).items():
            answer = world.ask(token)
            form = {"credential": token.decode(), "next": "/runs"}
            login = world.client.post("/session", data=form, headers={"Origin": ORIGIN}, follow_redirects=False)
            if (
                answer.status_code != 401
                or "set-cookie" in login.headers
                or "failed=refused" not in login.headers.get("location", "")
            ):
                let_in.append(f"{name}: {answer.status_code} {login.status_code} {login.headers.get('location')}")
            assert answer.headers["www-authenticate"].startswith("Bearer"), name
            assert answer.headers["content-type"] == "application/problem+json", name
            said += [token[-24:].decode() for kept in (answer.text, caplog.text) if len(token) > 60
                     and token[-24:].decode() in kept and set(token[-24:]) != {ord(".")}]  # fmt: skip
    assert not let_in
    assert not said
    assert world.token().rpartition(b".")[0][:30] not in decisions.read_bytes()
    assert len(world.stranger.requests) == asked, "a token says nowhere where its key is fetched"


def test_what_follows_bearer_decides_alone(world: World) -> None:
    token = world.token().decode()
    cookies = {"holdfast": session_of(world, world.keys["owner"])}
    assert world.client.get(SITES, cookies=cookies).status_code == 200
    bad = {"Authorization": f"Bearer {token}x"}
    assert world.client.get(SITES, cookies=cookies, headers=bad).status_code == 401
    for other in (f"Basic {token}", token, f"Bearer {token} {token}", f"Bearer\t{token}", "Bearer"):
        assert world.client.get(SITES, headers={"Authorization": other}).status_code == 401, other[:12]
    assert world.client.get(f"{SITES}?access_token={token}").status_code == 401
    both = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    request = world.client.build_request("GET", SITES, headers=both)
    assert world.client.send(request).status_code == 401


def session_of(world: World, credential: str) -> str:
    form = {"credential": credential}
    answer = world.client.post("/session", data=form, headers={"Origin": ORIGIN}, follow_redirects=False)
    assert answer.headers["location"] == "/", answer.headers
    return str(answer.headers["set-cookie"].partition("holdfast=")[2].partition(";")[0])


def test_a_session_ends_with_the_token_that_began_it(world: World) -> None:
    cookies = {"holdfast": session_of(world, world.token(lasts=300).decode())}
    assert world.client.get(SITES, cookies=cookies).status_code == 200
    world.clock.sleep(299)
    assert world.client.get(SITES, cookies=cookies).status_code == 200  # clocks may differ by a minute
    world.clock.sleep(62)
    assert world.client.get(SITES, cookies=cookies).status_code == 401


def test_what_authority_yaml_takes_away_is_gone_at_once(world: World) -> None:
    cookies = {"holdfast": session_of(world, world.token().decode())}
    assert world.client.get(SITES, cookies=cookies).status_code == 200
    world.settle(groups=False)
    try:
        assert world.client.get(SITES, cookies=cookies).status_code == 403
        assert world.ask(world.token()).status_code == 403
        world.settle(issuer=False)
        assert world.ask(world.token()).status_code == 401
        assert world.client.get(SITES, cookies=cookies).status_code == 401
    finally:
        world.settle()
    assert world.ask(world.token()).status_code == 200


def test_a_provider_that_is_down_keeps_nobody_out_whose_key_is_known(world: World) -> None:
    assert world.ask(world.token()).status_code == 200
    world.provider.down = True
    try:
        world.clock.sleep(3 * 3600)
        assert world.ask(world.token()).status_code == 200
        assert world.ask(world.token(header={"kid": "new"})).status_code == 401
        assert world.client.get(SITES, headers={"Authorization": f"Bearer {world.keys['owner']}"}).status_code == 200
        world.clock.sleep(24 * 3600)
        refused = world.ask(world.token())
        assert refused.status_code == 401
        assert "older than" in refused.json()["detail"]
    finally:
        world.provider.down = False
        world.clock.sleep(RETRY_SECONDS)
    assert world.ask(world.token()).status_code == 200


def test_made_up_keys_are_no_flood_to_the_provider(world: World) -> None:
    world.clock.sleep(RETRY_SECONDS)
    before = len(world.provider.requests)
    for number in range(30):
        assert world.ask(world.token(header={"kid": f"made-up-{number}"})).status_code == 401
    assert len(world.provider.requests) - before == 2  # discovery and keys, once


def test_a_provider_that_hangs_holds_up_nobody_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for a key that it does not know, the server waits for it with that request alone."""
    world.clock.sleep(RETRY_SECONDS)
    answer, begun, go = world.provider.answer, threading.Event(), threading.Event()

    def hangs(path: str) -> tuple[int, bytes]:
        begun.set()
        go.wait(4)
        return answer(path)

    monkeypatch.setattr(world.provider, "answer", hangs)
    world.provider.rotate()
    codes: list[int] = []
    token = world.token()
    asking = threading.Thread(target=lambda: codes.append(world.ask(token).status_code))
    asking.start()
    try:
        assert begun.wait(30)
        others = {"Authorization": f"Bearer {world.keys['owner']}"}
        assert world.client.get(SITES, headers=others).status_code == 200
        assert not codes
    finally:
        go.set()
        asking.join(30)
    assert codes == [200]
