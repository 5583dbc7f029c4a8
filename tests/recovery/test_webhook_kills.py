"""Messages to receivers outlive whoever sends them: workers are killed between finding, submitting and sending."""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.recovery.worker_worlds import STEPS, Worker, World, eventually

from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.workflows import Phase, open_workflows, run_key, submit_run
from holdfast.trust.webhook_signatures import key_of, signature_problem

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_each_entry_of_a_run_arrives_in_order_though_workers_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    monkeypatch.delenv("HOLDFAST_WORK_DB", raising=False)
    monkeypatch.setenv("HOOK_SECRET", _SECRET)
    world = World(tmp_path, dict(os.environ), seconds=0.3)
    got: list[tuple[str, Any]] = []
    refusing, bad = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            now = world.sites().clock.now_ns() // 10**9
            if (problem := signature_problem(headers, [key_of(_SECRET)], body, now)) is not None:
                bad.append(problem)
            if not refusing.is_set():
                got.append((headers["webhook-id"], json.loads(body)))
            self.send_response(503 if refusing.is_set() else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
        thread.start()
        try:
            file = json.loads(world.config.read_text())
            url = f"http://127.0.0.1:{receiver.server_port}/"
            file["webhooks"] = {"all": {"url": url, "secret": "${HOOK_SECRET}", "events": "run.*"}}
            world.config.write_text(json.dumps(file))
            with closing(open_workflows(world.sites())) as queue:
                first = Worker(world, "first")
                first.ready()
                eventually(lambda: queue.hooks(["all"])[0].since_ns is not None)
                plan = world.planned()
                submit_run(queue, plan.run, asset="llama", target=str(world.folder / "back"))
                eventually(lambda: len(got) >= 3)
                refusing.set()  # the message under way is refused, and its worker dies while it waits
                eventually(lambda: len(world.acted()) >= 3)
                first.kill()
                second = Worker(world, "second")
                eventually(lambda: queue.look(run_key(plan.run)).state is Phase.DONE)  # type: ignore[union-attr]
                second.kill()
                refusing.clear()
                third = Worker(world, "third")
                entries = Recoveries(world.sites()).status(plan.run).entries
                eventually(lambda: len({name for name, _ in got}) == len(entries), f"{len(got)} of {len(entries)}")
                assert third.end() == 0
        finally:
            receiver.shutdown()
            thread.join()
    assert not bad
    told = list(dict(got).values())
    assert [one["data"]["number"] for one in told] == [one.number for one in entries], "in the order of the journal"
    assert told[-1]["type"] == "run.ended" and told[-1]["data"]["verdict"] == "PASSED"
    assert {one["data"]["step"] for one in told} >= {f"shell-{one}" for one in STEPS}
    assert sorted(world.acted()) == sorted(STEPS), "no receiver kept the run from anything"
