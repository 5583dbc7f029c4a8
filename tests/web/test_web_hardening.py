"""Logs without secrets, what a server keeps, who is no person, connections that would be held for ever."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from tests.web.conftest import ORIGIN, Served

from holdfast.cli.serving import operations
from holdfast.control.service import events as eventing
from holdfast.control.service import kept as keeping
from holdfast.control.service.context import open_service
from holdfast.control.service.events import EventLine
from holdfast.control.service.kept import Kept, SessionRow
from holdfast.errors import FailedError
from holdfast.recovery.reviewing.persons import Persons
from holdfast.web import connections
from holdfast.web.api import events as streams
from holdfast.web.app import create_app
from holdfast.web.logs import _Lines
from holdfast.web.settings import ServerSettings


@pytest.mark.parametrize(
    "text", ["a bad Bearer hfk_abcdefghij", "hft_" + "A" * 43, "eyJhbGciOi.eyJzdWIiOi.c2ln", "https://u:p4ss@host/x"]
)
def test_a_line_of_the_log_stays_json_and_holds_no_secret(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s", (text,), None)
    record.facts = {"who": text, "place": [text], text: "name\nof two lines"}
    line = _Lines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert told["from"] == "x"
    for secret in ("hfk_abc", "AAAAAA", "c2ln", "p4ss"):
        assert secret not in line


def test_a_busy_file_of_sessions_is_not_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a server that starts beside another signs everybody out, and forgets which requests were done."""
    path = tmp_path / "kept.sqlite"
    first = Kept(path)
    first.add_session("s" * 43, SessionRow("c", b"{}", 1, 1, 2**60))
    first.close()
    monkeypatch.setattr(keeping, "_BUSY_S", 0.1)
    busy = sqlite3.connect(path, isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    with pytest.raises(FailedError, match="locked"):
        Kept(path)
    busy.execute("ROLLBACK")
    busy.close()
    again = Kept(path)
    assert again.session("s" * 43) is not None
    again.close()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    fresh = Kept(path)
    assert fresh.session("s" * 43) is None
    fresh.close()


def test_a_control_plane_is_no_person() -> None:
    """Any keeper may sign for one: it neither approves nor says that it asked."""
    persons = Persons(vouchers=frozenset({"server"}))
    assert not persons.may_say("plane:0123")
    assert not persons.may_say("plane:0123/bob")
    assert persons.may_say("alice")
    assert persons.may_say("server/bob")


class Live(NamedTuple):
    port: int
    served: Served
    server: uvicorn.Server
    line: EventLine

    def watching(self, last: str = "", *, buffer: int = 0) -> socket.socket:
        """A viewer of all events. `buffer`: how many bytes its machine takes that it has not read."""
        made = socket.socket()
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.settimeout(30)
        made.connect(("127.0.0.1", self.port))
        head = f"Host: testserver.local\r\nAuthorization: {self.served.headers('owner')['Authorization']}\r\n"
        head += f"Last-Event-ID: {last}\r\n" if last else ""
        made.sendall(f"GET /api/v1/events HTTP/1.1\r\n{head}\r\n".encode())
        return made

    def sent(self, data: bytes) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        made.sendall(data)
        return made

    def asked(self, data: bytes) -> bytes:
        with self.sent(data) as one:
            return all_of(one)


def all_of(one: socket.socket) -> bytes:
    parts = []
    while data := one.recv(65536):
        parts.append(data)
    return b"".join(parts)


@pytest.fixture(scope="module")
def live(served: Served) -> Iterator[Live]:
    service = open_service(served.folder / "holdfast.yaml", work=False)
    how = ServerSettings(tries=1_000_000, requests=1e6, poll_s=0.1, standing_s=0.2, heartbeat_s=0.1)
    app = create_app(service, how, operations(), routes=())
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, http=connections.Patient, ws="none", log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    patch = pytest.MonkeyPatch()

    async def on_tick(counter: int) -> bool:
        connections.end_idle(server.server_state.connections, time.monotonic())
        return bool(server.should_exit)

    patch.setattr(server, "on_tick", on_tick)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Live(listener.getsockname()[1], served, server, app.state.events)
    server.should_exit = True
    thread.join(10)
    patch.undo()
    service.close()


def test_a_stream_ends_with_its_session(live: Live) -> None:
    cookies = live.served.login("owner")
    head = f"Host: testserver.local\r\nCookie: holdfast={cookies['holdfast']}\r\n\r\n"
    with live.sent(f"GET /api/v1/events HTTP/1.1\r\n{head}".encode()) as stream:
        seen = b""
        while seen.count(b": heartbeat") < 4:  # it goes on for as long as the session does
            seen += stream.recv(65536)
        live.served.app.state.kept.end_session(cookies["holdfast"])
        begun = time.monotonic()
        all_of(stream)
        assert time.monotonic() - begun < 3


def test_the_head_of_a_request_does_not_trickle_for_ever(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    nothing = live.sent(b"")
    half = live.sent(b"GET /health/live HTTP/1.1\r\nHost: testserver.local\r\nX-A: b")
    second = live.sent(b"GET /health/live HTTP/1.1\r\nHost: testserver.local\r\n\r\n")
    assert second.recv(65536)
    second.sendall(b"GET /health/live HT")
    for one in (nothing, half, second):
        with one:
            try:
                all_of(one)
            except ConnectionResetError:
                continue


def test_bodies_that_two_readers_would_cut_differently_are_refused(live: Live) -> None:
    host = b"Host: testserver.local\r\n"
    for more in (
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length : 5\r\n\r\nabcde",
        b"Host: testserver.local\r\n\r\n",
    ):
        answer = live.asked(b"POST /session HTTP/1.1\r\nConnection: close\r\n" + host + more)
        assert b" 400 " in answer.split(b"\r\n")[0] or b" 501 " in answer.split(b"\r\n")[0], (more, answer)


def test_what_no_client_library_would_send(live: Live) -> None:
    """Paths that climb, heads that are too long, values over two lines: refused, and nothing of them comes back."""
    host, end = b"Host: testserver.local\r\n", b"Connection: close\r\n\r\n"
    for path in (
        b"/static/../../../../etc/passwd",
        b"/../etc/passwd",
        b"//etc/passwd",
        b"/static/%00",
        b"http://evil/",
        b"*",
    ):
        answer = live.asked(b"GET " + path + b" HTTP/1.1\r\n" + host + end)
        assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"404"), (path, answer)
        assert b"root:" not in answer
    for line in (
        b"Authorization: Bearer " + b"e" * 40_000,
        b"X-Request-Id: abcdefgh\r\n X-Evil: 1",
        b"X-Request-Id: abcdefgh\x00",
        b"X-Request-Id: abcdefgh\rX-Evil: 1",
    ):
        answer = live.asked(b"GET /api/v1/sites HTTP/1.1\r\n" + host + line + b"\r\n" + end)
        assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"401", b"431"), (line[:40], answer)
        assert b"X-Evil" not in answer


