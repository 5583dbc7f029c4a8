"""A server's databases come back from the vault: killed, its folder deleted, restored as docs/server.md says."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import main
from holdfast.config.parsing import check_config
from holdfast.control.service import backing_up
from holdfast.control.service.backing_up import Backups, back_up
from holdfast.control.service.context import Service, open_service
from holdfast.control.service.databases import copy_databases, copy_sqlite
from holdfast.control.service.health import Health
from holdfast.control.service.kept import Answer, Claim, Kept, SessionRow, kept_place
from holdfast.control.vaults.opening import create
from holdfast.control.working.schedules import Scheduler
from holdfast.errors import ConflictError, DamageError, FailedError, NotFoundError
from holdfast.testing.postgres import PostgresServer
from holdfast.vault.snapshots.finding import list_roots

DOCS = Path(__file__).parents[2] / "docs" / "server.md"


def _declare(folder: Path, **serve: Any) -> None:
    sites = {
        name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": {"warm": {"url": str(folder / name)}}}
        for name in "ab"
    }
    place = {"synchronous": ["a"], "asynchronous": ["b"]}
    assets = {
        "model": {"class": "training", "place": place},
        "control-plane": {"class": "development", "save_every": "30min", "place": place},
    }
    file = {"version": 1, "organisation": "acme", "sites": sites, "assets": assets}
    (folder / "holdfast.yaml").write_text(json.dumps(file | {"serve": {"backup": "control-plane", **serve}}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("HOLDFAST_CONFIG", str(tmp_path / "holdfast.yaml"))
    for name in ("HOLDFAST_WORK_DB", "HOLDFAST_CATALOG", "HOLDFAST_SERVER"):
        monkeypatch.delenv(name, raising=False)
    _declare(tmp_path)
    create(str(tmp_path / "a"))
    assert main(["replicate", str(tmp_path / "a"), str(tmp_path / "b"), "-q"]) == 0
    return tmp_path


def _restored_as_documented(folder: Path) -> None:
    """The commands of the page, in a shell, with the folders of this test."""
    [block] = re.findall(r"<!-- restore -->\n```console\n(.*?)```", DOCS.read_text(), re.DOTALL)
    lines = [line[2:].partition("  #")[0] for line in block.splitlines() if line.startswith("$ ")]
    lines = [line for line in lines if not line.startswith("systemctl")]
    holdfast = f"{sys.executable} -m holdfast.cli.main"
    script = "set -e\n" + "\n".join(re.sub(r"^holdfast ", f"{holdfast} ", line) for line in lines)
    environment = {**os.environ, "STATE": str(folder / "state" / "holdfast")}
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "holdfast restore control-plane" in block


def test_everything_is_as_before_after_the_folder_was_deleted(folder: Path) -> None:
    assert main(["catalog", "rebuild", "-q"]) == 0
    service = open_service(folder / "holdfast.yaml")
    queue: Any = service.workflows
    queue.submit("catalog.update", {}, key="waits", by="ann")
    Scheduler(queue.database, queue, lambda text: None).submit_due(service.loaded.config, service.clock.now_ns())
    before = [one.name for one in queue.schedules()]
    with closing(Kept(kept_place("acme", service.environment))) as kept:
        kept.add_session("secret", SessionRow("csrf-of-ann", b"{}", 1, 2, 1 << 62))
        claim = kept.begin_answer(b"k", b"body", 10, forget_before=0)
        assert isinstance(claim, Claim)
        kept.end_answer(claim, 201, b"{}", b"[1]")
        stop = threading.Event()

        def busy() -> None:  # it is written to while it is copied
            number = 0
            while not stop.is_set():
                number += 1
                kept.touch_session("secret", number)

        writing = threading.Thread(target=busy)
        writing.start()
        try:
            done = back_up(service)
        finally:
            stop.set()
            writing.join()
    assert [(one.name, bool(one.file)) for one in done.parts] == [("server", True), ("queue", True), ("catalog", True)]
    assert not (folder / "state/holdfast/backup/acme/state").exists(), "no copy lies in clear"
    stored = b"".join(path.read_bytes() for path in (folder / "a").rglob("*") if path.is_file())
    assert b"SQLite format 3" not in stored and b"csrf-of-ann" not in stored
    queue.close()
    service.close()

    shutil.rmtree(folder / "state" / "holdfast")  # the machine's disk is gone; keys and holdfast.yaml are not
    _restored_as_documented(folder)

    again = open_service(folder / "holdfast.yaml")
    with closing(Kept(kept_place("acme", again.environment))) as kept:
        row = kept.session("secret")
        assert row is not None and row.csrf == "csrf-of-ann"
        found = kept.begin_answer(b"k", b"body", 20, forget_before=0)
        assert isinstance(found, Answer) and (found.status, found.content) == (201, b"[1]")
    queue = again.workflows
    waits = queue.look("waits")
    assert waits is not None and waits.by == "ann" and [one.name for one in queue.schedules()] == before
    with again.catalog():
        pass
    for path in (folder / "state/holdfast").rglob("*.sqlite"):
        assert path.stat().st_mode & 0o077 == 0, path
    queue.close()
    again.close()


def test_a_server_backs_up_by_itself_and_says_when_it_cannot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backing_up, "_FIRST_S", 0.0)
    monkeypatch.setattr(backing_up, "_LOOK_S", 0.02)
    monkeypatch.setattr(backing_up, "_AGAIN_S", 0.05)
    service = open_service(folder / "holdfast.yaml", work=False)
    assert backing_up.interval_of(service) == 1800.0
    monkeypatch.setattr(backing_up, "interval_of", lambda service: 0.05)
    Kept(kept_place("acme", service.environment)).close()
    backups = Backups(service)
    with closing(Kept(folder / "other.sqlite")) as kept, closing(Health(service, kept)) as health:
        assert [(one.name, one.well) for one in health.look() if one.kind == "backup"] == [("control-plane", True)]
    (folder / "a").rename(folder / "away")
    backups.start()
    try:
        _until(lambda: bool(service.backup_problem))
        assert "there is none of this server" in service.backup_problem
        (folder / "away").rename(folder / "a")
        _until(lambda: not service.backup_problem)
    finally:
        backups.stop()
    service.close()
    assert _snapshots(folder) >= 1


def _until(true: Any) -> None:
    import time

    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def _snapshots(folder: Path) -> int:
    vault = open_service(folder / "holdfast.yaml", work=False).vault()
    return len(list_roots(vault.handle, "control-plane"))


def test_copies_that_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(open_service(folder / "holdfast.yaml", work=False).loaded)
    with pytest.raises(FailedError, match="cannot be copied"):
        back_up(service)  # no server ever ran here
    path = kept_place("acme", service.environment)
    Kept(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE many (x); INSERT INTO many VALUES (zeroblob(200000));").close()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    data = bytearray(path.read_bytes())
    data[8192:20000] = b"\xff" * (20000 - 8192)
    damaged = folder / "damaged.sqlite"
    damaged.write_bytes(data)
    with pytest.raises(DamageError):
        copy_sqlite(damaged, folder / "copy" / "x.sqlite")
    lock = backing_up._locked(folder / "state/holdfast/backup/acme")
    with pytest.raises(ConflictError, match="another server"):
        back_up(service)
    os.close(lock)
    file = json.loads((folder / "holdfast.yaml").read_text())
    del file["serve"]
    (folder / "holdfast.yaml").write_text(json.dumps(file))
    with pytest.raises(NotFoundError):
        back_up(Service(open_service(folder / "holdfast.yaml", work=False).loaded))


def test_half_a_copy_is_not_saved_and_no_password_is_an_argument(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(open_service(folder / "holdfast.yaml", work=False).loaded)
    kept = kept_place("acme", service.environment)
    Kept(kept).close()
    queue = folder / "state/holdfast/work/acme.sqlite"
    queue.parent.mkdir(parents=True)
    with closing(sqlite3.connect(queue)) as database:
        database.executescript("CREATE TABLE many (x); INSERT INTO many VALUES (zeroblob(200000));").close()
    data = bytearray(queue.read_bytes())
    data[8192:20000] = b"\xff" * (20000 - 8192)
    queue.write_bytes(data)
    parts = copy_databases(service, kept, folder / "one")
    assert [bool(one.file) for one in parts] == [True, False, False] and "damaged" in parts[1].left_out
    assert [path.name for path in (folder / "one").rglob("*.*")] == ["acme.sqlite"], "of sessions"

    program, said = folder / "bin" / "pg_dump", folder / "said"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {said}\necho "$PGPASSWORD" >> {said}\nexit 1\n')
    program.chmod(0o755)
    service.environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    address = "postgresql://ann@h/db?password=hunter2&sslmode=require"
    service.environment["HOLDFAST_WORK_DB"] = f"file:{folder / 'address'}"
    (folder / "address").write_text(address)
    (folder / "address").chmod(0o600)
    [left] = [one for one in copy_databases(service, kept, folder / "two") if one.name == "queue"]
    assert "pg_dump failed" in left.left_out and "hunter2" not in left.left_out
    arguments, password = said.read_text().splitlines()
    assert password == "hunter2" and "hunter2" not in arguments and "sslmode=require" in arguments


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backup": "control"}, "did you mean `control-plane`?"),
        ({"backup": "model"}, "a server's databases are saved alone"),
    ],
)
def test_what_cannot_be_declared(folder: Path, change: dict[str, str], said: str) -> None:
    file = json.loads((folder / "holdfast.yaml").read_text())
    file["assets"]["model"]["path"] = "/models"
    file["serve"] |= change
    problems = check_config(json.dumps(file).encode(), "x").problems
    assert any(said in one.message for one in problems), problems


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
def test_a_queue_in_postgresql_is_dumped_and_comes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-") as place, PostgresServer(Path(place) / "pg") as server:
        for name, value in {**server.environment, "HOLDFAST_WORK_DB": server.new_database()}.items():
            monkeypatch.setenv(name, value)
        service = open_service(folder / "holdfast.yaml")
        queue: Any = service.workflows
        queue.submit("catalog.update", {}, key="waits", by="ann")
        Kept(kept_place("acme", service.environment)).close()
        done = back_up(service)
        [part] = [one for one in done.parts if one.name == "queue"]
        assert part.file == "work/acme.pgdump" and part.bytes > 1000, part
        queue.close()
        assert main(["restore", "control-plane", str(folder / "back"), "-q"]) == 0
        fresh = server.new_database()
        subprocess.run(
            ["pg_restore", "--no-owner", f"--dbname={fresh}", str(folder / "back/work/acme.pgdump")],
            env={**os.environ, **server.environment},
            check=True,
            capture_output=True,
        )
        monkeypatch.setenv("HOLDFAST_WORK_DB", fresh)
        again: Any = open_service(folder / "holdfast.yaml").workflows
        assert again.look("waits").by == "ann"
        again.close()
        monkeypatch.setenv("PATH", "/nowhere")
        service.environment = dict(os.environ)
        [left] = [one for one in back_up(service).parts if one.name == "queue"]
        assert "pg_dump is not installed" in left.left_out
        service.close()
