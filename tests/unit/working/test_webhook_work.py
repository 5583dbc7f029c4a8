"""Messages that workers send: signed, with the work's key, and sent again by what the error says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.working.jobs import Job
from holdfast.control.working.kinds import kind_called
from holdfast.errors import FailedError, NotFoundError
from holdfast.infra.calling.signing import HEADER, KEY_HEADER, signature_problem

_SECRET = "a secret of both"


@pytest.fixture
def received() -> Iterator[tuple[int, list[int], list[tuple[str, str, bytes]]]]:
    """The port of a receiver, the statuses it answers with, what came."""
    answers: list[int] = []
    came: list[tuple[str, str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.headers[HEADER], self.headers[KEY_HEADER], body))
            self.send_response(answers.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port, answers, came
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_signed_and_sent_again_as_the_same(
    received: tuple[int, list[int], list[tuple[str, str, bytes]]], tmp_path: Path
) -> None:
    port, answers, came = received
    (tmp_path / "holdfast.yaml").write_text(
        "version: 1\norganisation: acme\n"
        "sites:\n  a: {cloud: onprem, region: a, jurisdiction: EU, stores: {warm: {url: /nowhere}}}\n"
        "notify:\n  channels:\n"
        f'    ours: {{kind: webhook, url: "http://127.0.0.1:{port}/", secret: "${{HOOK_KEY}}"}}\n'
    )
    environment = {"HOOK_KEY": _SECRET, "HOME": str(tmp_path)}
    sites = DeclaredSites(load_config(tmp_path / "holdfast.yaml", environment), environment)
    kind = kind_called("webhook.send")

    def send(channel: str = "ours") -> dict[str, Any]:
        arguments = kind.require({"channel": channel, "body": '{"run":"1"}'})
        job = Job(
            key="hook/1",
            kind=kind.name,
            arguments=arguments,
            by="",
            attempt=1,
            sites=sites,
            told=lambda text: None,
            is_leaving=lambda: False,
            is_cancelled=lambda: False,
        )
        return kind.handler()(job)

    answers += [503, 204, 403]
    with pytest.raises(FailedError) as passing:
        send()
    assert passing.value.retry and kind.pauses, "a worker sends it again"
    assert send() == {"channel": "ours", "status": 204}
    with pytest.raises(FailedError) as final:
        send()
    assert not final.value.retry
    assert _SECRET not in str(final.value)
    with pytest.raises(NotFoundError):
        send("theirs")
    assert [(key, body) for _, key, body in came] == [("hook/1", b'{"run":"1"}')] * 3
    for signature, _, body in came:
        now = sites.clock.now_ns() // 10**9
        assert signature_problem(signature, _SECRET.encode(), body, now) is None
        assert signature_problem(signature, _SECRET.encode(), body + b" ", now) is not None
