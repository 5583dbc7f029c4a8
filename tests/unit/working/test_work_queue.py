"""The queue itself: keys, kinds, lanes, cancelling, garbage in it, places that cannot be."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Phase, open_workflows, require_key, run_key, submit_run
from holdfast.control.working import kinds
from holdfast.control.working.dbos_workflows import DbosWorkflows
from holdfast.control.working.happenings import Happened, log_line
from holdfast.control.working.jobs import Job
from holdfast.control.working.kinds import KINDS, kind_called
from holdfast.control.working.opening import open_queue
from holdfast.control.working.sayings import read_arguments, read_said, said_done, said_failed
from holdfast.control.working.schedules import Scheduler, declared_schedules
from holdfast.control.working.worker import Worker
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    NotFoundError,
    RefusedError,
    StoreUnreachableError,
    UsageError,
)

_HOUR = 3600 * NANOSECONDS


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeclaredSites:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    monkeypatch.delenv("HOLDFAST_WORK_DB", raising=False)
    return declared(tmp_path)


def declared(folder: Path, clock: ManualClock | None = None, **more: object) -> DeclaredSites:
    sites = {
        name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": {"warm": {"url": str(folder / name)}}}
        for name in ("home", "north")
    }
    file: dict[str, object] = {"version": 1, "organisation": "acme", "sites": sites} | more
    (folder / "holdfast.yaml").write_text(json.dumps(file))
    loaded = load_config(folder / "holdfast.yaml")
    return DeclaredSites(loaded) if clock is None else DeclaredSites(loaded, os.environ, clock)


_RECOVERIES = {
    "assets": {"llama": {"class": "training", "place": {"synchronous": ["home"], "asynchronous": ["north"]}}},
    "recoveries": {"llama-north": {"asset": "llama", "strategy": "BACKUP_AND_RESTORE", "to": ["north"]}},
    "drills": {"weekly": {"recovery": "llama-north", "level": "component", "every": "7d", "surprise_within": "2d"}},
}


@pytest.fixture
def queue(sites: DeclaredSites) -> Iterator[DbosWorkflows]:
    opened = open_queue(sites)
    yield opened
    opened.close()


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_same_key_is_the_same_work(queue: DbosWorkflows) -> None:
    first = queue.submit("site.sync", {"asset": "llama"}, key="k", by="ann")
    assert first.state is Phase.QUEUED and first.by == "ann" and first.arguments == {"asset": "llama"}
    assert queue.submit("site.sync", {"asset": "llama"}, key="k", by="bob") == first
    for kind, arguments in (("site.sync", {}), ("site.sync", {"asset": "other"}), ("catalog.update", {})):
        with pytest.raises(ConflictError, match="other work"):
            queue.submit(kind, arguments, key="k")
    assert queue.look("other") is None
    assert [one.key for one in queue.list()] == ["k"] and queue.list("catalog.update") == []


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("no.such", {}),
        ("recover.run", {}),
        ("recover.run", {"run": 7}),
        ("recover.run", {"run": "a", "more": "b"}),
        ("recover.run", {"run": "a\nb"}),
        ("recover.run", {"run": "a" * 4001}),
        ("recover.run", {"run": True}),
    ],
)
def test_work_that_cannot_be(queue: DbosWorkflows, kind: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        queue.submit(kind, arguments, key="k")
    assert queue.list() == []


def test_keys_and_places_that_cannot_be(queue: DbosWorkflows, sites: DeclaredSites, tmp_path: Path) -> None:
    for key in ("", " ", "a b", "/a", "a\n", "a" * 201, "ä"):
        with pytest.raises(UsageError):
            require_key(key)
    for place in (
        "mysql://a/b",
        "postgresql://u:secret@h/db",
        "postgresql://u@h",
        "postgresql://u@h/d?password=secret",
    ):
        with pytest.raises(UsageError) as refused:
            open_workflows(sites, place)
        assert "secret" not in f"{refused.value} {refused.value.hint}"
    address = tmp_path / "address"
    address.write_text("postgresql://u:secret@127.0.0.1:1/db\n")
    with pytest.raises(CredentialError, match="others may read"):
        open_workflows(sites, f"file:{address}")
    address.chmod(0o600)
    with pytest.raises(StoreUnreachableError) as silent:
        open_workflows(sites, f"file:{address}")
    assert "secret" not in f"{silent.value}" and "127.0.0.1" in f"{silent.value}"


def test_each_organisation_has_its_own(queue: DbosWorkflows, tmp_path: Path) -> None:
    other = declared(tmp_path, organisation="other")
    with pytest.raises(RefusedError, match="'acme'"):
        open_workflows(other, queue.shown)


def test_cancelled_before_it_begins(queue: DbosWorkflows) -> None:
    queue.submit("recover.run", {"run": "r"}, key="k", not_before_ns=time.time_ns() + _HOUR)
    assert queue.cancel("k").state is Phase.CANCELLED
    assert queue.cancel("k").state is Phase.CANCELLED
    with pytest.raises(NotFoundError):
        queue.cancel("other")


def test_a_run_is_submitted_anew_after_it_failed(queue: DbosWorkflows) -> None:
    first = submit_run(queue, "abc", asset="llama")
    assert first.key == run_key("abc") == submit_run(queue, "abc", asset="llama").key
    queue.cancel(first.key)
    second = submit_run(queue, "abc", asset="llama")
    assert second.key == "recover.run/abc#2" and second.state is Phase.QUEUED


def test_a_file_of_garbage(sites: DeclaredSites) -> None:
    opened = open_queue(sites)
    path = Path(opened.shown)
    opened.close()
    for file in path.parent.glob("*-*"):
        file.unlink()
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(DamageError) as damaged:
        open_workflows(sites)
    assert "worker run" in damaged.value.hint
    mended = open_queue(sites, mend=True)
    assert mended.list() == []
    assert [one.read_bytes() for one in path.parent.glob("*.damaged-*")] == [b"garbage" * 1000]
    mended.close()


class _Planted:
    """What a pickle of it does when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (self.path,)