def test_length_and_chunks_at_once_leave_no_second_request(live: Live) -> None:
    """A proxy that counts by the length would take what follows the chunks for a part of the body."""
    hidden = b"GET /api/v1/sites HTTP/1.1\r\nHost: testserver.local\r\n\r\n"
    head = b"POST /session HTTP/1.1\r\nHost: testserver.local\r\nOrigin: " + ORIGIN.encode()
    size = 5 + len(hidden)
    head += f"\r\nContent-Length: {size}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    answer = live.asked(head + b"0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1, answer


def test_others_at_an_address_do_not_keep_out_who_is_signed_in(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = served.login("owner")
    monkeypatch.setattr(served.app.state.failures, "wait", lambda address: 5.0)
    assert served.client.get("/api/v1/sites", headers=served.headers("owner")).status_code == 429
    assert served.client.get("/api/v1/sites", cookies=cookies).status_code == 200


def numbers_of(data: bytes) -> tuple[list[int], str]:
    """Of the events that came whole: the numbers that they carry, and the last id, as a browser keeps it."""
    found, last = [], ""
    for block in data.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
        last = fields.get(b"id", last.encode()).decode()
        if fields.get(b"event") == b"work":
            found.append(json.loads(fields[b"data"])["number"])
    return found, last


def body_of(data: bytes) -> bytes:
    """Without the sizes of its chunks; also of an answer that was cut off."""
    _, _, rest = data.partition(b"\r\n\r\n")
    parts = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)


