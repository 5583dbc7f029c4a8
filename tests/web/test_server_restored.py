"""A server is killed, its folder is gone, its databases come back from the vault, and it goes on as it was."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest
from tests.web.server_process import ServedWorld, Serving, until

from holdfast.cli.main import main


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_sessions_answers_and_work_outlive_the_machine_s_disk(tmp_path: Path) -> None:
    world = ServedWorld(tmp_path)
    file = json.loads(world.config.read_text())
    place = {"synchronous": ["a"], "asynchronous": ["b", "c"]}
    file["assets"]["control-plane"] = {"class": "development", "place": place, "save_every": "5s"}
    file["serve"]["backup"] = "control-plane"
    world.config.write_text(json.dumps(file))
    plan = {"name": "model-to-b", "target": str(tmp_path / "back" / "one")}
    with world.serving("--no-worker") as server:
        asked = server.ask("POST", "/api/v1/plans", "ada", plan, Idempotency_Key="once")
        assert asked.status == 201
        cookie = _session(server, world)
        submitted = server.ask("POST", f"/api/v1/runs/{asked.said['run']}/start", "ada", {})
        assert submitted.status in (202, 403, 409), submitted  # nobody approved it: what counts is that it is recorded
        work = server.ask("GET", "/api/v1/work", "ada").said

        before = _newest(world)
        until(lambda: _newest(world) != before)
        last = _newest(world)
        until(lambda: _newest(world) != last)  # it began after all of this
        server.kill()
    state = tmp_path / "state" / "holdfast"
    keep = {name: (state / name).exists() for name in ("server", "work")}
    assert all(keep.values())
    shutil.rmtree(state)
    with mock.patch.dict(os.environ, world.environment | {"HOLDFAST_CONFIG": str(world.config)}, clear=True):
        assert main(["restore", "control-plane", str(tmp_path / "copy"), "-q"]) == 0
    shutil.copytree(tmp_path / "copy", state, dirs_exist_ok=True)
    with world.serving("--no-worker") as server:
        assert server.ask("GET", "/api/v1/sites", Cookie=cookie).status == 200, "the session is still one"
        again = server.ask("POST", "/api/v1/plans", "ada", plan, Idempotency_Key="once")
        assert again.status == 201 and again.said == asked.said and again.headers["idempotent-replayed"] == "true"
        assert server.ask("GET", "/api/v1/work", "ada").said == work


def _session(server: Serving, world: ServedWorld) -> str:
    import http.client
    from urllib.parse import urlencode, urlsplit

    parts = urlsplit(server.address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    form = urlencode({"credential": world.keys["olga"]})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.address}
    connection.request("POST", "/session", form, headers)
    answer = connection.getresponse()
    answer.read()
    cookie = answer.getheader("Set-Cookie", "").partition(";")[0]
    connection.close()
    assert answer.status == 303 and cookie
    return cookie


def _newest(world: ServedWorld) -> list[str]:
    """Names of roots at the home: what a save adds last."""
    return sorted(path.name for path in (world.folder / "a" / "snapshots").rglob("*") if path.is_file())