def test_rows_of_garbage_stop_nobody(queue: DbosWorkflows, sites: DeclaredSites, tmp_path: Path) -> None:
    """Pickles that would run, kinds that nobody knows, states that cannot be: good work is done beside them."""
    told: list[Happened] = []
    for number in range(7):
        queue.submit("recover.check", {"name": f"n{number}"}, key=f"bad{number}", queue=f"lane{number}")
    planted = base64.b64encode(pickle.dumps(_Planted(str(tmp_path / "planted")))).decode()
    changes = (
        ("bad0", "inputs = :value, serialization = 'py_pickle'", planted),
        ("bad1", "inputs = :value", "{not json"),
        ("bad2", "inputs = :value", '{"positionalArgs": [[1, 2]], "namedArgs": {}}'),
        ("bad3", "name = :value", "nobody.knows"),
        ("bad4", "status = :value", "WHAT"),
        ("bad5", "inputs = :value", '{"positionalArgs": [{"name": {"a": []}}], "namedArgs": {}}'),
        ("bad6", "serialization = :value", "none.such"),
    )
    with queue.database.transaction() as connection:
        for key, change, value in changes:
            where = text(f"UPDATE workflow_status SET {change} WHERE workflow_uuid = :key")
            connection.execute(where, {"value": value, "key": key})
            if change.startswith("inputs"):  # where newer rows have them
                other = text("UPDATE workflow_input SET inputs = :value WHERE workflow_uuid = :key")
                connection.execute(other, {"value": value, "key": key})
    assert len(queue.list()) == 7
    queue.submit("recover.check", {"name": "nobody"}, key="good")
    worker = Worker(sites, queue, told=told.append, schedules=False, beat_s=0.2, dead_after_s=1.0)
    worker.start()
    try:
        _until(lambda: queue.look("good").state is Phase.FAILED)  # type: ignore[union-attr]
        assert queue.look("good").error.code == "not-found"  # type: ignore[union-attr]
        _until(lambda: all(queue.look(f"bad{n}").error is not None for n in (0, 1, 2, 4, 5)))  # type: ignore[union-attr]
        _until(lambda: all(queue.look(f"bad{n}").state is Phase.CANCELLED for n in (3, 6)))  # type: ignore[union-attr]
    finally:
        worker.stop(0.0)
    assert not (tmp_path / "planted").exists(), "no pickle is read"
    assert {one.work for one in told if one.what == "taken"} >= {"good"}


