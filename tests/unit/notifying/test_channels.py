"""Each way to tell somebody, against a little server that checks what arrives; and that no secret shows anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from holdfast.config.notify_model import Channel
from holdfast.config.words import Reference
from holdfast.notifying.channels.alertmanager import AlertmanagerSender
from holdfast.notifying.channels.mail import MailSender
from holdfast.notifying.channels.opening import open_channel
from holdfast.notifying.channels.pagerduty import PagerDutySender
from holdfast.notifying.channels.slack import SlackSender
from holdfast.notifying.channels.webhook import WebhookSender
from holdfast.notifying.model import Action, Message, Notice
from holdfast.trust.webhook_signatures import signature_problem

S = 1_000_000_000
T0 = 1_795_000_000 * S
KEY = "R0UTINGKEY-that-nobody-sees"


def _message(action: Action = Action.TRIGGER, **changed: Any) -> Message:
    said = {
        "key": "abc-000001",
        "kind": "probe",
        "subject": "trainer",
        "severity": "critical",
        "title": "trainer: <gone> & away",
        "text": "two of two say so",
        "asset": "run",
        "site": "use1",
        "noticed_at": T0,
        "resolved_at": T0 + S if action is Action.RESOLVE else 0,
    }
    notice = Notice(**(said | changed))
    summary = notice.title
    return Message(
        id=f"{notice.key}/s/c", action=action, notice=notice, summary=summary, text=notice.text, at=T0, facts={"a": "b"}
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        status, headers = self.server.answers.pop(0) if self.server.answers else (202, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


# As https://developer.pagerduty.com/api-reference/368ae3d938c9e-send-an-event-to-pager-duty has it.
_PAGERDUTY = {
    "type": "object",
    "required": ["routing_key", "event_action"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string"},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "client": {"type": "string"},
        "client_url": {"type": "string"},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}


def test_pagerduty_gets_one_key_from_trigger_to_resolve(server: _Server) -> None:
    sender = PagerDutySender(KEY, f"{server.url}/v2/enqueue", "acme")
    for action in Action:
        assert sender.send([_message(action, title="x" * 2000)]).sent
    events = [json.loads(body) for _, _, body in server.got]
    for event in events:
        jsonschema.validate(event, _PAGERDUTY)
        assert event["routing_key"] == KEY and event["dedup_key"] == "abc-000001"
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert events[0]["payload"]["source"] == "use1" and "payload" not in events[2]


def test_slack_gets_text_and_blocks_and_nobody_is_called_by_what_others_wrote(server: _Server) -> None:
    server.answers = [(200, {})] * 2
    sender = SlackSender(f"{server.url}/services/T0/B0/{KEY}")
    assert sender.send([_message()]).sent
    assert sender.send([_message(key=f"k-{number}", text="<!channel>" * 900) for number in range(30)]).sent
    first, second = (json.loads(body) for _, _, body in server.got)
    assert first["text"] == "[FIRING] trainer: &lt;gone&gt; &amp; away"
    assert len(first["blocks"]) == 1 and len(second["blocks"]) == 21 and "(and 29 more)" in second["text"]
    for block in second["blocks"]:
        assert block["type"] == "section" and block["text"]["type"] == "mrkdwn"
        assert len(block["text"]["text"]) <= 3000 and "<!channel>" not in block["text"]["text"]


def test_a_webhook_is_signed_and_each_attempt_has_the_same_key(server: _Server) -> None:
    sender = WebhookSender(f"{server.url}/in?x=1", KEY, "acme", seconds=lambda: 1_795_000_000.9)
    assert sender.send([_message()]).sent and sender.send([_message()]).sent
    (path, headers, body), (_, again, _) = server.got
    signed = b"abc-000001/s/c.1795000000." + body
    expected = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}" and path == "/in?x=1"
    assert signature_problem(headers, [KEY.encode()], body, 1_795_000_100) is None
    assert headers["webhook-id"] == again["webhook-id"] == "abc-000001/s/c"
    assert json.loads(body)["dedup_key"] == "abc-000001"


def test_alertmanager_gets_the_same_labels_from_first_to_last(server: _Server) -> None:
    server.answers = [(200, {})] * 2
    sender = AlertmanagerSender(server.url, "acme")
    assert sender.send([_message()]).sent and sender.send([_message(Action.RESOLVE)]).sent
    [first], [last] = (json.loads(body) for _, _, body in server.got)
    assert server.got[0][0] == "/api/v2/alerts"
    assert first["labels"] == last["labels"] and first["labels"]["incident"] == "abc-000001"
    assert first["endsAt"] > "2026-12" > last["endsAt"] > first["startsAt"]


@pytest.mark.parametrize(
    ("status", "headers", "again", "after"),
    [
        (400, {}, False, 0.0),
        (404, {}, False, 0.0),
        (429, {"Retry-After": "7"}, True, 7.0),
        (503, {}, True, 0.0),
        (302, {"Location": "http://127.0.0.1:1/"}, False, 0.0),
        (200, {}, False, 0.0),
    ],
)
def test_what_a_server_answers(
    server: _Server, status: int, headers: dict[str, str], again: bool, after: float
) -> None:
    server.answers = [(status, headers)]
    outcome = PagerDutySender(KEY, server.url, "acme").send([_message()])
    assert not outcome.sent and outcome.again is again and outcome.after_s == after
    assert str(status) in outcome.why and KEY not in outcome.why and len(server.got) == 1


def test_who_is_not_there_and_who_may_not_hear_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gone = SlackSender(f"http://127.0.0.1:{port}/{KEY}").send([_message()])
    assert not gone.sent and gone.again and KEY not in gone.why
    for url in (f"http://example.invalid/{KEY}", f"ftp://127.0.0.1/{KEY}", f"http://[::/{KEY}", KEY):
        refused = SlackSender(url).send([_message()])
        assert not refused.sent and not refused.again and KEY not in refused.why
    folder = Path("/")
    slack = Channel(kind="slack", secret=Reference("environment", "SLACK"))
    assert KEY not in repr(open_channel(slack, folder, {"SLACK": f"https://h/{KEY}"}, "acme"))


class _Smtp(threading.Thread):
    """A mail server of one file: it speaks as RFC 5321 asks for, and keeps what it gets."""

    def __init__(self, context: ssl.SSLContext | None, at_once: bool = False) -> None:
        super().__init__(daemon=True)
        self.context, self.at_once = context, at_once
        self.mails: list[bytes] = []
        self.said: list[str] = []
        self.code = 250
        self.opened: list[Any] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                self._serve(connection)
            except (OSError, ValueError):
                continue
            finally:
                for one in (*self.opened, connection):
                    one.close()
                self.opened.clear()

    def _serve(self, connection: socket.socket) -> None:
        if self.at_once and self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True)
        stream = connection.makefile("rwb", buffering=0)
        self.opened += [stream, connection]
        stream.write(b"220 here\r\n")
        while line := stream.readline():
            word = line.decode().strip()
            self.said.append(word)
            verb = word.split()[0].upper() if word else ""
            if verb == "EHLO":
                tls = b"250-STARTTLS\r\n" if self.context and not self.at_once else b""
                stream.write(b"250-here\r\n" + tls + b"250 AUTH PLAIN\r\n")
            elif verb == "STARTTLS":
                assert self.context is not None
                stream.write(b"220 go on\r\n")
                connection = self.context.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rwb", buffering=0)
                self.opened += [stream, connection]
            elif verb == "AUTH":
                stream.write(b"235 welcome\r\n")
            elif verb == "DATA":
                stream.write(b"354 say it\r\n")
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += stream.readline()
                self.mails.append(data)
                stream.write(b"250 taken\r\n")
            elif verb == "QUIT":
                stream.write(b"221 bye\r\n")
                return
            elif verb == "MAIL":
                stream.write(f"{self.code} {KEY}\r\n".encode())
            else:
                stream.write(b"250 ok\r\n")


@contextmanager
def _smtp(context: ssl.SSLContext | None = None, at_once: bool = False) -> Iterator[_Smtp]:
    server = _Smtp(context, at_once)
    server.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.join(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    )
    signed = builder.sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_a_line_that_nobody_reads(certificate: Path, tls: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with _smtp(context, at_once=tls == "tls") as server:
        address = f"127.0.0.1:{server.port}"
        sender = MailSender(address, tls, "me", KEY, "dr@acme.example", ["a@b.example"], "acme", str(certificate))
        hostile = msgspec.structs.replace(_message(title="gone\r\nBcc: evil@example.com"), id="another")
        assert sender.send([_message()]).sent and sender.send([_message()]).sent and sender.send([hostile]).sent
        untrusting = MailSender(address, tls, "me", KEY, "dr@acme.example", ["a@b.example"], "acme")
        outcome = untrusting.send([_message()])
        assert not outcome.sent and KEY not in outcome.why
    first, again, bad = (message_from_bytes(one) for one in server.mails)
    assert first["Message-ID"] == again["Message-ID"] != bad["Message-ID"]
    assert first["References"] == bad["References"] == "<incident.abc-000001@acme.example>"
    assert bad["Bcc"] is None and "gone Bcc: evil@example.com" in bad["Subject"]
    order = [one.split()[0] for one in server.said if one]
    if tls == "starttls":
        assert order.index("STARTTLS") < order.index("AUTH")


def test_a_mail_server_that_refuses_and_a_password_that_stays() -> None:
    with _smtp() as server:
        plain = MailSender(f"127.0.0.1:{server.port}", "none", "", "", "a@b", ["c@d"], "acme")
        assert plain.send([_message()]).sent
        for code, again in ((550, False), (451, True)):
            server.code = code
            outcome = plain.send([_message()])
            assert (outcome.sent, outcome.again) == (False, again)
            assert str(code) in outcome.why and KEY not in outcome.why
        # A server without TLS gets nothing at all.
        said = len(server.said)
        upgrading = MailSender(f"127.0.0.1:{server.port}", "starttls", "me", KEY, "a@b", ["c@d"], "acme")
        assert not upgrading.send([_message()]).sent
        assert not any("AUTH" in one for one in server.said[said:])
    far = MailSender("192.0.2.1:25", "none", "me", KEY, "a@b", ["c@d"], "acme").send([_message()])
    assert not far.sent and not far.again and KEY not in far.why
