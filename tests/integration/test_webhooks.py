"""Events become signed messages: found at the stores, sent in order, again while nobody takes them, under one id."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.integration.incident_world import World

from holdfast.cli.main import main
from holdfast.config.finding import load_config
from holdfast.control.hooks import finding, following, sending
from holdfast.control.hooks.events import Event
from holdfast.control.hooks.following import HookFollower, key_of_message
from holdfast.control.hooks.states import note_since, takes_turn
from holdfast.control.incidents.model import Deed
from holdfast.control.incidents.reading import opened
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.service import health as health_module
from holdfast.control.service.context import Service
from holdfast.control.service.health import Health
from holdfast.control.service.kept import Kept
from holdfast.control.workflows import Phase
from holdfast.control.working.dbos_workflows import DbosWorkflows
from holdfast.control.working.kinds import KINDS
from holdfast.control.working.opening import open_queue
from holdfast.control.working.worker import Worker
from holdfast.recovery.journal.entries import Deed as RunDeed
from holdfast.recovery.journal.entries import Entry
from holdfast.recovery.journal.state import RunState

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"


class Receiver(ThreadingHTTPServer):
    """`answers`: statuses, the first ones first; then 204. `got`: (path, id, whether it is genuine, what it says)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.slow = 0.0
        self.got: list[tuple[str, str, bool, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        [code] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
        names: dict[str, Any] = {}
        exec(code, names)
        self.genuine = names["genuine"]

    def taken(self, path: str) -> list[tuple[str, Any]]:
        """(id, what it says), each once."""
        return list({name: (name, said) for one, name, _, said in self.got if one == path}.values())


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        good = self.server.genuine(headers, body, SECRET) and not self.server.genuine(headers, body + b" ", SECRET)
        status = self.server.answers.pop(0) if self.server.answers and self.path == "/all" else 204
        self.server.got.append((self.path, headers["webhook-id"], good, json.loads(body)))
        if status == 599:
            time.sleep(self.server.slow)
        self.send_response(status)
        if status == 307:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.delenv("HOLDFAST_WORK_DB", raising=False)
    monkeypatch.setitem(KINDS, "webhook.send", KINDS["webhook.send"]._replace(pauses=(0.05,) * 600))  # type: ignore[index]
    made = World(tmp_path)
    hook = {"secret": "${HOOK_SECRET}"}
    made.declare(
        recoveries={"away": {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["second"]}},
        webhooks={
            "all": {**hook, "url": f"{receiver.url}/all", "events": ["run.planned", "run.e*", "incident.*"]},
            "ended": {**hook, "url": f"{receiver.url}/ended?token=hidden", "events": "run.ended"},
            "dead": {**hook, "url": "http://127.0.0.1:1/", "events": "incident.opened"},
        },
        work={"without": ["catalog.update", "site.sync", "recover.check", "drill.run"]},
    )
    return made


def _follower(world: World, queue: DbosWorkflows, name: str = "keeper") -> HookFollower:
    sites, said = world.machine(name), world.notes
    return HookFollower(sites, queue.database, queue, lambda: sites.loaded, lambda: False, said.append)


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def test_each_event_is_told_once_to_who_wants_it(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = world.machine("keeper")
    with closing(open_queue(sites)) as queue:
        first = _follower(world, queue)
        assert first.look() == 0, "what was before is not told"
        log = opened(sites).log
        incident = log.open_one("probe", "up", severity="critical", title="it is down", why="\x1b[31m" + "ü" * 3000)
        log.say(incident.id, Deed.RESOLVED, text="it is up")
        recoveries = Recoveries(sites)
        file = recoveries.plan(Wanted("away", isolated=True, target=str(world.folder / "back")))
        assert recoveries.run(file, str(world.folder / "back"), lambda plan, progress: None).state.verdict == "PASSED"
        assert first.look() == 6, world.notes
        assert first.look() == 0 and _follower(world, queue, "ann").look() == 0, "another one finds the same"
        everything = {one.key: one for one in queue.list("webhook.send")}
        assert len(everything) == 6 and all(len(str(one.arguments["body"])) < 4000 for one in everything.values())

        # It is refused, sent elsewhere, too slow, and taken in the end; the dead one holds nobody up.
        receiver.answers += [503, 307, 599, 401]
        receiver.slow = 1.0
        monkeypatch.setattr(sending, "_SECONDS", 0.5)
        worker = Worker(sites, queue, schedules=False, beat_s=0.2)
        worker.start()
        try:
            _until(lambda: len(receiver.taken("/all")) == 4 and len(receiver.taken("/ended?token=hidden")) == 1)
            _until(lambda: len([one for one in queue.list("webhook.send") if one.state is Phase.DONE]) == 5)
            _until(lambda: worker.is_idle())  # but for the dead one
            _until(lambda: queue.hooks(["dead"])[0].failing_since_ns is not None)
        finally:
            worker.stop(0)
        paths = [path for path, *_ in receiver.got]
        assert paths.count("/all") == 8 and "/elsewhere" not in paths
        assert all(good for _, _, good, _ in receiver.got), "signed anew at each attempt"
        attempts = [name for path, name, *_ in receiver.got if path == "/all"]
        assert len(set(attempts[:5])) == 1, "the same id at each attempt, and nothing overtakes it"
        told = [said for _, said in receiver.taken("/all")]
        kinds = [one["type"] for one in told]
        assert kinds.index("run.planned") < kinds.index("run.ended")
        assert sorted(kinds) == ["incident.opened", "incident.resolved", "run.ended", "run.planned"]
        ended = told[kinds.index("run.ended")]["data"]
        assert (ended["run"], ended["verdict"], ended["isolated"]) == (file.run, "PASSED", True)
        assert ended["organisation"] == "acme" and ended["assets"] == ["run"]

        good, dead = queue.hooks(["all", "dead"])
        assert (good.delivered, good.waiting, good.failing_since_ns, good.problem) == (4, 0, None, "")
        assert (dead.delivered, dead.waiting) == (0, 1) and "does not answer" in dead.problem
        _is_ill(world, queue, sites.loaded.path)


def _is_ill(world: World, queue: DbosWorkflows, path: Path) -> None:
    """The server's health says so, and needs none of them."""
    service = Service(load_config(path), environment=world.environment("keeper"))
    service.workflows = queue
    with closing(Kept(world.folder / "kept.sqlite")) as kept, closing(Health(service, kept)) as health:
        hooks = {one.name: one for one in health.look() if one.kind == "webhook"}
    assert hooks["all"].well and hooks["ended"].well and not hooks["dead"].well and not hooks["dead"].needed
    assert "takes nothing since" in hooks["dead"].problem and "1 wait" in hooks["dead"].problem
    service.close()


def test_receivers_that_hang_do_not_make_a_server_look_unready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = {"secret": "${HOOK_SECRET}", "url": "http://127.0.0.1:1/", "events": "run.*"}
    world.declare(webhooks={f"hook-{number}": hook for number in range(20)})
    go = threading.Event()
    monkeypatch.setattr(Health, "_ask_hook", lambda self, name: str(go.wait(60)))
    monkeypatch.setattr(health_module, "_WAIT_S", 2.0)
    service = Service(load_config(world.folder / "holdfast.yaml"), environment=world.environment("keeper"))
    with closing(Kept(world.folder / "kept.sqlite")) as kept, closing(Health(service, kept)) as health:
        try:
            found = health.look()
        finally:
            go.set()
    service.close()
    assert [one.name for one in found if one.kind == "webhook" and one.well] == []
    assert [one.well for one in found if one.kind in ("sessions", "policies")] == [True, True], found


def test_what_is_given_up_and_what_never_was_a_message(world: World, receiver: Receiver) -> None:
    sites = world.machine("keeper")
    now, secrets = sites.clock.now_ns(), sites.environment
    assert isinstance(secrets, dict)
    with closing(open_queue(sites)) as queue:
        _follower(world, queue).look()
        body = Event("x", "test", now, {}).body("acme")

        def submit(number: int, hook: str = "all", until: int = now + 10**15) -> None:
            given = {"hook": hook, "event": f"e/{number}", "body": body, "until": until}
            queue.submit("webhook.send", given, key=f"w/{number}")

        submit(0)  # 410: it will never be taken
        submit(1, "dead", now - 1)  # nobody tries any more
        submit(2, "nobody")
        receiver.answers += [410]
        worker = Worker(sites, queue, schedules=False, beat_s=0.2)
        worker.start()
        try:
            _until(lambda: all(queue.look(f"w/{n}").state is Phase.FAILED for n in range(3)))  # type: ignore[union-attr]
            secrets["HOOK_SECRET"] = "short"
            submit(3)
            _until(lambda: queue.hooks(["all"])[0].problem.startswith("the secret of a webhook has"))
            secrets["HOOK_SECRET"] = "whsec_no base64, but long enough for anybody"
            _until(lambda: "no base64" in queue.hooks(["all"])[0].problem)
            secrets["HOOK_SECRET"] = "whsec_" + "A" * 24  # 18 bytes
            _until(lambda: queue.hooks(["all"])[0].problem.startswith("the secret of a webhook has"))
            secrets["HOOK_SECRET"] = SECRET  # it is there again, and so it is sent
            _until(lambda: queue.look("w/3").state is Phase.DONE)  # type: ignore[union-attr]
        finally:
            worker.stop(0)
        gone, late, nobody = (queue.look(f"w/{number}") for number in range(3))
        assert "says 410" in gone.error.message and "too long ago" in late.error.message  # type: ignore[union-attr]
        assert nobody.error.code == "not-found"  # type: ignore[union-attr]
        assert [one.given_up for one in queue.hooks(["all", "dead"])] == [1, 1]
        assert [name for _, name, *_ in receiver.got] == ["e/0", "e/3"]


def test_what_cannot_be_told_keeps_nobody_from_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time after the year 9999, an id that is none: somebody with a keeper's key wrote it."""
    sites = world.machine("keeper")
    with closing(open_queue(sites)) as queue:
        follower = _follower(world, queue)
        follower.look()
        now = sites.clock.now_ns()
        events = [
            Event("run/x/1", "run.ended", 10**30, {}),
            Event("run/\x1b/1", "run.ended", now, {}),
            Event("run/y/1", "run.ended", now + 10**9, {}),
        ]
        monkeypatch.setattr(finding.Finder, "look", lambda self, since: list(events))
        assert follower.look() == 2, "two receivers hear of what can be told"
        assert {one.arguments["event"] for one in queue.list("webhook.send")} == {"run/y/1"}
        assert "run/x/1: it cannot be told" in world.notes[-1]


def test_names_that_are_no_runs_are_not_read_at_each_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sites = world.machine("keeper")
    finder = finding.Finder(sites)
    for number in range(5):
        path = world.folder / "home" / "runs" / f"{number:020x}" / f"{0:010d}"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"nothing")
    read: list[str] = []
    real = finding.find_run

    def find(sites: Any, keys: Any, run: str, *rest: Any) -> Any:
        read.append(run)
        return real(sites, keys, run, *rest)

    monkeypatch.setattr(finding, "find_run", find)
    for _ in range(3):
        assert finder.look(0) == [] and len(finder.problems) == 5
    finder = finding.Finder(sites, finder)  # it is renewed every few minutes
    assert finder.look(0) == [] and len(read) == 5
    path.write_bytes(b"another nothing")
    os.utime(path, ns=(1, sites.clock.now_ns() + 10**9))
    assert finder.look(0) == [] and len(read) == 6, "somebody wrote to it"


def test_entries_of_a_run_keep_their_order_though_clocks_differ() -> None:
    """The second plane's clock is behind; what is submitted within one second is sent in the order of keys."""
    entries = [
        Entry(run="r", number=number, before="", deed=RunDeed.PAUSED, by="ann", at=at)
        for number, at in enumerate((100, 300, 200, 250))
    ]
    with (
        mock.patch.object(finding, "_run_event", lambda run, entry, state: Event(f"{entry.number}", "", entry.at, {})),
        mock.patch.object(finding, "run_state", lambda known: RunState()),
    ):
        events = finding.run_events("r", entries, 0, 0)
        later = finding.run_events("r", entries, 2, 0)
    keys = [key_of_message("all", one) for one in events]
    assert keys == sorted(keys) and [one.at_ns for one in events] == [100, 300, 200, 250]
    assert [key_of_message("all", one) for one in later] == keys[2:], "whoever finds it, and whenever"


def test_of_several_workers_one_looks(world: World) -> None:
    sites = world.machine("keeper")
    with closing(open_queue(sites)) as queue:
        database, second = queue.database, 10**9
        assert takes_turn(database, 100 * second, 10 * second)
        assert not takes_turn(database, 105 * second, 10 * second)
        assert takes_turn(database, 110 * second, 10 * second)
        assert takes_turn(database, 10 * second, 10 * second), "it was the future of a wrong clock"
        assert note_since(database, ["old"], 5) == {"old": 5}
        assert note_since(database, ["new"], 6) == {"new": 6}, "who has read the file later"
        assert note_since(database, ["old", "new"], 7) == {"old": 5, "new": 6}
        assert note_since(database, ["ahead"], 10**18) == {"ahead": 10**18}
        assert note_since(database, ["ahead"], 7) == {"ahead": 7}, "the clock was wrong: it would be told nothing"
        assert note_since(database, ["ahead"], 9) == {"ahead": 7}


def test_a_test_message_is_taken_or_it_is_said_why(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in world.environment("keeper").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDFAST_CONFIG", str(world.folder / "holdfast.yaml"))
    assert main(["incident", "test-alert", "--webhook", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["webhooks"] == {"all": ""}
    [(path, name, good, said)] = receiver.got
    assert path == "/all" and good and said["type"] == "test" and name.startswith("test/")
    assert main(["incident", "test-alert"]) == 1
    shown = capsys.readouterr().out
    assert "dead" in shown and "does not answer" in shown and "hidden" not in shown


def test_a_follower_lives_beside_its_worker(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks it to look: it does by itself, and ends with the worker."""
    monkeypatch.setattr(following, "_EVERY_S", 0.2)
    sites = world.machine("keeper")
    with closing(open_queue(sites)) as queue:
        worker = Worker(sites, queue, beat_s=0.2)
        worker.start()
        try:
            _until(lambda: queue.hooks(["all"])[0].since_ns is not None)
            opened(sites).log.open_one("probe", "up", severity="info", title="it is down", why="")
            _until(lambda: [said["type"] for _, said in receiver.taken("/all")] == ["incident.opened"])
        finally:
            worker.stop(0)
    assert "webhooks" not in {one.name for one in threading.enumerate()}