class _Probe:
    """A kind of work that tests hold up."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.together = 0
        self.most: dict[str, int] = {}
        self.go = threading.Event()
        self._running: list[str] = []
        self._lock = threading.Lock()

    def do(self, job: Job) -> dict[str, Any]:
        lane = job.text("name")
        with self._lock:
            self.begun.append(job.key)
            self.most[lane] = max(self.most.get(lane, 0), 1 + self._running.count(lane))
            self._running.append(lane)
        try:
            while not self.go.wait(0.05):
                job.pause_point()
        finally:
            with self._lock:
                self._running.remove(lane)
        return {"key": job.key, "nan": float("nan"), "bad": object()}  # type: ignore[dict-item]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> _Probe:
    made = _Probe()
    kind = KINDS["recover.check"]
    monkeypatch.setattr(kinds.Kind, "handler", lambda self: made.do if self.name == kind.name else None)
    return made


def test_lanes_cancelling_and_what_is_said(queue: DbosWorkflows, sites: DeclaredSites, probe: _Probe) -> None:
    told: list[Happened] = []
    worker = Worker(sites, queue, told=told.append, slots=5, schedules=False, beat_s=0.1)
    worker.start()
    try:
        with pytest.raises(RefusedError, match="already"):
            Worker(sites, queue).start()
        for number in range(3):
            queue.submit("recover.check", {"name": "a"}, key=f"a{number}")
        queue.submit("recover.check", {"name": "b"}, key="b0")
        _until(lambda: len(probe.begun) == 2)
        assert worker.running == sorted(probe.begun), "one of each lane"
        (running,) = [one for one in queue.workers() if one.name == worker.name]
        assert sorted(running.running) == worker.running
        assert queue.cancel("b0").state is Phase.CANCELLED
        _until(lambda: "b0" not in worker.running)
        probe.go.set()
        _until(lambda: all(queue.look(f"a{n}").state is Phase.DONE for n in range(3)))  # type: ignore[union-attr]
        assert probe.most == {"a": 1, "b": 1}
        assert queue.look("b0").state is Phase.CANCELLED  # type: ignore[union-attr]
        assert queue.look("a0").outcome == {"key": "a0"}, "what JSON cannot hold is left out"  # type: ignore[union-attr]
        with pytest.raises(RefusedError, match="has ended"):
            queue.cancel("a0")
        assert worker.is_idle()
    finally:
        probe.go.set()
        assert worker.stop(5.0) == []
    assert queue.workers() == []
    assert {"started", "taken", "done", "cancelled", "stopped"} <= {one.what for one in told}


def test_errors_that_pass_are_tried_again(
    queue: DbosWorkflows, sites: DeclaredSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def flaky(job: Job) -> dict[str, Any]:
        tried.append(job.attempt)
        if len(tried) < 3:
            raise StoreUnreachableError("not now")
        raise RefusedError("never", hint="ask somebody")

    monkeypatch.setattr(kinds.Kind, "handler", lambda self: flaky)
    monkeypatch.setitem(KINDS, "recover.check", KINDS["recover.check"]._replace(pauses=(0.05,) * 5))  # type: ignore[index]
    worker = Worker(sites, queue, schedules=False)
    worker.start()
    try:
        queue.submit("recover.check", {"name": "a"}, key="k")
        _until(lambda: queue.look("k").state is Phase.FAILED)  # type: ignore[union-attr]
    finally:
        worker.stop(0.0)
    found = queue.look("k")
    assert tried == [1, 2, 3] and found is not None and found.error is not None
    assert (found.error.code, found.error.message, found.error.hint) == ("refused", "never", "ask somebody")
    assert found.attempt == 1, "one worker did it all"


def test_schedules_of_the_file(tmp_path: Path, sites: DeclaredSites) -> None:
    clock = ManualClock(1_795_300_000 * NANOSECONDS)
    sites = declared(tmp_path, clock, **_RECOVERIES)
    names = {one.name: one for one in declared_schedules(sites.config)}
    assert set(names) == {
        "recover.check/llama-north/86400s",
        "drill.run/weekly/604800s",
        f"site.sync/{names_of_sync(names)}",
        "catalog.update/900s",
    }
    queue = open_queue(sites)
    told: list[str] = []
    try:
        scheduler = Scheduler(queue.database, queue, told.append)
        assert scheduler.submit_due(sites.config, clock.now_ns()) == [], "nothing from before it was known"
        clock.sleep(901)
        due = {one.key.rpartition("/")[0] for one in scheduler.submit_due(sites.config, clock.now_ns())}
        assert "schedule/catalog.update/900s" in due and not any("drill" in one for one in due)
        assert scheduler.submit_due(sites.config, clock.now_ns()) == []
        before = queue.schedules()
        drill = next(one for one in before if one.kind == "drill.run")
        assert drill.next_until_ns - drill.next_from_ns == 2 * 86_400 * NANOSECONDS and drill.arguments == {
            "name": "weekly"
        }
        begun = []
        drilled: list[int] = []
        until = drill.next_until_ns + 9 * 86_400 * NANOSECONDS  # two windows of the drill, a look each hour
        days = (until - clock.now_ns()) // (86_400 * NANOSECONDS)
        while clock.now_ns() < until:
            clock.sleep(3600)
            now = scheduler.submit_due(sites.config, clock.now_ns())
            begun += now
            drilled += [clock.now_ns() for one in now if one.kind == "drill.run"]
        assert days <= sum(one.kind == "recover.check" for one in begun) <= days + 1
        first, second = drilled  # once a week, somewhere in the window of that week
        hour, week = 3600 * NANOSECONDS, 7 * 86_400 * NANOSECONDS
        assert drill.next_from_ns <= first <= drill.next_until_ns + hour
        assert drill.next_from_ns + week <= second <= drill.next_until_ns + week + hour
        assert all(one.by == "schedule" for one in begun)
        clock.sleep(-20 * 86_400)
        again = scheduler.submit_due(sites.config, clock.now_ns())
        assert len(again) <= 3, "a clock that went back: at most one of each kind, of another period"
        clock.sleep(20 * 86_400)
        assert scheduler.submit_due(sites.config, clock.now_ns()) == []
        with queue.database.transaction() as connection:  # seen first when the clock was a year ahead
            connection.execute(text("UPDATE holdfast_schedules SET since_ns = since_ns + 31536000000000000"))
        assert scheduler.submit_due(sites.config, clock.now_ns()) == []
        clock.sleep(901)
        assert scheduler.submit_due(sites.config, clock.now_ns()), "it is not put off for a year"
        keys = [one.key for one in queue.list(limit=1000)]
        assert len(keys) == len(set(keys)) and not told
    finally:
        queue.close()


def names_of_sync(names: dict[str, Any]) -> str:
    (found,) = [name.removeprefix("site.sync/") for name in names if name.startswith("site.sync/")]
    return found


def test_schedules_can_be_set_and_left_out(tmp_path: Path, sites: DeclaredSites) -> None:
    work = {
        "check": {"every": "12h", "at": "01:30"},
        "sync": {"every": "5min"},
        "without": ["catalog.update", "drill.run"],
    }
    config = declared(tmp_path, **_RECOVERIES, work=work).config
    assert {one.name: (one.every, one.at) for one in declared_schedules(config)} == {
        "recover.check/llama-north/43200s": (43_200.0, 5400.0),
        "site.sync/300s": (300.0, 0.0),
    }


def test_what_was_said_is_read_without_trust() -> None:
    assert read_said(said_done({"a": 1, "b": "x" * 9999})).facts == {"a": 1, "b": "x" * 4000}
    failed = read_said(said_failed(StoreUnreachableError("no", hint="later")))
    assert failed.error is not None and failed.error.code == "store-unreachable" and failed.again
    bug = read_said(said_failed(ValueError("what")))
    assert bug.error is not None and bug.error.code == "unexpected" and not bug.again
    for garbage in (None, 7, [], "x", {"facts": 1}, {"error": {}}, {"facts": {"a": []}}, {"facts": {1: 2}}):
        said = read_said(garbage)
        assert said.error is not None and said.error.code == "damage"
    for other in (None, {}, {"args": []}, {"args": [{"a": []}]}, {"args": 7}, "x", {"args": [[1]]}):
        assert read_arguments(other) == {}
    assert read_arguments({"args": ({"a": 1, "b": True},)}) == {"a": 1, "b": True}


def test_lines_of_the_log_are_lines() -> None:
    one = Happened(at_ns=0, what="failed", worker="w", work="k", run="r", text="two\nlines \x1b[31m")
    assert log_line(one) == "1970-01-01T00:00:00.000Z failed worker=w work=k run=r: two lines \x1b[31m"
    assert msgspec.json.decode(msgspec.json.encode(one), type=Happened) == one


def test_every_kind_has_its_handler() -> None:
    for kind in KINDS.values():
        assert callable(kind.handler())
    with pytest.raises(UsageError, match="'x'") as unknown:
        kind_called("x")
    assert "recover.run" in unknown.value.hint


def test_a_lane_of_many_assets_is_not_too_long(queue: DbosWorkflows) -> None:
    """A group of which the names together are longer than a queue's may be is handed to the workers all the same."""
    names = "+".join(f"checkpoint-of-experiment-{number}" for number in range(40))
    first = submit_run(queue, "0" * 20, asset=names)
    again = submit_run(queue, "0" * 20, asset=names)
    assert first.key == again.key and first.state is Phase.QUEUED
