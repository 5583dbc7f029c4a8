"""Browsers: signing in, sessions, forms that another site sends, places to go on to, devices that a person lets in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.web.conftest import ORIGIN, Served

from holdfast.cli.serving import operations
from holdfast.web.app import create_app
from holdfast.web.security.redirects import safe_next
from holdfast.web.settings import ServerSettings

OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


def test_a_session_begins_with_a_new_secret(served: Served) -> None:
    """Fixation: what the browser showed before never becomes the session."""
    planted = {"holdfast": "A" * 43}
    answer = served.client.post(
        "/session",
        data={"credential": served.keys["operator"]},
        headers=OWN,
        cookies=planted,
        follow_redirects=False,
    )
    cookie = answer.headers["set-cookie"]
    assert "A" * 43 not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert served.client.get("/api/v1/sites", cookies=planted).status_code == 401


def test_signing_in_again_ends_the_session_before(served: Served) -> None:
    first = served.login("operator")
    assert served.client.get("/api/v1/sites", cookies=first).status_code == 200
    form = {"credential": served.keys["operator"]}
    served.client.post("/session", data=form, headers=OWN, cookies=first, follow_redirects=False)
    assert served.client.get("/api/v1/sites", cookies=first).status_code == 401


def test_the_secret_of_a_session_is_not_kept(served: Served) -> None:
    secret = served.login("operator")["holdfast"]
    for path in served.app.state.kept.path.parent.iterdir():
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ORIGIN + ".evil.example"},
        {"Origin": "https://testserver.local"},
    ],
)
def test_other_sites_change_nothing(served: Served, headers: dict[str, str]) -> None:
    cookies = served.login("owner")
    token = csrf_of(served, cookies)
    posted = {**headers, "X-CSRF-Token": token}
    answer = served.client.post("/api/v1/drills/stop", json={"release": True}, cookies=cookies, headers=posted)
    assert answer.status_code == 403, answer.text
    login = served.client.post("/session", data={"credential": served.keys["owner"]}, headers=headers)
    assert login.status_code == 403


@pytest.mark.parametrize("token", ["", "x", None])
def test_a_session_needs_its_token(served: Served, token: str | None) -> None:
    cookies = served.login("owner")
    headers = OWN | ({} if token is None else {"X-CSRF-Token": token})
    answer = served.client.post("/api/v1/drills/stop", json={"release": True}, cookies=cookies, headers=headers)
    assert answer.status_code == 403
    assert "token" in answer.json()["detail"]


def test_the_token_of_another_session_does_not_count(served: Served) -> None:
    other = csrf_of(served, served.login("operator"))
    cookies = served.login("owner")
    mine = csrf_of(served, cookies)
    assert other != mine
    codes = []
    for token in (other, mine):
        headers = OWN | {"X-CSRF-Token": token}
        body = {"release": True}
        codes.append(served.client.post("/api/v1/drills/stop", json=body, cookies=cookies, headers=headers).status_code)
    assert codes == [403, 200]


def csrf_of(served: Served, cookies: dict[str, str]) -> str:
    row = served.app.state.kept.session(cookies["holdfast"])
    assert row is not None
    return str(row.csrf)


def test_signing_out_ends_it_on_the_server(served: Served) -> None:
    cookies = served.login("operator")
    form = {"_csrf": csrf_of(served, cookies)}
    answer = served.client.post("/session/end", data=form, cookies=cookies, headers=OWN, follow_redirects=False)
    assert answer.status_code == 303
    assert served.client.get("/api/v1/sites", cookies=cookies).status_code == 401


def test_a_session_ends_when_nobody_uses_it_and_after_its_time(served: Served) -> None:
    kept, service = served.app.state.kept, served.app.state.service
    for seen, until in ((-1801, 3600), (-5, -1)):
        cookies = served.login("operator")
        row = kept.session(cookies["holdfast"])
        now = service.clock.now_ns()
        kept.end_session(cookies["holdfast"])
        kept.add_session(cookies["holdfast"], row._replace(seen=now + seen * 10**9, until=now + until * 10**9))
        assert served.client.get("/api/v1/sites", cookies=cookies).status_code == 401


def test_revoking_the_key_ends_its_sessions(served: Served) -> None:
    import json

    from tests.web.conftest import holdfast

    made = json.loads(holdfast("policy", "api-key", "create", "goes", "--role", "operator", "--json"))
    served.keys["goes"] = made["key"]
    cookies = served.login("goes")
    assert served.client.get("/api/v1/sites", cookies=cookies).status_code == 200
    holdfast("policy", "api-key", "revoke", made["api_key"]["id"])
    assert served.client.get("/api/v1/sites", cookies=cookies).status_code == 401


@pytest.mark.parametrize(
    ("wanted", "goal"),
    [
        ("/runs", "/runs"),
        ("/runs?page=2", "/runs?page=2"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/%09/evil.example\t", "/"),
        ("javascript:alert(1)", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_where_a_login_leads(served: Served, wanted: str, goal: str) -> None:
    form = {"credential": served.keys["operator"], "next": wanted}
    answer = served.client.post("/session", data=form, headers=OWN, follow_redirects=False)
    assert answer.headers["location"] == goal
    assert len(answer.headers.get_list("set-cookie")) == 1


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_text_leads_elsewhere(wanted: str) -> None:
    found = safe_next(wanted)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()


def test_a_wrong_credential_tells_nothing(served: Served) -> None:
    for credential in ("", "hfk_nonsense", "x" * 20_000, "ey.ey.ey", "ö"):
        form = {"credential": credential, "next": "/runs"}
        answer = served.client.post("/session", data=form, headers=OWN, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?failed=refused&next=/runs"
        assert "set-cookie" not in answer.headers


def device(served: Served, scope: str | None = None) -> dict[str, str]:
    form = {"client_id": "laptop"} | ({} if scope is None else {"scope": scope})
    served.app.state.codes._buckets.clear()
    answer = served.client.post("/api/v1/device/code", data=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def poll(served: Served, code: str) -> tuple[int, dict[str, str]]:
    kept = served.app.state.kept
    kept.poll_device(code, 0)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code}
    answer = served.client.post("/api/v1/device/token", data=form)
    return answer.status_code, dict(answer.json())


def confirm(served: Served, role: str, code: str, answer: str = "allow") -> str:
    cookies = served.login(role)
    form = {"_csrf": csrf_of(served, cookies), "user_code": code, "answer": answer}
    done = served.client.post("/session/device", data=form, cookies=cookies, headers=OWN, follow_redirects=False)
    return str(done.headers.get("location", done.status_code))


def test_a_device_gets_what_its_person_may_and_no_more(served: Served) -> None:
    waits = device(served, "site.list")
    assert poll(served, waits["device_code"])[1]["error"] == "authorization_pending"
    assert confirm(served, "operator", waits["user_code"]).endswith("done=allow")
    status, token = poll(served, waits["device_code"])
    assert status == 200
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert served.client.get("/api/v1/sites", headers=headers).status_code == 200
    assert served.client.get("/api/v1/runs", headers=headers).status_code == 403  # outside its scope
    assert poll(served, waits["device_code"])[1]["error"] == "invalid_grant"  # once
    assert served.client.post("/api/v1/device/end", headers=headers).status_code == 204
    assert served.client.get("/api/v1/sites", headers=headers).status_code == 401


def test_a_person_sees_who_asks_and_for_what(served: Served) -> None:
    """By the page itself, which `served` does not have."""
    some, everything = device(served, "site.list"), device(served)
    cookies = served.login("operator")
    app = create_app(served.app.state.service, ServerSettings(requests=1e6), operations())
    with TestClient(app, base_url=str(served.client.base_url)) as client:
        client.cookies.update(cookies)

        def shown(code: str) -> str:
            return client.get("/device", params={"user_code": code}).text

        assert "laptop" in shown(some["user_code"]) and "site.list" in shown(some["user_code"])
        assert "all that you may" not in shown(some["user_code"])
        assert "all that you may" in shown(everything["user_code"])
        assert "no such code" in shown("AAAA-AAAA") and "Allow, as" not in shown("AAAA-AAAA")


def test_a_device_of_a_trainer_is_a_trainer(served: Served) -> None:
    waits = device(served)
    confirm(served, "trainer", waits["user_code"])
    token = poll(served, waits["device_code"])[1]["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert served.client.get("/api/v1/sites", headers=headers).status_code == 403


def test_a_denied_code_and_one_that_nobody_knows(served: Served) -> None:
    waits = device(served)
    assert confirm(served, "operator", "BBBB-BBBB").endswith("done=unknown")
    assert confirm(served, "operator", waits["user_code"], "deny").endswith("done=deny")
    assert poll(served, waits["device_code"])[1]["error"] == "access_denied"
    assert confirm(served, "operator", waits["user_code"]).endswith("done=unknown")


def test_no_device_lets_another_one_in(served: Served) -> None:
    first = device(served)
    confirm(served, "owner", first["user_code"])
    token = poll(served, first["device_code"])[1]["access_token"]
    second = device(served)
    form = {"user_code": second["user_code"], "answer": "allow"}
    headers = {"Authorization": f"Bearer {token}"}
    answer = served.client.post("/session/device", data=form, headers=headers, follow_redirects=False)
    assert answer.headers["location"].endswith("done=unknown")
    assert poll(served, second["device_code"])[1]["error"] == "authorization_pending"
