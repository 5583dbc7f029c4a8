"""Functions, playbooks and webhooks: what they are told, what they may answer, and that no key reaches them."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import FailedError, HoldfastError, NotFoundError, RefusedError
from holdfast.infra.calling import webhooks
from holdfast.infra.calling.commands import run_command, without_keys
from holdfast.infra.calling.playbooks import play
from holdfast.infra.calling.python_calls import call_function, decode_told
from holdfast.infra.calling.webhooks import post_signed, reach_problem, url_problem
from holdfast.infra.traffic_file import Sent, TrafficFile
from holdfast.testing.certificates import make_certificate
from holdfast.trust.webhook_signatures import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    key_of,
    message_id,
    signature_problem,
    signed_headers,
)

MODULE = """
import os, time

def good(**given):
    print("printed")
    return {"asked": given["run"], "keys": ",".join(sorted(name for name in os.environ if "KEY" in name)), "n": 3}

def odd(**given):
    return {"list": [1, 2]}

def bad(**given):
    raise ValueError("api_key=abcdef is wrong")

def slow(**given):
    time.sleep(60)

def no(**given):
    return "no machine of that name"

good.check = lambda **given: None
bad.check = no
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


def test_a_function_is_called_without_keys(folder: Path) -> None:
    given = without_keys(environment(HOLDFAST_KEY_FILE="/secret", HOLDFAST_CONFIG="x"))
    assert call_function("mine:good", {"run": "r1"}, given, 30, folder) == {"asked": "r1", "keys": "", "n": 3}
    assert call_function("mine:good", {"run": "r1"}, given, 30, folder, check=True) == {}
    assert call_function("mine:bad", {}, given, 30, folder, check=True) == {"problem": "no machine of that name"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("mine:bad", r"ValueError: api_key=\[…\] is wrong"),
        ("mine:odd", "returned something else"),
        ("mine:nothing", "AttributeError"),
        ("nowhere:good", "ModuleNotFoundError"),
    ],
)
def test_what_a_function_may_not_do_is_said(folder: Path, call: str, said: str) -> None:
    with pytest.raises(FailedError, match=said) as raised:
        call_function(call, {}, environment(), 30, folder)
    assert raised.value.retry


def test_a_function_has_its_time(folder: Path) -> None:
    with pytest.raises(FailedError, match="took longer than 1 s"):
        call_function("mine:slow", {}, environment(), 1, folder)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": {}}', b'{"a": null}', b"{" * 100_000, b"\xff"])
def test_results_that_cannot_be_kept_are_refused(data: bytes) -> None:
    with pytest.raises(FailedError, match="cannot be kept"):
        decode_told(data, "mine:good")


def test_a_command_reads_what_it_is_given(tmp_path: Path) -> None:
    assert run_command(("cat",), environment(), 10, str(tmp_path), given=b"hello").said == "hello"


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: leave a mark
      ansible.builtin.copy:
        content: "{{ holdfast_run }}{{ lookup('env', 'HOLDFAST_PASSPHRASE') }}"
        dest: "{{ holdfast_target }}/mark"
    - name: the disk is there
      ansible.builtin.stat: {path: "{{ holdfast_target }}"}
      register: found
      failed_when: not found.stat.exists
"""


def test_a_playbook_changes_nothing_until_it_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "hush")  # of this process, and not given to it
    (tmp_path / "book.yaml").write_text(PLAYBOOK)
    (tmp_path / "there").mkdir()
    given = {"holdfast_run": "r1", "holdfast_target": str(tmp_path / "there")}
    looked = play(tmp_path / "book.yaml", "", given, environment(), 300, check=True)
    assert looked.changed == 1 and not (tmp_path / "there/mark").exists()
    played = play(tmp_path / "book.yaml", "", given, environment(), 300)
    assert (played.ok, played.changed) == (2, 1) and (tmp_path / "there/mark").read_text() == "r1"
    with pytest.raises(FailedError, match=r"book\.yaml: leave a mark on localhost: "):
        play(tmp_path / "book.yaml", "", given | {"holdfast_target": str(tmp_path / "no")}, environment(), 300)
    with pytest.raises(NotFoundError, match="there is no playbook"):
        play(tmp_path / "none.yaml", "", given, environment(), 300)


class Receiver:
    """A small server that keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers.items()), body))
                self.send_response(outer.status)
                if outer.status in (301, 307):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=hidden"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_webhook_is_signed_and_named(receiver: Receiver) -> None:
    assert post_signed(receiver.url, {"site": "euw4"}, ["shared", "next"], "run/step", 10) == 204
    [(headers, body)] = receiver.got
    headers = {name.lower(): value for name, value in headers.items()}
    assert body == b'{"site":"euw4"}' and headers[ID_HEADER] == "run/step"
    at = int(headers[TIME_HEADER])
    for secret in (b"shared", b"next"):
        assert signature_problem(headers, [secret], body, at) is None
    assert signature_problem(headers, [b"other"], body, at) == "its signature is not one of this secret"
    assert signature_problem(headers, [b"shared"], body + b" ", at) == "its signature is not one of this secret"
    for changed in ({ID_HEADER: "run/other"}, {TIME_HEADER: str(at + 1)}):
        assert signature_problem(headers | changed, [b"shared"], body, at) == "its signature is not one of this secret"
    assert signature_problem(headers, [b"shared"], body, at + 301) == "it is too old, or of the future"
    assert "v1,…" in (signature_problem(headers | {SIGNATURE_HEADER: "v1,x v1a,y"}, [b"shared"], body, at) or "")
    assert "webhook-id" in (signature_problem(headers | {ID_HEADER: "a.b"}, [b"shared"], body, at) or "")


