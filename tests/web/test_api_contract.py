"""The API keeps what it says of itself: docs/openapi.json, examples, and whatever schemathesis thinks up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import Phase as HypothesisPhase
from tests.web.conftest import Served

from holdfast.cli.serving import operations
from holdfast.cli.serving.__main__ import openapi_of

ROOT = Path(__file__).parents[2]
_ACTS = ("/api/v1/drills", "/api/v1/catalog/updates")  # they start real work: looked at elsewhere


def test_the_description_in_the_documentation_is_this_one() -> None:
    assert (ROOT / "docs/openapi.json").read_bytes() == openapi_of(), "python -m holdfast.cli.serving docs/openapi.json"


def test_every_verb_is_described(served: Served) -> None:
    described = msgspec.json.decode(served.client.get("/api/v1/openapi.json").content)
    assert described["openapi"].startswith("3.1")
    for one in operations():
        path = "/api/v1" + one.path.replace(":str", "").replace(":int", "")
        said = described["paths"][path][one.method.lower()]
        assert said["summary"]
        assert set(said["responses"]) >= {str(one.status), "400", "401", "403", "404", "409"}
        if one.method == "POST" and one.example:
            assert "requestBody" in said


def test_no_input_breaks_it(served: Served) -> None:
    schema = schemathesis.openapi.from_dict(msgspec.json.decode(openapi_of()))
    headers = served.headers("owner") | {"Host": "testserver.local"}
    asked = 0

    def check(case: schemathesis.Case) -> None:
        nonlocal asked
        asked += 1
        given = case.as_transport_kwargs(base_url="http://testserver.local")
        sent = {name: str(value) for name, value in (given.pop("headers", None) or {}).items()} | headers
        named = ("method", "url", "params", "json", "data")
        answer = served.client.request(
            headers=sent, **{name: given[name] for name in named if given.get(name) is not None}
        )
        assert answer.status_code < 500, (case.method, case.path, answer.text)
        case.validate_response(
            answer, checks=[schemathesis.checks.not_a_server_error, schemathesis.checks.response_schema_conformance]
        )

    from hypothesis import given

    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith("/session") or (operation.method == "post" and operation.path in _ACTS):
            continue
        bounded = settings(
            max_examples=4,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[HypothesisPhase.explicit, HypothesisPhase.generate],
        )
        bounded(given(operation.as_strategy())(check))()
    assert asked > 100


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(served: Served, method: str) -> None:
    assert served.client.request(method, "/api/v1/sites", headers=served.headers("owner")).status_code in (404, 405)
