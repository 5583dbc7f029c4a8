"""Experiments in the format of Chaos Toolkit: what is read, what is refused with its place, how they run."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.drills.chaos.calling import call
from holdfast.drills.chaos.model import Activity, Http, Process, Python, Tolerance
from holdfast.drills.chaos.reading import read_experiment
from holdfast.drills.chaos.running import Ran, run
from holdfast.drills.chaos.tolerating import within
from holdfast.drills.troubles import DrillStopped
from holdfast.errors import FailedError, RefusedError, UsageError


def process(*words: str, **more: Any) -> dict[str, Any]:
    return {"type": "process", "path": words[0], "arguments": list(words[1:]), **more}


def activity(name: str, provider: dict[str, Any], kind: str = "action", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "provider": provider, **more}


def experiment(*method: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": "t", "description": "d", "method": list(method), **more}


def steady(*probes: dict[str, Any]) -> dict[str, Any]:
    return {"steady-state-hypothesis": {"title": "s", "probes": list(probes)}}


def played(tree: dict[str, Any], look: Any = lambda: None) -> Ran:
    read = read_experiment(json.dumps(tree).encode(), "x")
    return run(read, SYSTEM_CLOCK, modules=(), environment={"PATH": "/bin"}, look=look, told=lambda text: None)


def test_yaml_and_json_are_the_same() -> None:
    tree = experiment(activity("a", process("/bin/true")), rollbacks=[activity("r", process("/bin/true"))])
    text = "title: t\ndescription: d\nmethod:\n- {type: action, name: a, provider: {type: process, path: /bin/true}}\n"
    one = read_experiment(text.encode(), "x").method[0].provider
    assert one == read_experiment(json.dumps(tree).encode(), "x").method[0].provider == Process(path="/bin/true")
    mapping = process("/bin/ls") | {"arguments": {"--width": 3, "-l": None}}
    read = read_experiment(json.dumps(experiment(activity("a", mapping))).encode(), "x")
    assert read.method[0].provider == Process(path="/bin/ls", arguments=("--width", "3", "-l"))


_BAD: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title"),
    (experiment(surprise=1), "surprise"),
    (experiment(configuration={"a": {"type": "env", "key": "A"}}), "configuration"),
    (experiment(secrets={"a": {"b": "c"}}), "secrets"),
    (experiment({"ref": "a"}), r"method\[0\].ref"),
    (experiment(activity("a", {"type": "ssh"})), r"method\[0\].provider.type"),
    (experiment(activity("a", process("/bin/true", shell=True))), r"provider.shell"),
    (experiment(activity("a", process("/bin/true", timeout=-1))), r"provider.timeout"),
    (experiment(activity("a", {"type": "http", "url": "file:///etc/passwd"})), "provider.url"),
    (experiment(activity("a", {"type": "http", "url": "http://a/", "headers": {"A\r\nB": "c"}})), "provider"),
    (experiment(activity("a", {"type": "python", "module": "os; x", "func": "system"})), "names a function"),
    (experiment(activity("a", process("/bin/true"), pauses={"after": 1e9})), "pauses.after"),
    (experiment(**steady(activity("a", process("/bin/true"), "probe"))), r"probes\[0\]"),
    (experiment(**steady(activity("a", process("/bin/true"), tolerance=0))), r"probes\[0\]"),
    (experiment(activity("a", process("x"), "probe", tolerance={"type": "regex", "pattern": "("})), "pattern"),
    (
        experiment(activity("a", process("x"), "probe", tolerance={"type": "jsonpath", "path": "$..a"})),
        "tolerance.path",
    ),
    (experiment(runtime={"rollbacks": {"strategy": "perhaps"}}), "strategy"),
    (experiment(rollbacks=[activity("a", process("x"), background=True)]), r"rollbacks\[0\].background"),
]


@pytest.mark.parametrize(("tree", "place"), _BAD)
def test_what_is_not_known_is_refused_with_its_place(tree: dict[str, Any], place: str) -> None:
    with pytest.raises(UsageError, match=place):
        read_experiment(json.dumps(tree).encode(), "x")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"a: &a [*a]", b"a: !!python/object:os.system {}", b"{" * 10_000, b"title: 2020-01-01"],
)
def test_rubbish_is_no_experiment(data: bytes) -> None:
    with pytest.raises(UsageError):
        read_experiment(data, "x")


def test_a_deviation_is_told_and_rolled_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.touch()
    there = activity("there", process("/bin/ls", str(state)), "probe", tolerance=0)
    tree = experiment(
        activity("remove", process("/bin/rm", str(state))),
        rollbacks=[activity("bring back", process("/usr/bin/touch", str(state)))],
        **steady(there),
    )
    ran = played(tree)
    assert (ran.status, ran.state, ran.deviated, ran.steady_before, ran.steady_after) == (
        "completed",
        "FAILED",
        True,
        True,
        False,
    )
    assert state.exists() and [one.section for one in ran.activities][-1] == "rollbacks"
    assert ran.journal["steady_states"]["after"]["steady_state_met"] is False
    never = played(tree | {"runtime": {"rollbacks": {"strategy": "never"}}})
    assert never.deviated and not state.exists()
    # Not steady to begin with: nothing is done, and the recovery is not judged.
    absent = played(tree)
    assert (absent.status, absent.state, absent.steady_after) == ("failed", "ERROR", None)
    assert [one.section for one in absent.activities] == ["steady state before"]


def test_what_fails_is_an_error_and_what_is_stopped_is_rolled_back(tmp_path: Path) -> None:
    broken = played(experiment(activity("a", process("/nowhere/at/all"))))
    assert (broken.state, broken.activities[0].status) == ("ERROR", "failed")
    slow = played(experiment(activity("a", process("/bin/sleep", "60", timeout=0.2))))
    assert "longer than" in slow.journal["run"][0]["exception"][0]
    calls = [0]

    def look() -> None:
        calls[0] += 1
        if calls[0] > 3:
            raise DrillStopped("the lever was pulled")

    rollback = activity("r", process("/usr/bin/touch", str(tmp_path / "back")))
    ran = played(experiment(activity("a", process("/bin/true"), pauses={"after": 30}), rollbacks=[rollback]), look)
    assert (ran.status, ran.state) == ("interrupted", "STOPPED") and (tmp_path / "back").exists()


def test_something_in_the_background_goes_on_beside(tmp_path: Path) -> None:
    waits = activity(
        "b", process("/bin/sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"), background=True
    )
    there = activity("b", process("/bin/true"), "probe", tolerance=0)
    ran = played(experiment(waits, activity("a", process("/usr/bin/touch", f"{tmp_path}/go")), **steady(there)))
    assert ran.state == "PASSED" and {one.name for one in ran.activities} == {"a", "b"}


@pytest.mark.parametrize(
    ("tolerance", "found", "met"),
    [
        (Tolerance(kind="equal", value=0), {"status": 0, "stdout": "", "stderr": ""}, True),
        (Tolerance(kind="equal", value=1), {"status": 0, "stdout": "", "stderr": ""}, False),
        (Tolerance(kind="any of", values=(1, 2)), {"status": 2, "stdout": "", "stderr": ""}, True),
        (Tolerance(kind="range", lower=1, upper=3), {"status": 0, "stdout": "2", "stderr": ""}, True),
        (Tolerance(kind="range", lower=1, upper=3), {"status": 0, "stdout": "x", "stderr": ""}, False),
        (Tolerance(kind="regex", pattern="^ab"), {"status": 0, "stdout": "abc", "stderr": ""}, True),
        (
            Tolerance(kind="jsonpath", pattern="$.a[1]", value=3, target="stdout"),
            {"status": 0, "stdout": '{"a": [2, 3]}', "stderr": ""},
            True,
        ),
        (
            Tolerance(kind="jsonpath", pattern="$.b", target="stdout"),
            {"status": 0, "stdout": "{}", "stderr": ""},
            False,
        ),
    ],
)
def test_tolerances(tolerance: Tolerance, found: dict[str, Any], met: bool) -> None:
    one = Activity(kind="probe", name="p", provider=Process(path="x"))
    assert within(tolerance, found, one, lambda probe: None) is met


def test_true_is_not_one() -> None:
    one = Activity(kind="probe", name="p", provider=Python(module="m", func="f"))
    assert not within(Tolerance(kind="equal", value=1), True, one, lambda probe: None)
    assert within(Tolerance(kind="equal", value=True), True, one, lambda probe: None)


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/")
            self.end_headers()
            self.wfile.write(b'{"ok": [1]}')

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_requests(server: str) -> None:
    ask = Activity(kind="probe", name="p", provider=Http(url=f"{server}/"))
    found = call(ask, (), {})
    assert found["status"] == 200 and found["body"] == {"ok": [1]}
    path = Tolerance(kind="jsonpath", pattern="$.ok[0]", value=[1, 2])
    assert within(path, found, ask, lambda probe: None)
    moved = Activity(kind="probe", name="p", provider=Http(url=f"{server}/moved", expected_status=200))
    with pytest.raises(FailedError, match="answers 302"):  # redirects are not followed
        call(moved, (), {})
    with pytest.raises(FailedError, match="does not answer"):
        call(Activity(kind="probe", name="p", provider=Http(url="http://127.0.0.1:9/", timeout=1)), (), {})


def test_functions_are_called_only_of_modules_that_were_named() -> None:
    sqrt = Activity(kind="probe", name="p", provider=Python(module="math", func="sqrt", arguments={}))
    with pytest.raises(RefusedError, match="unless you say so"):
        call(sqrt, (), {})
    dumps = Python(module="json", func="dumps", arguments={"obj": [1]})
    environment = {"PATH": "/bin", "HOLDFAST_KEY_FILE": "/secret"}
    assert call(Activity(kind="probe", name="p", provider=dumps), ("json",), environment) == "[1]"
    getenv = Python(module="os", func="getenv", arguments={"key": "HOLDFAST_KEY_FILE"})
    assert call(Activity(kind="probe", name="p", provider=getenv), ("os",), environment) is None
    with pytest.raises(FailedError, match=r"math\.sqrt failed"):
        call(sqrt, ("math",), {})
    assert sys.executable


def test_the_lever_ends_a_process_that_runs_and_the_journal_has_it(tmp_path: Path) -> None:
    began = SYSTEM_CLOCK.monotonic()

    def look() -> None:
        if SYSTEM_CLOCK.monotonic() - began > 0.3:
            raise DrillStopped("the lever was pulled")

    rollback = activity("r", process("/usr/bin/touch", str(tmp_path / "back")))
    load = activity("load", process("/bin/sleep", "60"), background=True)
    ran = played(experiment(load, activity("a", process("/bin/sleep", "60")), rollbacks=[rollback]), look)
    assert ran.state == "STOPPED" and (tmp_path / "back").exists() and SYSTEM_CLOCK.monotonic() - began < 30
    assert [one["status"] for one in ran.journal["run"]] == ["failed", "failed"]


def test_without_a_steady_state_nothing_is_measured_and_nothing_passed() -> None:
    ran = played(experiment(activity("a", process("/bin/true"))))
    assert (ran.status, ran.state, ran.steady_before, ran.steady_after) == ("completed", "NOT_MEASURED", None, None)
