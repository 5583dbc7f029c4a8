"""A server's own file: brought up to date, refused when newer, shared by two servers that get the same request."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.web.conftest import ORIGIN, Client, Served

from holdfast.cli.serving import operations
from holdfast.clock import NANOSECONDS
from holdfast.control.service import kept as keeping
from holdfast.control.service import renewing
from holdfast.control.service.context import open_service
from holdfast.control.service.kept import Answer, Claim, Kept, SessionRow, TokenRow
from holdfast.control.service.kept_tables import VERSION
from holdfast.control.working.processes import machine_of
from holdfast.errors import ConflictError, HoldfastError, UnsupportedFormatError
from holdfast.web.app import create_app
from holdfast.web.settings import ServerSettings

_S = NANOSECONDS
# As version 1 made it (before claims), with a session, a token, a device that waits, an answer, and a request that was
# under way when its server died.
_FIRST = """
CREATE TABLE sessions (digest BLOB PRIMARY KEY, csrf TEXT NOT NULL, who BLOB NOT NULL,
  begun INTEGER NOT NULL, seen INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tokens (digest BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
  who BLOB NOT NULL, scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE devices (digest BLOB PRIMARY KEY, code TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
  scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL, polled INTEGER NOT NULL, answer TEXT NOT NULL,
  who BLOB) WITHOUT ROWID;
CREATE TABLE answers (key BLOB PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL,
  memo BLOB, status INTEGER, headers BLOB, content BLOB) WITHOUT ROWID;
INSERT INTO sessions VALUES ({secret}, 'c', x'7b7d', 1, 2, 1000);
INSERT INTO tokens VALUES ({secret}, 't', 'laptop', x'7b7d', NULL, 1, 1000);
INSERT INTO devices VALUES ({secret}, 'ABCD', 'phone', NULL, 1, 1000, 0, '', NULL);
INSERT INTO answers VALUES (x'01', x'aa', 5, NULL, 201, x'7b7d', x'5b315d');
INSERT INTO answers VALUES (x'02', x'bb', 6, x'6d656d6f', NULL, NULL, NULL);
PRAGMA user_version = 1;
"""


def _first(path: Path) -> None:
    secret = f"x'{hashlib.sha256(b'secret').hexdigest()}'"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_FIRST.format(secret=secret)).close()


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        [version] = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _holds_what_it_held(path: Path) -> None:
    with closing(Kept(path)) as kept:
        assert kept.session("secret") == SessionRow("c", b"{}", 1, 2, 1000)
        assert kept.token("secret") == TokenRow("t", "laptop", b"{}", None, 1, 1000)
        device = kept.device("secret")
        assert device is not None and device.code == "ABCD"
        assert kept.begin_answer(b"\1", b"\xaa", 10, forget_before=0) == Answer(b"\xaa", 5, None, 201, b"{}", b"[1]")
        claim = kept.begin_answer(b"\2", b"\xbb", 10, forget_before=0)
        assert isinstance(claim, Claim) and claim.memo == b"memo", "it goes on by what was noted"
        kept.release(claim, forget=False)


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    _first(path)
    _holds_what_it_held(path)
    assert _version(path) == VERSION
    with closing(sqlite3.connect(path)) as database:  # the version before was started on it once more
        database.execute("PRAGMA user_version = 1")
    _holds_what_it_held(path)
    assert _version(path) == VERSION


def test_dying_half_way_leaves_the_old_version(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    _first(path)
    with mock.patch("holdfast.control.service.kept_tables.VERSION", "no number"), pytest.raises(Exception):  # noqa: B017
        Kept(path)
    with closing(sqlite3.connect(path)) as database:
        assert "claim" not in {row[1] for row in database.execute("PRAGMA table_info(answers)")}
    assert _version(path) == 1
    _holds_what_it_held(path)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    _first(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(UnsupportedFormatError, match="newer Holdfast") as refused:
        Kept(path)
    assert "update Holdfast" in refused.value.hint
    assert path.read_bytes() == before and not list(tmp_path.glob("*.damaged"))


_RACE = """
import sys
from pathlib import Path
from holdfast.control.service.kept import Claim, Kept
from holdfast.errors import ConflictError
kept, done = Kept(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    key = bytes([number])
    while True:
        try:
            begun = kept.begin_answer(key, b"body", 1000, forget_before=0)
        except ConflictError:
            continue
        break
    if isinstance(begun, Claim):
        with done.open("a") as file:
            file.write(f"{number}\\n")
        kept.end_answer(begun, 200, b"{}", b"%d" % number)
        kept.release(begun, forget=False)
    else:
        assert begun.content == b"%d" % number, begun
kept.close()
"""
_HOLD = """
import sys, time
from pathlib import Path
from holdfast.control.service.kept import Kept
kept = Kept(Path(sys.argv[1]))
claim = kept.begin_answer(b"k", b"body", time.time_ns(), forget_before=0)
kept.note_memo(claim, b"noted")
print("ready", flush=True)
time.sleep(600)
"""


def _started(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


def test_two_processes_do_each_request_once(tmp_path: Path) -> None:
    done = tmp_path / "done"
    racing = [_started(_RACE, str(tmp_path / "kept.sqlite"), str(done)) for _ in range(2)]
    for one in racing:
        assert one.stdin is not None
        one.stdin.write(b"go\n")
        one.stdin.flush()
    for one in racing:
        assert one.wait(60) == 0
        one.communicate()
    assert sorted(map(int, done.read_text().split())) == list(range(60))


def test_what_a_killed_server_had_is_taken_over_and_of_a_living_one_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.sqlite"
    holder = _started(_HOLD, str(path))
    now = [10**18]
    with closing(Kept(path)) as kept:
        for later in (0, 3600 * _S):  # it lives, so it does not matter how long it takes
            with pytest.raises(ConflictError, match="being done now"):
                kept.begin_answer(b"k", b"body", now[0] + later, forget_before=0)
        monkeypatch.setattr(keeping, "machine_of", lambda: f"{machine_of()}-elsewhere")  # no process is seen from there
        holder.send_signal(signal.SIGSTOP)  # so that it renews nothing
        with closing(sqlite3.connect(path)) as database:
            [lease] = database.execute("SELECT lease FROM answers").fetchone()
        with pytest.raises(ConflictError):
            kept.begin_answer(b"k", b"body", lease - 1, forget_before=0)
        taken = kept.begin_answer(b"k", b"body", lease, forget_before=0)
        assert isinstance(taken, Claim) and taken.memo == b"noted"
        kept.release(taken, forget=False)
        monkeypatch.undo()
        holder.kill()
        holder.wait()
        holder.communicate()
        again = kept.begin_answer(b"k", b"body", 1, forget_before=0)
        assert isinstance(again, Claim) and again.memo == b"noted"
        with pytest.raises(ConflictError, match="taken over"):  # whoever had it and comes back changes nothing
            kept.end_answer(taken, 200, b"{}", b"old")
        with pytest.raises(ConflictError, match="taken over"):
            kept.note_memo(taken, b"old")
        kept.end_answer(again, 200, b"{}", b"new")
        found = kept.begin_answer(b"k", b"body", 2, forget_before=0)
        assert isinstance(found, Answer) and found.content == b"new"


def test_one_killed_at_once_is_seen_by_its_process(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    holder = _started(_HOLD, str(path))
    holder.kill()
    holder.wait()
    holder.communicate()
    with closing(Kept(path)) as kept:
        claim = kept.begin_answer(b"k", b"body", 1, forget_before=0)
        assert isinstance(claim, Claim) and claim.memo == b"noted"
        kept.release(claim, forget=True)


def test_who_does_it_renews_its_lease(tmp_path: Path) -> None:
    with closing(Kept(tmp_path / "kept.sqlite")) as kept:
        claim = kept.begin_answer(b"k", b"body", 1000 * _S, forget_before=0)
        assert isinstance(claim, Claim)
        kept.renew_claims(2000 * _S)
        with closing(sqlite3.connect(kept.path)) as database:
            assert database.execute("SELECT lease FROM answers").fetchone() == (2030 * _S,)


def test_what_could_not_be_released_on_a_full_disk_is_released_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_RENEW_S", 0.02)
    with closing(Kept(tmp_path / "kept.sqlite")) as kept:
        claim = kept.begin_answer(b"k", b"body", 1, forget_before=0)
        assert isinstance(claim, Claim)
        kept.note_memo(claim, b"noted")
        kept._database.execute("PRAGMA query_only = ON").close()  # nothing can be written
        with pytest.raises(HoldfastError, match="cannot be written"):
            kept.release(claim, forget=False)
        kept._database.execute("PRAGMA query_only = OFF").close()
        until = time.monotonic() + 30
        while True:  # this server lives, so nobody else could ever take it over
            try:
                again = kept.begin_answer(b"k", b"body", 2, forget_before=0)
                break
            except ConflictError:
                assert time.monotonic() < until
                time.sleep(0.02)
        assert isinstance(again, Claim) and again.memo == b"noted"
        kept.release(again, forget=True)


def test_two_servers_of_one_file_make_one_plan(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is held in the middle; the second says so, and afterwards answers what the first one did."""
    verbs = operations()
    entered, go = threading.Event(), threading.Event()
    made: list[Any] = []

    def held(one: Any) -> Any:
        if one.name != "recover.plan":
            return one

        def does(asking: Any, given: Any) -> Any:
            made.append(given)
            entered.set()
            assert go.wait(60)
            return one.does(asking, given)

        return one._replace(does=does)

    settings = ServerSettings(tries=1_000_000, requests=1e6, poll_s=0.1)
    service = open_service(served.folder / "holdfast.yaml", work=False)
    app = create_app(service, settings, [held(one) for one in verbs], routes=())
    body = {"name": "elsewhere", "target": str(served.folder / "back" / "two")}
    headers = {**served.headers("operator"), "Idempotency-Key": "two-servers"}

    def ask(client: Client) -> Any:
        return client.post("/api/v1/plans", json=body, headers=headers)

    with Client(app, base_url=ORIGIN) as first, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, first)
        assert entered.wait(60)
        refused = ask(served.client)
        go.set()
        answered = asking.result(60)
        again = ask(served.client)
    service.close()
    assert refused.status_code == 409 and "being done now" in refused.text
    assert answered.status_code == 201 and again.status_code == 201
    assert json.loads(again.text) == json.loads(answered.text)
    assert again.headers["Idempotent-Replayed"] == "true" and len(made) == 1