def test_the_signature_is_the_one_that_the_standard_publishes() -> None:
    """The example of the reference libraries of Standard Webhooks."""
    body, secret = b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signed_headers([key_of(secret)], "msg_p5jXN8AQM9LWM0D4loKWxJek", body, 1614265330)
    assert made[SIGNATURE_HEADER] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert key_of("plain") == b"plain" and key_of("whsec_*") == b"whsec_*"
    assert message_id("r1/step") == "r1/step" and message_id("a.b") == message_id("a.b") != message_id("a.c")
    assert "." not in message_id("a.b") and message_id("a\nb").isprintable()


def test_who_answers_byte_by_byte_is_not_waited_for() -> None:
    """Each byte would come in time, and the answer never ends."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with listener.accept()[0] as connection, suppress(OSError):
                while not ending.wait(0.05):
                    connection.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(FailedError, match="does not answer") as raised:
                post_signed(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, "s", "k", 0.5)
        finally:
            ending.set()
            thread.join()
    assert raised.value.retry


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (400, False), (307, False)])
def test_what_a_webhook_answers_decides(receiver: Receiver, status: int, again: bool) -> None:
    receiver.status = status
    with pytest.raises(FailedError, match=f"says {status}") as raised:
        post_signed(receiver.url, {}, "s", "k", 10)
    assert raised.value.retry is again and len(receiver.got) == 1 and "hidden" not in str(raised.value)
    assert post_signed(receiver.url, {}, "s", "k", 10, expect=status) == status


def test_what_fails_does_not_say_the_path_that_lets_one_in(receiver: Receiver) -> None:
    receiver.status = 503
    base = receiver.url.partition("/hook")[0]
    for url in (f"{base}/services/T0/B0/hunter2", f"{base}/hunter2 two", "http://127.0.0.1:1/hunter2"):
        with pytest.raises(FailedError) as raised:
            post_signed(url, {}, "s", "k", 10)
        assert "hunter2" not in f"{raised.value} {raised.value.hint} {raised.value.object_name}"
        assert "127.0.0.1" in str(raised.value)


def test_nothing_is_sent_plainly_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> Any:
        raise AssertionError("something was sent")

    monkeypatch.setattr(webhooks, "posted", refuse)
    for url in ("http://example.org/x", "ftp://127.0.0.1/", "https://u:p@127.0.0.1/", "https:///x", "http://[::1"):
        with pytest.raises(RefusedError, match="nothing is sent to"):
            post_signed(url, {}, "s", "k", 1)
    for url in ("http://localhost:1/", "http://[::1]:1/", "https://example.org/"):
        assert url_problem(url) is None


def test_over_tls_who_receives_has_to_be_known(receiver: Receiver, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    url = receiver.url.replace("http:", "https:")
    with pytest.raises(FailedError, match="certificate") as unknown:
        post_signed(url, {}, "s", "k", 10)
    assert unknown.value.retry and receiver.got == []
    assert post_signed(url, {}, "s", "k", 10, ca=str(made.root)) == 204
    for path in (tmp_path / "none.pem", made.key):
        with pytest.raises(FailedError, match="cannot be read"):
            post_signed(url, {}, "s", "k", 10, ca=str(path))
    assert len(receiver.got) == 1


def test_whether_somebody_listens_is_seen(receiver: Receiver) -> None:
    assert reach_problem(receiver.url) is None and receiver.got == []
    assert "does not answer" in (reach_problem("http://127.0.0.1:1/") or "")


def test_traffic_is_sent_and_taken_back(tmp_path: Path) -> None:
    file = TrafficFile(tmp_path / "llama.json")
    assert file.problem() is None and file.read() is None
    assert file.send("llama", "euw4", "r1", "r1/traffic") == ""
    assert file.send("llama", "euw4", "r1", "r1/traffic") == ""  # once more
    assert file.read() == Sent(asset="llama", site="euw4", run="r1", key="r1/traffic")
    file.undo("r1/traffic")
    assert file.read() is None
    file.send("llama", "use1", "r0", "r0/traffic")
    assert file.send("llama", "euw4", "r1", "r1/traffic") == "use1"
    file.undo("r2/traffic")
    assert file.read() is not None
    file.undo("r1/traffic")
    file.undo("r1/traffic")
    now = file.read()
    assert now is not None and (now.site, now.key) == ("use1", "r0/traffic")
    (tmp_path / "llama.json").write_text("a table of somebody's")
    with pytest.raises(HoldfastError, match="does not say where traffic goes"):
        file.send("llama", "euw4", "r1", "r1/traffic")
    assert TrafficFile(tmp_path / "no/llama.json").problem() == f"there is no folder {tmp_path / 'no'}"
