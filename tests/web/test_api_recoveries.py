"""Recoveries over the API: in whose name, who may approve, what happens once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.conftest import Served

from holdfast.recovery.reviewing.persons import Persons


def plan(served: Served, role: str = "operator", **more: Any) -> dict[str, Any]:
    headers = served.headers(role) | ({"Idempotency-Key": more.pop("key")} if "key" in more else {})
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "there")} | more
    answer = served.client.post("/api/v1/plans", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def post(served: Served, path: str, role: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
    answer = served.client.post(f"/api/v1{path}", json=body or {}, headers=served.headers(role) | headers)
    return answer.status_code, answer.json()


def test_another_person_approves_and_the_run_is_queued(served: Served) -> None:
    made = plan(served)
    run = made["run"]
    person = served.app.state.service.authority().identify_bearer(served.keys["operator"].encode()).person
    assert made["by"] == f"keeper/{person}"
    assert post(served, f"/runs/{run}/start", "operator")[0] == 403  # nobody approved it
    assert post(served, f"/runs/{run}/approvals", "operator")[0] == 409  # their own
    assert post(served, f"/runs/{run}/approvals", "auditor")[0] == 403
    status, approved = post(served, f"/runs/{run}/approvals", "other", {"seconds": 600})
    assert status == 201
    assert approved["by"].startswith("keeper/api-key:")
    status, work = post(served, f"/runs/{run}/start", "operator")
    assert (status, work["kind"]) == (202, "recover.run")
    assert work["arguments"]["target"] == str(served.folder / "back" / "there")
    assert post(served, f"/runs/{run}/start", "operator")[1]["key"] == work["key"]  # the same work


def test_nobody_approves_by_a_session_what_they_asked_for_by_a_key(served: Served) -> None:
    run = plan(served)["run"]
    cookies = served.login("operator")
    row = served.app.state.kept.session(cookies["holdfast"])
    headers = {"Origin": "http://testserver.local", "X-CSRF-Token": row.csrf}
    answer = served.client.post(f"/api/v1/runs/{run}/approvals", json={}, cookies=cookies, headers=headers)
    assert answer.status_code == 409
    assert "asked for this recovery" in answer.json()["detail"]


NAMES = {"key:alice-1": "alice", "key:alice-2": "alice", "user:idp#a": "alice", "api-key:aa": "alice"}
NAMES |= {"key:bob-1": "bob", "user:idp#b": "bob"}
OF_ALICE = ["alice-1", "alice-2", "server/user:idp#a", "server/api-key:aa", "server/alice"]
OF_BOB = ["bob-1", "server/user:idp#b", "server/bob"]


@given(st.sampled_from(OF_ALICE), st.lists(st.sampled_from(OF_ALICE), max_size=4), st.booleans())
def test_no_mixture_of_ones_own_names_approves(initiator: str, approvers: list[str], with_bob: bool) -> None:
    from holdfast.recovery.plans import plan_hash
    from holdfast.recovery.reviewing.approvals import Approval, approvers_of

    made = small_plan(initiator)
    persons = Persons(vouchers=frozenset({"server"}), names=NAMES)
    named = [*approvers, *(OF_BOB if with_bob else [])]
    given_ones = [Approval(plan=plan_hash(made), by=by, at=10, until=100) for by in named]
    counted = approvers_of(given_ones, made, 50, persons)
    assert len(counted) == (1 if with_bob else 0)  # bob counts once, by however many names


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_who_may_not_vouch_is_not_believed(label: str, person: str) -> None:
    from holdfast.recovery.plans import plan_hash
    from holdfast.recovery.reviewing.approvals import Approval, approval_problem

    made = small_plan("alice-1")
    by = f"{label.replace('/', '')}/{person}"
    problem = approval_problem(Approval(plan=plan_hash(made), by=by, at=10, until=100), made, 50, Persons(names=NAMES))
    assert problem is not None
    assert problem[0] == "APPROVER_NOT_VOUCHED_FOR"


def small_plan(by: str) -> Any:
    from holdfast.recovery.estimates import UNKNOWN
    from holdfast.recovery.intents import Intent, Strategy
    from holdfast.recovery.plans import Plan

    intent = Intent(name="x", assets=("x",), to=("b",), strategy=Strategy.BACKUP_AND_RESTORE, by=by)
    return Plan(
        intent=intent,
        site="b",
        facts_at=1,
        fresh_until=1000,
        chosen=(),
        steps=(),
        detecting=UNKNOWN,
        deciding=UNKNOWN,
    )


def test_a_request_with_a_key_happens_once(served: Served) -> None:
    first = plan(served, key="once-1")
    again = served.client.post(
        "/api/v1/plans",
        json={"name": "elsewhere", "target": str(served.folder / "back" / "there")},
        headers=served.headers("operator") | {"Idempotency-Key": "once-1"},
    )
    assert again.json() == first
    assert again.headers["idempotent-replayed"] == "true"
    status, problem = post(served, "/plans", "operator", {"name": "model"}, **{"Idempotency-Key": "once-1"})
    assert (status, problem["code"]) == (422, "mismatched")
    assert plan(served, "other", key="once-1")["run"] != first["run"]  # keys are each person's own


def test_a_server_that_died_in_the_middle_makes_the_same_plan(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the plan was noted, before the answer was kept: the same request puts the same plan there."""
    from holdfast.control.service import acting

    kept = acting.keep_plan
    plans = []

    def dies(service: Any, principal: Any, file: Any) -> Any:
        plans.append(file.run)
        kept(service, principal, file)
        raise KeyboardInterrupt

    monkeypatch.setattr(acting, "keep_plan", dies)
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "died")}
    from holdfast.cli.serving import operation_named
    from holdfast.control.service.operations import Asking, Memo

    memo = Memo()
    principal = served.app.state.service.authority().identify_bearer(served.keys["operator"].encode())
    takes = operation_named("recover.plan")
    import msgspec

    with pytest.raises(KeyboardInterrupt):
        takes.does(Asking(served.app.state.service, principal, memo), msgspec.convert(body, takes.takes))
    monkeypatch.undo()
    again = takes.does(Asking(served.app.state.service, principal, Memo(memo.kept)), msgspec.convert(body, takes.takes))
    assert again.run == plans[0]


