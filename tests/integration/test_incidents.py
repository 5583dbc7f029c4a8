"""Incidents over three sites and two keepers: opened once, told once, and what begins by itself begins once."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_world import World

from holdfast.clock import ManualClock
from holdfast.control.incidents.acting import acknowledge, notified, preapprove, resolve, silence
from holdfast.control.incidents.claims import Claims
from holdfast.control.incidents.documents import HERE
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.incidents.preapproving import StandingApprovals
from holdfast.control.incidents.reading import list_incidents, opened, shown
from holdfast.control.incidents.receiving import receive_alerts
from holdfast.control.incidents.watching import Round, Watch, Watcher
from holdfast.control.recovering.recovering import Recoveries
from holdfast.drills.lever import Lever
from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind

FAST = {"open_after": 1, "of": 1, "close_after": 1, "timeout": "2s"}


class Port:
    """An address that can be taken away and given back."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.number = self._socket.getsockname()[1]
        self.is_open = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.number}"

    def close(self) -> None:
        if self.is_open:
            self._socket.close()
        self.is_open = False

    def open(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.number))
        self.is_open = True


class Hook(http.server.ThreadingHTTPServer):
    """Takes signed webhooks, or refuses them."""

    daemon_threads = True

    def __init__(self) -> None:
        hook = self
        self.got: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = 200
        self.slow = 0.0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if hook.status == 200:
                    hook.got.append(body)
                    hook.keys.append(self.headers.get("webhook-id", ""))
                if hook.slow:
                    time.sleep(hook.slow)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/in"

    def handle_error(self, request: Any, client_address: Any) -> None: ...

    def actions(self) -> list[tuple[str, str]]:
        return [(one["action"], one["dedup_key"]) for one in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port()
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOOK_KEY", "a-key-that-nobody-sees")
    return World(tmp_path)


def _declare(world: World, port: Port, *, hook: Hook | None = None, **more: Any) -> None:
    sections: dict[str, Any] = {
        "detect": {
            "quorum": 2,
            "every": "1s",
            "stale_after": "60s",
            "probes": {
                "trainer": {"kind": "tcp", "address": port.address, "fault_site": "home", "asset": "run", **FAST},
                "stores": {"kind": "store", "site": "second", **FAST},
            },
        },
        "recoveries": {
            "failover": {
                "asset": "run",
                "strategy": "BACKUP_AND_RESTORE",
                "to": ["second"],
                "automatic": {
                    "when": "trainer AND NOT stores",
                    "target": str(world.folder / "back"),
                    "wait": "0s",
                    "isolated": True,
                },
            }
        },
    }
    if hook is not None:
        channel = {"kind": "webhook", "url": hook.url, "secret": "${HOOK_KEY}"}
        sections["notify"] = {"channels": {"hook": channel}, "group_within": "0s"}
    for path, value in more.items():
        place = sections
        *names, last = path.split("__")
        for name in names:
            place = place.setdefault(name, {})
        place[last] = value
    world.declare(**sections)


def _finished(*watches: Watch) -> None:
    for watch in watches:
        for thread in watch.starter.threads:
            thread.join()


def _runs(world: World) -> list[str]:
    return [one.state.verdict for one in Recoveries(world.machine("keeper")).runs(20)]


def _decided(done: Round) -> str:
    return done.decisions[0].why


def test_two_observers_open_one_incident_and_one_run_begins(world: World, port: Port, hook: Hook) -> None:
    _declare(world, port, hook=hook)
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"))
    assert [watch.look().verdicts["trainer"].state for watch in (one, two, one)] == ["unknown", "good", "good"]
    port.close()
    first = one.look()  # one voice says bad
    assert not first.opened and first.verdicts["trainer"].state == "unknown"
    assert _decided(first) == "its condition is unknown"
    second = two.look()
    third = one.look()
    _finished(one, two)
    assert len(second.opened) == 1 and not third.opened
    assert second.decisions[0].begins and "one incident, one run" in _decided(third)
    assert _runs(world) == ["PASSED"]
    port.open()
    one.look(), two.look(), one.look()
    [incident] = list_incidents(world.machine("third"))  # a machine that never saw any of it
    assert incident.state == "resolved" and incident.subject == "trainer" and len(incident.runs) == 1
    assert incident.noticed_at > incident.fault_at > 0
    plan = Recoveries(world.machine("keeper")).status(incident.runs[0]).plan
    assert (plan.intent.fault_at, plan.intent.noticed_at) == (incident.fault_at, incident.noticed_at)
    assert (world.folder / "back" / incident.id).is_dir()
    because = [entry.text for entry in incident.decisions]
    assert any("trainer AND (NOT stores): true (2 true" in text for text in because)
    # One key from the first message to the last, and each once.
    assert hook.actions() == [("trigger", incident.id), ("resolve", incident.id)]


def test_a_false_observer_starts_nothing_whatever_it_signs(world: World, port: Port) -> None:
    """`ann` has a keeper's key, and lies: in her name, from many places, in the keeper's name, of the future."""
    _declare(world, port)
    sites = world.machine("keeper")
    honest, liar = Watch(sites), Watch(world.machine("ann"))
    honest.look()
    keys = liar.vault.handle.keys
    now = time.time_ns()
    lies = ["ann", "ann/x", "ann/y", "keeper", "keeper/x"]
    for number, observer in enumerate(lies * 4):
        at = now + (number - 6) * 7_000_000_000
        said = {
            "observer": observer,
            "at": at,
            "probes": {name: {"state": "bad", "since": at} for name in ("trainer", "stores")}
            | {"q": {"state": "good"}},
        }
        key = f"observations/said/{observer.replace('/', '.')}/{at:020d}-{number:012x}"
        sealed = write_document(keys, Kind.LEASE, key, json.dumps(said).encode())
        for site in ("home", "second", "third"):
            sites.store(f"{site}/warm").store.create(key, sealed)
    for _ in range(3):
        done = honest.look()
        assert done.verdicts["trainer"].state != "bad" and not done.opened
        assert not done.decisions[0].begins
    assert _runs(world) == []
    # And rubbish beside it: it counts for nothing, and keeps nobody from being heard.
    for name in ("observations/said/keeper/x", "incidents/0/1", "automatic/runs/0000000000"):
        sites.store("home/warm").store.put(name, os.urandom(100))
        sites.store("second/warm").store.put(name, b"")
    assert honest.look().verdicts["stores"].voices


def test_a_flapping_probe_begins_at_most_one_run(world: World, port: Port, hook: Hook) -> None:
    _declare(world, port, hook=hook)
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"))
    began = 0
    for number in range(8):
        port.open() if number % 2 and not port.is_open else port.close()
        for watch in (one, two, one):
            began += sum(decision.begins for decision in watch.look().decisions)
    _finished(one, two)
    incidents = list_incidents(world.machine("keeper"))
    assert len(incidents) == 4  # it was bad four times, and each time it was an incident of its own
    assert began == 1 and _runs(world) == ["PASSED"]
    assert any("1 began by themselves within 86400 s" in entry.text for one in incidents for entry in one.decisions)
    for action in ("trigger", "resolve"):
        told = [key for what, key in hook.actions() if what == action]
        assert len(told) == len(set(told))


def test_what_holds_everything_back(world: World, port: Port) -> None:
    _declare(world, port)
    sites = world.machine("keeper")
    one, two = Watch(sites), Watch(world.machine("ann"))
    port.close()
    for machine in ("keeper", "ann"):
        Lever(world.environment(machine)).pull(sites.clock, "a drill went wrong")
    assert not two.look().opened
    assert "a drill went wrong" in _decided(one.look())
    assert "a drill went wrong" in _decided(two.look())
    for machine in ("keeper", "ann"):
        Lever(world.environment(machine)).release()
    made = silence(world.machine("ann"), "trainer", "the switch is replaced", 600.0)
    assert made.owner == "ann"
    assert _decided(one.look()) == "ann silenced it (the switch is replaced)"
    with pytest.raises(UsageError, match="at most a week"):
        silence(world.machine("ann"), "*", "x", 1e9)
    assert _runs(world) == []


def test_who_has_it_in_hand_is_left_alone(world: World, port: Port) -> None:
    _declare(world, port, notify__deadlines={"law": {"within": "4h", "authority": "the regulator"}})
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"))
    port.close()
    lever = Lever(world.environment("keeper"))
    lever.pull(world.machine("keeper").clock, "wait")
    two._decider._lever = lambda: "wait"  # type: ignore[union-attr]
    one.look(), two.look()
    [incident] = list_incidents(world.machine("keeper"), open_only=True)
    acknowledged = acknowledge(world.machine("ann"), incident.id[:6], note="on my way")
    assert acknowledged.acknowledged_by == "ann"
    lever.release()
    assert _decided(one.look()) == f"ann has the incident {incident.id} in hand"
    told = notified(world.machine("ann"), incident.id, "law", by="carol")
    vault = opened(world.machine("keeper")).vault
    [timer] = shown(world.machine("keeper"), told, vault).timers
    assert timer.told_at and timer.ends == incident.noticed_at + 4 * 3600 * 10**9
    assert told.entries[-1].by == "ann/carol"
    assert resolve(world.machine("keeper"), incident.id, note="it is switched off").resolved_by == "keeper"
    with pytest.raises(RefusedError, match="was resolved by keeper"):
        acknowledge(world.machine("ann"), incident.id)
    with pytest.raises(NotFoundError, match="an incident 'nope'"):
        acknowledge(world.machine("ann"), "nope")


AUTOMATIC = {"when": "trainer", "wait": "0s"}


def test_a_failover_begins_by_itself_only_with_a_standing_approval_of_somebody_else(world: World, port: Port) -> None:
    target = str(world.folder / "back")
    _declare(world, port, recoveries__failover__automatic=AUTOMATIC | {"target": target})
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"), acts=False)
    port.close()
    two.look()
    waits = one.look()
    assert not waits.decisions[0].begins and "waits for `holdfast recover approve" in _decided(waits)
    run = waits.decisions[0].run
    assert "NOT_APPROVED" in _decided(one.look())
    # What a person would do: approve it for its own sake.
    standing = StandingApprovals(world.machine("ann"), two.vault.handle.keys)
    with pytest.raises(RefusedError, match="would approve what keeper begins"):
        preapprove(world.machine("keeper"), "failover", starter="keeper", seconds=3600.0)
    with pytest.raises(NotFoundError, match="no keeper of the vault is called 'nobody'"):
        standing.give("failover", "nobody", 3600.0)
    preapprove(world.machine("ann"), "failover", starter="keeper", seconds=3600.0)
    [given] = standing.of("failover")
    assert given.problem == "" and given.approval.by == "ann"
    # Declared otherwise, it counts for nothing; withdrawn neither.
    _declare(world, port, recoveries__failover__automatic=AUTOMATIC | {"target": target, "at_most": 5})
    changed = StandingApprovals(world.machine("ann"), two.vault.handle.keys).of("failover")
    assert changed[0].problem == "what it approved was declared otherwise"
    _declare(world, port, recoveries__failover__automatic=AUTOMATIC | {"target": target})
    # A plan of the same keeper that was not claimed as a run by itself is not approved by it.
    from holdfast.control.recovering.intending import Wanted

    recoveries = Recoveries(world.machine("keeper"))
    by_hand = recoveries.plan(Wanted("failover", reason="I should like to"))
    assert [one.code for one in recoveries.review(by_hand).refusals] == ["NOT_APPROVED"]
    # Now the run that waited begins.
    begun = one.look()
    _finished(one)
    assert begun.decisions[0].begins and begun.decisions[0].run == run
    status = Recoveries(world.machine("ann")).status(run)
    assert status.state.verdict == "PASSED" and status.plan.site == "second"
    moved = world.machine("ann")
    moved.learn()
    assert moved.asset("run").home_site == "second"
    preapprove(world.machine("ann"), "failover", starter="", seconds=0.0)
    assert "withdrawn" in standing.of("failover")[0].problem


def test_claims_of_two_that_watch_are_one_series_and_hold_with_a_site_away(world: World, port: Port) -> None:
    _declare(world, port, recoveries__failover__automatic__at_most=3, recoveries__failover__automatic__cooldown="0s")
    _declare_more = [world.machine(name) for name in ("keeper", "ann", "keeper2")]
    claims = [Claims(sites, Watch(sites, acts=False).vault.handle.keys, sites.clock) for sites in _declare_more]
    won: list[str] = []
    lost: list[str] = []

    def claim(number: int) -> None:
        for attempt in range(3):
            try:
                claims[number].claim("failover", f"i-{number}-{attempt}", f"plan-{number}-{attempt}")
                won.append(f"{number}-{attempt}")
            except RefusedError as error:
                lost.append(error.message)

    shutil.move(world.folder / "third", world.folder / "away")
    (world.folder / "third").touch()  # and nothing answers there
    threads = [threading.Thread(target=claim, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Three for this recovery, and two for all together (`detect.at_most`).
    assert len(won) == 2 and len(lost) == 7
    assert all("began by themselves" in why for why in lost)
    (world.folder / "third").unlink()
    shutil.move(world.folder / "away", world.folder / "third")
    fresh = Claims(world.machine("keeper"), Watch(world.machine("keeper"), acts=False).vault.handle.keys, world.clock)
    assert {one.plan for one in fresh.read()} == {f"plan-{one}" for one in won}


def test_incidents_are_kept_while_stores_are_away_and_brought_to_them_later(world: World, port: Port) -> None:
    _declare(world, port, detect__quorum=1)
    one = Watch(world.machine("keeper"))
    one.look()
    for name in ("home", "second", "third"):
        shutil.move(world.folder / name, world.folder / f"{name}.away")
        (world.folder / name).touch()
    made = one.log.open_one("test", "all gone", severity="critical", title="nothing answers", why="")
    assert made.is_open
    for name in ("home", "second", "third"):
        (world.folder / name).unlink()
        shutil.move(world.folder / f"{name}.away", world.folder / name)
    assert list_incidents(world.machine("ann")) == []
    one.log.refresh()
    [found] = list_incidents(world.machine("ann"))
    assert found.id == made.id and HERE not in one.log.problems
    # Two that open the same thing while they do not hear each other give it one id.
    two = Watch(world.machine("ann"))
    mine = one.log.open_one("test", "both", severity="warning", title="a", why="")
    two.log._found.pop(mine.id, None)
    theirs = two.log.open_one("test", "both", severity="critical", title="b", why="")
    assert mine.id == theirs.id
    both = [item for item in list_incidents(world.machine("third")) if item.subject == "both"]
    assert len(both) == 1 and both[0].severity == "critical" and both[0].title == "a"


def test_repairs_come_before_people(world: World, port: Port, hook: Hook, tmp_path: Path) -> None:
    script = tmp_path / "restart.py"
    script.write_text(
        "import os, sys\n"
        "names = sorted(name for name in os.environ if 'HOLDFAST' in name)\n"
        f"open({str(tmp_path / 'ran')!r}, 'a').write(' '.join(names) + '\\n')\n"
        "sys.exit(3)\n"
    )
    repairs = [
        {"do": "command", "command": [sys.executable, str(script)], "at_most": 2, "wait": "0s"},
        {"do": "sync", "wait": "0s"},
        {"do": "index", "wait": "0s"},
        {"do": "catalog", "wait": "0s"},
    ]
    _declare(world, port, hook=hook, detect__quorum=1, detect__probes__trainer__repair=repairs, recoveries={})
    one = Watch(world.machine("keeper"))
    one.look()
    port.close()
    for number in range(5):
        assert hook.got == []
        one.look()
        [incident] = one.log.open_ones()
        assert len(incident.repairs) == number + 1
    one.look()
    assert [entry.step for entry in incident.repairs] == ["command", "command", "sync", "index", "catalog"]
    assert "ended with 3" in incident.repairs[0].text and "attempt 2 of 2" in incident.repairs[1].text
    assert "every store has what it owes" in incident.repairs[2].text
    assert "packs were read anew, 0 could not be" in incident.repairs[3].text
    assert "the catalog was made anew" in incident.repairs[4].text
    assert (tmp_path / "ran").read_text() == "\n\n"  # no keys
    one.tell()
    assert hook.actions() == [("trigger", incident.id)]


def test_what_does_not_get_through_is_tried_again_and_marked_once(
    world: World, port: Port, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(world, port, hook=hook, detect__quorum=1, recoveries={})
    one = Watch(world.machine("keeper"))
    port.close()
    hook.status = 503
    done = one.look()
    assert done.sent == 0 and done.problems["hook"] == "it answered 503"
    assert one.tell() == 0 and len(one._teller._tried) == 1  # not before its time
    hook.status = 200
    one._teller._tried.clear()
    assert one.tell() == 1 and one.tell() == 0
    [incident] = one.log.open_ones()
    assert hook.keys == [f"{incident.id}/escalation:0/hook"]
    # Another process, elsewhere: it was told already.
    other = Watch(world.machine("ann"))
    other.log.refresh()
    assert other.tell() == 0
    monkeypatch.delenv("HOOK_KEY")


_WATCHER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from incident_world import World
world = World.__new__(World)
from holdfast.clock import SYSTEM_CLOCK
import os
world.folder, world.clock, world.base = Path({folder!r}), SYSTEM_CLOCK, dict(os.environ)
from holdfast.control.incidents.watching import Watch
watch = Watch(world.machine("keeper"))
print("up", flush=True)
watch.look()
print("done", flush=True)
"""


def test_a_watcher_that_is_killed_while_it_tells_somebody_tells_it_once_more(
    world: World, port: Port, hook: Hook
) -> None:
    _declare(world, port, hook=hook, detect__quorum=1, recoveries={})
    port.close()
    hook.slow = 30.0
    code = _WATCHER.format(here=str(Path(__file__).parent), folder=str(world.folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        _wait_for(lambda: len(hook.got) == 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    hook.slow = 0.0
    one = Watch(world.machine("keeper"))
    one.look()
    assert one.tell() == 0
    [incident] = one.log.open_ones()
    assert hook.actions() == [("trigger", incident.id)] * 2 and len(set(hook.keys)) == 1


def _wait_for(true: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def _alerts(*alerts: dict[str, Any]) -> bytes:
    return json.dumps({"version": "4", "groupKey": "g", "status": "firing", "alerts": list(alerts)}).encode()


def _alert(status: str = "firing", fingerprint: str = "a1b2", **labels: str) -> dict[str, Any]:
    named = {"alertname": "HoldfastExposureBreached", "asset": "run", "severity": "critical"} | labels
    return {
        "status": status,
        "labels": named,
        "annotations": {"summary": "too much would be lost"},
        "startsAt": "2026-11-20T10:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": fingerprint,
    }


def test_an_alert_is_one_incident_from_firing_to_resolved(world: World, port: Port) -> None:
    _declare(world, port)
    [first] = receive_alerts(world.machine("keeper"), _alerts(_alert()))
    [again] = receive_alerts(world.machine("ann"), _alerts(_alert()))
    assert first.id == again.id and first.asset == "run" and first.severity == "critical"
    own = _alert(fingerprint="ffff", alertname="HoldfastIncident")
    assert receive_alerts(world.machine("keeper"), _alerts(own)) == []  # what we sent ourselves
    [over] = receive_alerts(world.machine("keeper"), _alerts(_alert("resolved")))
    assert over.id == first.id and over.state == "resolved"
    assert receive_alerts(world.machine("keeper"), _alerts(_alert("resolved"))) == []
    [anew] = receive_alerts(world.machine("keeper"), _alerts(_alert()))
    assert anew.id == first.id[:-1] + "2"
    with pytest.raises(UsageError, match="version 4"):
        receive_alerts(world.machine("keeper"), b'{"version": "3", "alerts": []}')


def test_the_loop_goes_on_whatever_a_round_runs_into(world: World, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    _declare(world, port, detect__quorum=1, detect__every="100ms", recoveries={})
    seen: list[Incident] = []
    watcher = Watcher(world.machine("keeper"), told=lambda done: seen.extend([]))
    original = Watch.look
    calls: list[int] = []

    def look(self: Watch) -> Round:
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("a bug")
        return original(self)

    monkeypatch.setattr(Watch, "look", look)
    watcher.start()
    watcher.start()
    _wait_for(lambda: len(calls) >= 4 and watcher.last is not None)
    port.close()
    _wait_for(lambda: watcher.last is not None and bool(list_incidents(world.machine("ann"))))
    watcher.stop()
    assert watcher.problem == "" and threading.active_count() < 20


def test_clocks_that_differ_open_nothing(world: World, port: Port) -> None:
    """An observer whose clock is an hour behind, or ahead, has no voice."""
    _declare(world, port)
    one = Watch(world.machine("keeper"))
    port.close()
    one.look()
    for offset in (-3600, 3600):
        world.clock = ManualClock(time.time_ns() + offset * 10**9)
        Watch(world.machine("ann"), acts=False).look()
        done = one.look()
        assert not done.opened
        assert any(not voice.counts for voice in done.verdicts["trainer"].voices)


def test_the_entries_of_an_incident_are_bound_to_who_signs_them(world: World, port: Port) -> None:
    _declare(world, port, detect__quorum=1)
    one = Watch(world.machine("keeper"))
    port.close()
    one.look()
    [incident] = one.log.open_ones()
    liar = Watch(world.machine("ann"), acts=False)
    at = time.time_ns()
    said = {"incident": incident.id, "deed": "resolved", "by": "keeper", "at": at, "text": "nothing happened"}
    key = f"incidents/{incident.id}/{at:020d}-000000000000"
    sealed = write_document(liar.vault.handle.keys, Kind.LEASE, key, json.dumps(said).encode())
    world.machine("ann").store("home/warm").store.create(key, sealed)
    [still] = list_incidents(world.machine("keeper"), open_only=True)
    assert still.id == incident.id and all(entry.deed is not Deed.RESOLVED for entry in still.entries)


def test_the_workers_run_what_began_by_itself(world: World, port: Port) -> None:
    """A failover, approved beforehand, through the queue: the worker finds the standing approval, too."""
    from holdfast.control.workflows import open_workflows, run_key
    from holdfast.control.working.worker import Worker

    automatic = AUTOMATIC | {"target": str(world.folder / "back")}
    _declare(world, port, detect__quorum=1, recoveries__failover__automatic=automatic)
    preapprove(world.machine("ann"), "failover", starter="keeper", seconds=3600.0)
    port.close()
    sites = world.machine("keeper")
    workflows = open_workflows(sites)
    worker = Worker(sites, workflows)  # type: ignore[arg-type]
    worker.start()
    try:
        watch = Watch(world.machine("keeper"), workflows=workflows)
        [decision] = watch.look().decisions
        assert decision.why == f"run {decision.run} was handed to the workers"
        _wait_for(lambda: (known := workflows.look(run_key(decision.run))) is not None and known.state == "DONE")
        assert not watch.look().decisions[0].begins
    finally:
        worker.stop(5.0)
        workflows.close()
    assert _runs(world) == ["PASSED"]
