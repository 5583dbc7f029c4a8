"""Every route, and every role: who may do what over the API is what the policies say, and nothing is without one."""

from __future__ import annotations

import pytest
from litestar import get
from litestar.testing import TestClient
from tests.web.conftest import ROLES, Served

from holdfast.authority.deciding import Circumstances, decide
from holdfast.cli.serving import operations
from holdfast.control.service.context import open_service
from holdfast.errors import FailedError
from holdfast.web.app import create_app
from holdfast.web.security.guarding import routes_of
from holdfast.web.security.policies import resource_of

OPEN = {  # whoever adds one here says why in its `open_to_all`
    "/health/live",
    "/health/ready",
    "/session",
    "/api/v1/device/code",
    "/api/v1/device/token",
    "/api/v1/openapi.json",
}
PARTS = {
    "{run:str}": "0" * 20,
    "{asset:str}": "model",
    "{ref:str}": "latest",
    "{site:str}": "a",
    "{drill:str}": "0" * 9,
}
PARTS |= {"{incident:str}": "nothing", "{number:int}": "0"}


def path_of(template: str) -> str:
    for part, value in PARTS.items():
        template = template.replace(part, value)
    assert "{" not in template, f"give {template} an example"
    return template


def test_a_route_without_a_policy_keeps_the_server_from_starting(served: Served) -> None:
    @get("/surprise", sync_to_thread=False)
    def surprise() -> str:
        return "everything"

    with pytest.raises(FailedError, match="GET /surprise"):
        create_app(served.app.state.service, None, operations(), routes=[surprise])


def test_only_listed_routes_are_open(served: Served) -> None:
    assert {path for _, path, need in routes_of(served.app) if need is not None and need.open} == OPEN


def test_the_pages_say_who_may_see_them(served: Served) -> None:
    service = open_service(served.folder / "holdfast.yaml", work=False)
    app = create_app(service, None, operations())
    assert len(list(routes_of(app))) > len(list(routes_of(served.app)))
    app.state.kept.close()
    app.state.health.close()


def test_every_route_and_role(served: Served) -> None:
    """By the answer: 401 and 403 where the decision function says no, something else where it says yes."""
    service, client = served.app.state.service, served.client
    policies = service.authority().home.in_force.policies
    asked = 0
    for method, template, need in routes_of(served.app):
        assert need is not None
        if method == "HEAD" or need.open or template.endswith("/events"):
            continue
        path = path_of(template)
        nobody = client.request(method, path)
        assert nobody.status_code == 401, (method, path, nobody.text)
        broken = client.request(method, path, headers={"Authorization": "Bearer hfk_nonsense"})
        assert broken.status_code == 401, (method, path)
        parts = {name.strip("{}").partition(":")[0]: value for name, value in PARTS.items()}
        for role in (*ROLES, "limited"):
            answer = client.request(method, path, headers=served.headers(role))
            principal = service.authority().identify_bearer(served.keys[role].encode())
            allowed = True
            if need.action:
                resource = resource_of(need, parts, service)
                context = Circumstances(service.clock.now_ns())
                allowed = decide(policies, principal, need.action, resource, context).allowed
            denied = answer.status_code == 403
            # A key of few scopes may be denied by what the verb asks for on its way, too.
            expected = denied is not allowed or (role == "limited" and denied)
            assert expected, (role, method, path, answer.text)
            asked += 1
    assert asked > 150


@pytest.mark.parametrize("path", ["/api/v1/events", f"/api/v1/runs/{'0' * 20}/events"])
def test_streams_are_guarded_like_everything(served: Served, path: str) -> None:
    assert served.client.get(path).status_code == 401
    assert served.client.get(path, headers=served.headers("trainer")).status_code == 403


def test_each_answer_has_the_headers(served: Served) -> None:
    for path in ("/health/live", "/nothing", "/api/v1/sites"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert len(headers["x-request-id"]) == 16


@pytest.mark.parametrize("host", ["evil.example", "testserver.local.evil.example", "", "testserver.local:1"])
def test_another_host_is_refused(served: Served, host: str) -> None:
    assert served.client.get("/health/live", headers={"Host": host}).status_code == 400


def test_decisions_are_recorded(served: Served) -> None:
    log = served.folder / "state" / "holdfast" / "decisions.jsonl"
    before = log.read_bytes().count(b"\n")
    served.client.get("/api/v1/sites", headers=served.headers("trainer"))
    lines = log.read_bytes().splitlines()
    assert len(lines) == before + 1
    assert b'"action":"site.list"' in lines[-1]
    assert b'"decision":"deny"' in lines[-1]
    assert served.keys["trainer"].encode() not in log.read_bytes()


def test_an_expired_identity_is_denied(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    service = served.app.state.service
    later = service.clock.now_ns() + 400 * 86_400 * 10**9

    class Later:
        now_ns = staticmethod(lambda: later)
        monotonic = staticmethod(service.clock.monotonic)
        sleep = staticmethod(service.clock.sleep)

    monkeypatch.setattr(service, "clock", Later())
    monkeypatch.setattr(service, "_home", None)
    answer = served.client.get("/api/v1/sites", headers=served.headers("owner"))
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]
    monkeypatch.undo()
    service._home = None


def test_too_many_wrong_credentials_end_in_429(organisation: tuple[object, dict[str, str]]) -> None:
    folder, keys = organisation
    service = open_service(f"{folder}/holdfast.yaml", work=False)
    with TestClient(create_app(service, None, operations(), routes=()), base_url="http://testserver.local") as client:
        wrong = {"Authorization": "Bearer hfk_nonsense"}
        codes = [client.get("/api/v1/sites", headers=wrong).status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        right = {"Authorization": f"Bearer {keys['owner']}"}
        answer = client.get("/api/v1/sites", headers=right)
        assert answer.status_code == 429  # nobody learns from here which of many was right
        assert int(answer.headers["retry-after"]) >= 1
    service.close()