def test_a_decision_by_what_was_seen(served: Served) -> None:
    run = plan(served)["run"]
    tag = served.client.get(f"/api/v1/runs/{run}", headers=served.headers("other")).headers["etag"]
    assert post(served, f"/runs/{run}/approvals", "other", {"seconds": 60}, **{"If-Match": tag})[0] == 201
    status, problem = post(served, f"/runs/{run}/said", "other", {"deed": "paused"}, **{"If-Match": tag})
    assert (status, problem["code"]) == (412, "changed")
    newer = served.client.get(f"/api/v1/runs/{run}", headers=served.headers("other")).headers["etag"]
    assert newer != tag
    assert post(served, f"/runs/{run}/said", "other", {"deed": "paused"}, **{"If-Match": newer})[0] == 200


def test_what_a_client_has_is_not_sent_again(served: Served) -> None:
    first = served.client.get("/api/v1/sites", headers=served.headers("owner"))
    again = served.client.get(
        "/api/v1/sites", headers=served.headers("owner") | {"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_pages_lose_and_double_nothing(served: Served) -> None:
    seen, path = [], "/api/v1/sites?limit=2"
    while path:
        answer = served.client.get(path, headers=served.headers("owner"))
        seen += [one["name"] for one in answer.json()["sites"]]
        link = answer.headers.get("link", "")
        path = link.partition(">")[0].lstrip("<")
    assert seen == ["a", "b", "c"]
    bad = served.client.get("/api/v1/sites?cursor=nonsense", headers=served.headers("owner"))
    assert bad.status_code == 400


@pytest.mark.parametrize(
    "target", ["/etc/x", "back", "/tmp/../etc", "{here}/back", "{here}/back/../../x", "{here}/a/x"]
)
def test_a_recovery_restores_only_where_the_server_may(served: Served, target: str) -> None:
    body = {"name": "elsewhere", "target": target.format(here=served.folder)}
    assert post(served, "/plans", "operator", body)[0] in (400, 409)


def test_links_do_not_lead_out_of_the_folder(served: Served) -> None:
    (served.folder / "back").mkdir(exist_ok=True)
    (served.folder / "back" / "out").symlink_to("/etc")
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "out" / "x")}
    assert post(served, "/plans", "operator", body)[0] == 409


def test_a_line_that_breaks_reaches_no_journal(served: Served) -> None:
    run = plan(served)["run"]
    for reason in ("a\r\nX-Evil: 1", "a\x00b", "\x1b[31m"):
        assert post(served, f"/runs/{run}/said", "operator", {"deed": "paused", "reason": reason})[0] == 400


@pytest.mark.parametrize("run", ["../../etc/passwd", "%2e%2e%2f", "0" * 19, "0" * 21, "Z" * 20, "..%2f..%2f"])
def test_no_id_walks_the_stores(served: Served, run: str) -> None:
    answer = served.client.get(f"/api/v1/runs/{run}", headers=served.headers("owner"))
    assert answer.status_code in (400, 404)


def test_bodies_are_bounded_and_what_they_say(served: Served) -> None:
    headers = served.headers("owner")
    large = served.client.post("/api/v1/plans", content=b"[" * 2_000_000, headers=headers)
    assert large.status_code == 413
    for body in (b"{", b"[]", b"null", b'{"name": 3}', b'{"name": "x", "more": 1}', b"\xff", b"[" * 5000):
        answer = served.client.post("/api/v1/plans", content=body, headers=headers)
        assert answer.status_code == 400, body
        assert answer.headers["content-type"] == "application/problem+json"
