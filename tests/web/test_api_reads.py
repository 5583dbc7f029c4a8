"""Reads of the API: answers that are shared for a moment, and stay true of what was done through the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.web.conftest import ORIGIN, ROLES, Client, Served

from holdfast.authority.deciding import Circumstances, decide
from holdfast.cli.serving import operations
from holdfast.clock import SYSTEM_CLOCK, ManualClock
from holdfast.control.service.context import open_service
from holdfast.control.service.operations import Operation
from holdfast.testing.ports import free_ports
from holdfast.web.api import shared
from holdfast.web.app import create_app
from holdfast.web.security.policies import needs, resource_of
from holdfast.web.settings import ServerSettings

PARTS = {"asset": "model", "ref": "latest", "site": "a", "run": "0" * 20, "drill": "0" * 9, "incident": "nothing"}
KEPT = [one for one in operations() if one.keeps]
OBJECTIVES = "/api/v1/objectives"
SILENT = 'url: "s3://nowhere/{site}", options: {{endpoint: "http://127.0.0.1:{port}", allow_http: "true"}}'


def path_of(operation: Operation) -> str:
    path = "/api/v1" + operation.path
    for name, value in PARTS.items():
        path = path.replace("{" + name + ":str}", value)
    assert "{" not in path
    return path


@contextmanager
def own_server(config: Path) -> Iterator[tuple[Client, ManualClock]]:
    """One whose clock is moved by hand."""
    clock = ManualClock(SYSTEM_CLOCK.now_ns())
    service = open_service(config, clock=clock, work=False)
    app = create_app(service, ServerSettings(requests=1e6), operations(), routes=())
    with Client(app, base_url=ORIGIN) as client:
        yield client, clock
    service.close()


@pytest.fixture
def own(organisation: tuple[Path, dict[str, str]]) -> Iterator[tuple[Client, ManualClock, dict[str, str]]]:
    folder, keys = organisation
    with own_server(folder / "holdfast.yaml") as (client, clock):
        yield client, clock, {role: f"Bearer {key}" for role, key in keys.items()}


def test_all_that_is_looked_at_often_is_kept() -> None:
    """Not what somebody decides by: a review, a plan; not what is downloaded."""
    each_time = {one.name for one in operations() if one.method == "GET" and not one.keeps}
    assert each_time == {
        "drill.scenarios",
        "recover.file",
        "recover.review",
        "evidence.export",
        "audit.prove",
    }
    assert all(one.method == "GET" for one in KEPT)


def test_an_answer_says_how_old_it_is(own: tuple[Client, ManualClock, dict[str, str]]) -> None:
    client, clock, keys = own
    headers = {"Authorization": keys["operator"]}
    first = client.get(OBJECTIVES, headers=headers)
    assert first.status_code == 200
    assert (first.headers["age"], first.headers["cache-status"]) == ("0", "holdfast; fwd=miss")
    clock.sleep(3.5)
    second = client.get(OBJECTIVES, headers=headers)
    assert (second.headers["age"], second.headers["cache-status"]) == ("3", "holdfast; hit; ttl=1")
    assert second.content == first.content
    assert second.headers["etag"] == first.headers["etag"]
    third = client.get(OBJECTIVES, headers=headers | {"If-None-Match": first.headers["etag"]})
    assert (third.status_code, third.content, third.headers["age"]) == (304, b"", "3")
    fresh = client.get(f"{OBJECTIVES}?fresh=true", headers=headers)
    assert (fresh.headers["age"], fresh.headers["cache-status"]) == ("0", "holdfast; fwd=request")
    assert client.get(OBJECTIVES, headers=headers).content == fresh.content
    assert fresh.json()["assets"][0]["age_seconds"] == pytest.approx(first.json()["assets"][0]["age_seconds"] + 3.5)


def test_pages_of_a_kept_list_go_together(own: tuple[Client, ManualClock, dict[str, str]]) -> None:
    client, _, keys = own
    headers = {"Authorization": keys["operator"]}
    whole = client.get("/api/v1/sites", headers=headers)
    names, path = [], "/api/v1/sites?limit=1"
    while path:
        answer = client.get(path, headers=headers)
        assert answer.headers["cache-status"].startswith("holdfast; hit")
        assert answer.headers["etag"] != whole.headers["etag"]
        names += [one["name"] for one in answer.json()["sites"]]
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert names == [one["name"] for one in whole.json()["sites"]]


@pytest.mark.parametrize("operation", KEPT, ids=lambda one: one.name)
def test_each_role_gets_of_a_kept_answer_what_the_policies_say(served: Served, operation: Operation) -> None:
    """After somebody who may have it has been answered: the matrix of routes and roles asks before."""
    service, client, path = served.app.state.service, served.client, path_of(operation)
    before = client.get(path, headers=served.headers("owner"))
    assert client.get(path).status_code == 401
    need = needs(operation.action, on=operation.on, name=operation.part)["policy"]
    for role in ROLES:
        principal = service.authority().identify_bearer(served.keys[role].encode())
        policies = service.authority().home.in_force.policies
        resource = resource_of(need, PARTS, service)
        allowed = decide(policies, principal, need.action, resource, Circumstances(service.clock.now_ns())).allowed
        answer = client.get(path, headers=served.headers(role))
        assert answer.status_code == (before.status_code if allowed else 403), (role, answer.text)
        if not allowed:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "cache-status" not in answer.headers
    # A key of few scopes may be denied by what the verb asks for on its way, too.
    limited = served.headers("limited")
    assert (
        client.get(path, headers=limited).status_code == client.get(f"{path}?fresh=true", headers=limited).status_code
    )


def test_what_was_done_through_the_server_is_in_the_next_answer(served: Served) -> None:
    """By anybody, whoever looks; with the tag of what they had."""
    client, owner, other = served.client, served.headers("owner"), served.headers("other")
    runs = client.get("/api/v1/runs?newest=100", headers=other)
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "kept")}
    made = client.post("/api/v1/plans", json=body, headers=served.headers("operator"))
    assert made.status_code == 201, made.text
    run = made.json()["run"]
    now = client.get("/api/v1/runs?newest=100", headers=other | {"If-None-Match": runs.headers["etag"]})
    assert now.status_code == 200
    assert run in [one["run"] for one in now.json()["runs"]]
    shown = client.get(f"/api/v1/runs/{run}", headers=owner).json()
    assert client.post(f"/api/v1/runs/{run}/approvals", json={}, headers=other).status_code == 201
    assert client.get(f"/api/v1/runs/{run}", headers=owner).json()["entries"] == shown["entries"] + 1
    for deed in ("paused", "resumed"):
        before = client.get(f"/api/v1/runs/{run}", headers=other).json()["entries"]
        said = client.post(f"/api/v1/runs/{run}/said", json={"deed": deed}, headers=served.headers("operator"))
        assert said.status_code == 200, said.text
        assert client.get(f"/api/v1/runs/{run}", headers=other).json()["entries"] == before + 1


def test_who_is_told_of_an_entry_and_looks_sees_it(served: Served) -> None:
    """As programs do: the event says that there is something, the list what."""
    client, other, line = served.client, served.headers("other"), served.app.state.events
    assert client.get("/api/v1/runs", headers=other).status_code == 200
    assert client.get("/api/v1/runs", headers=other).headers["cache-status"].startswith("holdfast; hit")
    line._publish("incident", {"id": "x"})
    assert client.get("/api/v1/runs", headers=other).headers["cache-status"].startswith("holdfast; hit")
    line._publish("run", {"run": "x"})
    assert client.get("/api/v1/runs", headers=other).headers["cache-status"] == "holdfast; fwd=miss"


def test_a_request_that_is_refused_forgets_nothing(served: Served) -> None:
    """Whoever may do nothing here cannot make everybody else's answers be made again."""
    client, owner = served.client, served.headers("owner")
    client.get(OBJECTIVES, headers=owner)
    assert client.post("/api/v1/plans", json={}, headers=served.headers("auditor")).status_code == 403
    assert client.post("/api/v1/plans", json={}).status_code == 401
    assert client.post("/session", data={"credential": "x"}, headers={"Origin": ORIGIN}).status_code != 500
    assert client.get(OBJECTIVES, headers=owner).headers["cache-status"].startswith("holdfast; hit")


def test_without_its_stores_it_says_what_it_knew_and_how_old_that_is(
    organisation: tuple[Any, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stores' addresses become ones where nobody listens."""
    folder, keys = organisation
    monkeypatch.setattr(shared, "_PATIENCE_S", 0.1)
    for name, value in (("AWS_ACCESS_KEY_ID", "nobody"), ("AWS_SECRET_ACCESS_KEY", "nothing")):
        monkeypatch.setenv(name, value)
    text = (folder / "holdfast.yaml").read_text()
    [port] = free_ports(1)
    config = tmp_path / "holdfast.yaml"
    config.write_text(text)
    headers = {"Authorization": f"Bearer {keys['operator']}"}
    paths = ["/api/v1/runs", "/api/v1/incidents", "/api/v1/assets/model/snapshots"]
    with own_server(config) as (client, clock):
        known = {path: client.get(path, headers=headers).json() for path in paths}
        for site in "abc":
            text = text.replace(f'url: "{folder}/{site}"', SILENT.format(site=site, port=port))
        config.write_text(text)
        clock.sleep(40)
        for path in paths:
            answer = client.get(path, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json() == known[path]
            assert int(answer.headers["age"]) >= 40
            assert answer.headers["cache-status"].endswith("; detail=store-unreachable")
