"""`holdfast serve` as a process: killed in mid-request and in mid-run, ended in good order, without its database."""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.web.server_process import ServedWorld, Serving, until

from holdfast.testing.postgres import PostgresServer

_PLAN = "/api/v1/plans"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ServedWorld:
    return ServedWorld(tmp_path_factory.mktemp("server"))


def _killed_in_mid_request(world: ServedWorld, key: str, body: dict[str, Any]) -> bool:
    """Killed as soon as the plan was noted; whether the client was left without an answer."""
    answered: list[int] = []
    with world.serving("--no-worker") as server:
        place = world.folder / "state" / "holdfast" / "server" / "acme.sqlite"

        def ask() -> None:
            with suppress(OSError, http.client.HTTPException):
                answered.append(server.ask("POST", _PLAN, "ada", body, Idempotency_Key=key).status)

        asking = threading.Thread(target=ask)
        with sqlite3.connect(place) as database:
            before = database.execute("SELECT count(*) FROM answers WHERE memo IS NOT NULL").fetchone()
            asking.start()
            while database.execute("SELECT count(*) FROM answers WHERE memo IS NOT NULL").fetchone() == before:
                assert asking.is_alive(), answered
                time.sleep(0.001)
        server.kill()
        asking.join(60)
    return not answered


def test_killed_in_mid_request_it_happens_once(world: ServedWorld) -> None:
    body = {"name": "model-to-b", "target": str(world.folder / "back" / "killed")}
    runs = world.runs()
    key = next((key for key in ("k1", "k2", "k3") if _killed_in_mid_request(world, key, body)), "")
    assert key, "it always answered before it died"
    begun = world.runs() - runs  # those of keys that were answered in time, and perhaps the one
    with world.serving("--no-worker") as server:
        first = server.ask("POST", _PLAN, "ada", body, Idempotency_Key=key)
        again = server.ask("POST", _PLAN, "ada", body, Idempotency_Key=key)
        assert (first.status, again.status) == (201, 201)
        assert first.said == again.said
        assert again.headers["idempotent-replayed"] == "true"
    made = world.runs() - runs
    assert first.said["run"] in made
    assert len(made) == int(key[1:]), "one run for each key"
    assert begun <= made


def _started(server: Serving, target: Path) -> str:
    planned = server.ask("POST", _PLAN, "ada", {"name": "model-to-b", "target": str(target)})
    assert planned.status == 201, planned
    run = str(planned.said["run"])
    approved = server.ask("POST", f"/api/v1/runs/{run}/approvals", "ben", {"seconds": 3600})
    assert approved.status == 201, approved
    begun = server.ask("POST", f"/api/v1/runs/{run}/start", "ada", {})
    assert begun.status == 202, begun
    return run


def _ended(server: Serving, run: str) -> Any:
    """The run, once it has ended."""
    found = server.ask("GET", f"/api/v1/runs/{run}", "ada")
    return found.said if found.status == 200 and found.said["ended"] else None


def test_killed_in_mid_run_the_next_one_goes_on(world: ServedWorld) -> None:
    with world.serving() as server:
        run = _started(server, world.folder / "back" / "mid")
        until(lambda: "second" in world.acted())
        server.kill()
    assert world.acted() == ["first", "second"]
    with world.serving() as server:
        world.go.touch()
        found = until(lambda: _ended(server, run))
        assert found["state"] == "PASSED"
        assert found["taken"] == 2
        assert {one["state"] for one in found["steps"]} == {"done"}
        assert server.end() == 0
    assert world.acted() == ["first", "second"], "each acted once"
    assert (world.folder / "back" / "mid").is_dir()


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_told_to_end_it_hands_its_work_over(world: ServedWorld) -> None:
    world.go.unlink(missing_ok=True)
    before = len(world.acted())
    with world.serving() as server:
        run = _started(server, world.folder / "back" / "over")
        until(lambda: "second" in world.acted()[before:])
        assert server.end() == 0
    assert "handed over" in (world.folder / "log").read_text()
    world.go.touch()
    with world.serving() as server:
        assert until(lambda: _ended(server, run))["state"] == "PASSED"
    assert world.acted()[before:] == ["first", "second"]


def test_it_answers_at_a_port_that_it_chose(world: ServedWorld) -> None:
    with world.serving("--no-worker") as server:
        found = server.ask("GET", "/health/live")
        assert found.status == 200
        assert found.headers["referrer-policy"] == "same-origin"
        assert server.ask("GET", "/health/live", Host="evil.example").status == 400
        assert server.ask("GET", "/index.json", "olga").status == 200


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_without_its_database_it_says_so_and_recovers(world: ServedWorld) -> None:
    # Not below the folder of pytest, which is closed to the user that PostgreSQL runs as whenever another one begins.
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder) / "pg") as postgres:
        url = postgres.new_database()
        more = {"HOLDFAST_WORK_DB": url, "HOLDFAST_CATALOG": postgres.new_database(), **postgres.environment}
        with world.serving("--refresh", "1s", **more) as server:

            def ill() -> set[str]:
                found = server.ask("GET", "/health/ready", "olga")
                assert found.status == 200, found
                return {one["kind"] for one in found.said["dependencies"] if not one["well"]}

            until(lambda: not ill())
            postgres.stop()
            until(lambda: {"work", "catalog"} <= ill())
            refused = server.ask("GET", "/api/v1/work", "olga")
            assert (refused.status, refused.said["retry"]) == (503, True)
            page = server.ask("GET", "/index.json", "olga")
            assert page.status == 200 and page.said["problem"], "it says what it cannot see"
            assert server.ask("GET", "/api/v1/runs", "olga").status == 200, "runs are at the stores"
            time.sleep(2)
            postgres.start()
            until(lambda: not ill())
            until(lambda: not server.ask("GET", "/index.json", "olga").said["problem"])
            assert server.ask("GET", "/api/v1/work", "olga").status == 200
            update = server.ask("POST", "/api/v1/catalog/updates", "olga")
            assert update.status == 202
            until(lambda: _done(server, update.said["key"]))


def _done(server: Serving, key: str) -> bool:
    found = {one["key"]: one for one in server.ask("GET", "/api/v1/work", "olga").said["work"]}
    assert found[key]["state"] != "FAILED", json.dumps(found[key])
    return bool(found[key]["state"] == "DONE")
