"""Looks at real things: addresses, pages, files, stores; good, bad, and what says nothing."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.detection.looks import State
from holdfast.detection.probes.canary import CANARIES, canary_probe
from holdfast.detection.probes.heartbeat import Beat, heartbeat_probe, step_in
from holdfast.detection.probes.network import http_probe, tcp_probe
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore

S = 1_000_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/slow":
                time.sleep(1.5)
            self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def test_addresses(server: str) -> None:
    assert tcp_probe(server, 2.0).state is State.GOOD
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = tcp_probe(f"127.0.0.1:{free.getsockname()[1]}", 2.0)
    assert gone.state is State.BAD and "Connection refused" in gone.text
    assert tcp_probe("127.0.0.1:99999", 2.0).state is State.BAD


@pytest.mark.parametrize(
    ("path", "status", "state"),
    [
        ("200", None, State.GOOD),
        ("302", None, State.GOOD),
        ("404", None, State.BAD),
        ("503", None, State.BAD),
        ("503", 503, State.GOOD),
        ("200", 204, State.BAD),
        ("slow", None, State.BAD),
    ],
)
def test_pages(server: str, path: str, status: int | None, state: State) -> None:
    answer = http_probe(f"http://{server}/{path}", 0.5, status)
    assert answer.state is state and answer.text.isprintable()


def test_a_page_that_is_no_page(server: str) -> None:
    assert http_probe(f"https://{server}/", 2.0).state is State.BAD  # it speaks no TLS
    assert http_probe("http://[::1/", 2.0).state is State.UNKNOWN


def test_a_heartbeat_has_to_go_on(tmp_path: Path) -> None:
    path, now = tmp_path / "beat.json", time.time_ns()
    assert heartbeat_probe(path, 60.0, now, None)[0].state is State.BAD
    path.write_text(json.dumps({"step": 7}))
    answer, beat = heartbeat_probe(path, 60.0, now, None)
    assert answer.state is State.GOOD and beat == Beat(7.0, now)
    # It is touched, and stands still.
    later = now + 61 * S
    os.utime(path, ns=(later, later))
    answer, beat = heartbeat_probe(path, 60.0, later, beat)
    assert answer.state is State.BAD and "at step 7 for 61 s" in answer.text
    path.write_text(json.dumps({"step": 8}))
    os.utime(path, ns=(later, later))
    assert heartbeat_probe(path, 60.0, later, beat)[0].state is State.GOOD
    os.utime(path, ns=(now, now))
    assert "touched 61 s ago" in heartbeat_probe(path, 60.0, later, beat)[0].text


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert heartbeat_probe(tmp_path / "pipe", 60.0, time.time_ns(), None)[0].state is State.UNKNOWN
    assert heartbeat_probe(tmp_path, 60.0, time.time_ns(), None)[0].state is State.UNKNOWN


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ('{"step": 3}', 3.0),
        ('{"step": 1}\n{"step": 2}\n', 2.0),
        ('{"step": 2}\n{"ste', 2.0),
        ("alive", None),
        ("", None),
        ('{"step": "x"}', None),
        ('{"step": 1' + "0" * 400 + "}", None),
    ],
)
def test_steps(text: str, step: float | None) -> None:
    assert step_in(text.encode()) == step


def test_a_store_keeps_what_it_is_given(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    old = f"{CANARIES}a/{1:020d}-000000000000"
    store.create(old, b"left behind")
    assert canary_probe(store, "a", 2 * 3600 * S).state is State.GOOD
    assert [info.key for info in store.list("")] == []


def test_a_store_that_lies_or_is_gone_is_bad(tmp_path: Path) -> None:
    class Forgetful(MemoryStore):
        def get(self, key: str) -> bytes:
            return b"something else"

    class Overwriting(MemoryStore):
        def create(self, key: str, data: Any) -> Any:
            return self.put(key, data)

    assert "something else" in canary_probe(Forgetful(), "a", S).text
    assert "created twice" in canary_probe(Overwriting(), "a", S).text
    (tmp_path / "file").touch()
    assert canary_probe(LocalStore(tmp_path / "file"), "a", S).state is State.BAD
