"""`holdfast incident`: observed by one, watched by another, taken in hand, silenced, approved beforehand, tested."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from terminal import TWO_SITES, Terminal, write_checkpoint

_FILE = (
    TWO_SITES
    + """\
assets:
  llama: {{class: training, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu:
    asset: llama
    strategy: BACKUP_AND_RESTORE
    to: [euw4]
    automatic: {{when: "trainer AND NOT stores", wait: 5m, target: /restored}}
detect:
  every: 200ms
  probes:
    trainer: {{kind: tcp, address: "127.0.0.1:{port}", asset: llama, fault_site: use1, open_after: 1, of: 1}}
    stores: {{kind: store, site: euw4, open_after: 1, of: 1, close_after: 1}}
notify:
  channels: {{hook: {{kind: webhook, url: "http://127.0.0.1:{hook}/", secret: "${{HOOK_KEY}}"}}}}
  group_within: 0s
  deadlines: {{nis2: {{within: 24h, authority: the CSIRT}}}}
"""
)


@pytest.fixture
def hook() -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.got = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def world(terminal: Terminal, hook: Any, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = _FILE.format(folder=terminal.folder, port=port, hook=hook.server_address[1])
    (terminal.folder / "holdfast.yaml").write_text(text)
    monkeypatch.setenv("HOOK_KEY", "h00k-key-that-nobody-sees")
    write_checkpoint(terminal.folder / "ckpt", 1, tensors=2)
    terminal.ok("vault", "create", terminal.folder / "use1")
    terminal.ok("key", "export-keeper", "ann", "--vault", terminal.folder / "use1", "--to", "ann.key")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")
    return terminal


def _fails(world: Terminal, code: int, *arguments: str) -> None:
    said = world.run(*arguments)
    assert said.code == code, said


def test_from_a_look_to_the_end_of_an_incident(world: Terminal, hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_ann(name: str, *arguments: str) -> Any:
        with monkeypatch.context() as patch:
            patch.setenv("HOLDFAST_KEY_FILE", str(Path.cwd() / "ann.key"))
            return world.json(name, *arguments)

    seen = as_ann("incident-round", "incident", "observe", "--once", "--as", "fra")
    assert {one["probe"]: one["state"] for one in seen["verdicts"]} == {"trainer": "unknown", "stores": "unknown"}
    assert hook.got == []
    round_ = world.json("incident-round", "incident", "watch", "--once")
    assert {one["probe"]: one["state"] for one in round_["verdicts"]} == {"trainer": "bad", "stores": "good"}
    [decision] = round_["decisions"]
    assert not decision["begins"] and decision["because"][0].startswith("(trainer AND (NOT stores)) FOR 300s: false")
    [incident] = round_["opened"]
    assert [(one["action"], one["dedup_key"]) for one in hook.got] == [("trigger", incident)]
    [listed] = world.json("incident-list", "incident", "list")["incidents"]
    assert listed["incident"] == incident and listed["state"] == "open"
    shown = as_ann("incident-show", "incident", "ack", incident[:6], "--note", "on my way")
    assert shown["incident"]["acknowledged_by"] == "ann" and shown["deadlines"][0]["told_at"] is None
    told = as_ann("incident-show", "incident", "ack", incident, "--notified", "nis2")
    assert told["deadlines"][0]["told_at"] is not None
    said = world.ok("incident", "show", incident)
    assert "deadline nis2: the CSIRT by" in said.out and "opened (keeper)" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    over = world.json("incident-show", "incident", "resolve", incident, "--note", "switched off")
    assert over["incident"]["state"] == "resolved"
    _fails(world, 5, "incident", "ack", incident)
    _fails(world, 3, "incident", "show", "ffffff")
    _fails(world, 3, "incident", "ack", incident, "--notified", "gdpr")
    assert world.json("incident-list", "incident", "list")["incidents"] == []
    assert len(world.json("incident-list", "incident", "list", "--all")["incidents"]) == 1
    silenced = world.json("incident-silence", "incident", "silence", "use1", "--reason", "switches", "--for", "4h")
    assert silenced["owner"] == "keeper"
    assert "use1 until" in world.ok("incident", "list").out
    _fails(world, 2, "incident", "silence", "use1", "--reason", "x", "--for", "8d")


def test_approvals_beforehand_are_of_somebody_else(world: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    name = ("incident", "preapprove", "llama-to-eu")
    _fails(world, 5, *name, "--starter", "keeper", "--for", "30d")
    _fails(world, 2, *name, "--starter", "keeper")
    _fails(world, 2, *name, "--withdraw", "--for", "1d")
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(Path.cwd() / "ann.key"))
    given = world.json("incident-preapprove", *name, "--starter", "keeper", "--for", "30d")
    assert given["by"] == "ann" and given["seconds"] == 30 * 86400
    assert world.json("incident-preapprove", *name, "--withdraw")["seconds"] == 0
    _fails(world, 3, "incident", "preapprove", "nothing", "--withdraw")
    _fails(world, 2, *name, "--starter", "keeper", "--for", "91d")


def test_channels_are_tried(world: Terminal, hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.json("incident-test-alert", "incident", "test-alert")["channels"] == {"hook": ""}
    assert hook.got[0]["summary"] == "test of acme: nothing is the matter"
    _fails(world, 3, "incident", "test-alert", "--channel", "nope")
    monkeypatch.delenv("HOOK_KEY")
    said = world.run("incident", "test-alert")
    assert said.code == 1 and "${HOOK_KEY} is not set" in said.out and "h00k" not in said.out + said.err


def test_a_watch_ends_in_good_order(world: Terminal) -> None:
    command = [sys.executable, "-m", "holdfast.cli.main", "incident", "watch", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), cwd=world.folder
    ) as process:
        assert process.stdout is not None
        rounds = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and time.monotonic() - began < 30
    assert all(one["schema"] == "holdfast/incident-round/1" for one in rounds)
    assert said.splitlines()[-1].startswith("watched, in ")