def test_who_reads_nothing_is_let_go_and_keeps_nobody_waiting(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Twelve megabytes of events: more than lies between two machines. Whoever reads gets each of them meanwhile."""
    monkeypatch.setattr(streams, "_SLOW_S", 3.0)
    monkeypatch.setattr(connections, "TAKE_S", 0.5)
    many, got, whole = 400, bytearray(), threading.Event()

    def read() -> None:
        while not whole.is_set():
            got.extend(quick.recv(1 << 20))
            if got.endswith(b"\n\n\r\n") and b'{"number":%d,' % (many - 1) in got[-40_000:]:
                whole.set()

    quick, slow = live.watching(), live.watching(buffer=4096)
    with quick, slow:
        while live.line._wanted.get("", 0) < 2:
            time.sleep(0.01)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        held: list[int] = []
        for number in range(many):
            live.line._publish("work", {"number": number, "text": "x" * 30_000})
            held += [one.transport.get_write_buffer_size() for one in list(live.server.server_state.connections)]
        assert whole.wait(60)
        reader.join(10)
        held += [one.transport.get_write_buffer_size() for one in list(live.server.server_state.connections)]
        assert numbers_of(body_of(bytes(got)))[0] == list(range(many)), "each once, in order"
        assert max(held) < 4 * streams._PIECE, "what the server holds for who does not read"
        end = time.monotonic() + 60
        while live.line._wanted.get("", 0) > 1:
            assert time.monotonic() < end, "it was never let go"
            time.sleep(0.05)
        assert "a viewer was let go" in caplog.text
        [why] = [one.facts["why"] for one in caplog.records if one.getMessage() == "a viewer was let go"]
        assert "took nothing for 3 s" in why
        seen, last = numbers_of(body_of(what_is_left(slow)))
        assert seen == list(range(len(seen))) and len(seen) < many
    with live.watching(last) as again:
        rest = b""
        while b'{"number":%d,' % (many - 1) not in rest[-40_000:] or not rest.endswith(b"\n\n\r\n"):
            rest += again.recv(1 << 20)
        assert seen + numbers_of(body_of(rest))[0] == list(range(many)), "it goes on: none missed, none twice"


def what_is_left(one: socket.socket) -> bytes:
    parts = []
    try:
        while data := one.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_who_is_cut_off_before_anything_happened_misses_nothing(live: Live) -> None:
    with live.watching() as first:
        got = b""
        while b"\nid: " not in got:
            got += first.recv(65536)
    _, last = numbers_of(body_of(got))
    live.line._publish("work", {"number": 7})
    with live.watching(last) as again:
        got = b""
        while not numbers_of(body_of(got))[0]:
            got += again.recv(65536)
        assert numbers_of(body_of(got))[0] == [7]
    fresh = EventLine(live.served.app.state.service)
    assert fresh.place_after(fresh.id_before(0)) == 0
    fresh._publish("work", {"number": 1})
    assert fresh.place_after(fresh.id_before(0)) == 0
    assert fresh.place_after(fresh.id_before(1)) == 1


def test_large_events_do_not_fill_the_memory(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventing, "_RING_BYTES", 10_000)
    line = EventLine(served.app.state.service)
    for number in range(100):
        line._publish("work", b"x" * (20_000 if number == 50 else 1000))
        assert sum(len(one.data) for one in line._ring) <= 20_000
    assert (len(line._ring), line._ring_bytes) == (10, 10_000)
    assert line.since(89) is None and line.since(90) is not None
