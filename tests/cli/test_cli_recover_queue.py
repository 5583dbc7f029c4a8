"""`recover run --queue` and `recover status --follow`, as people use them: a worker is a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Terminal, checked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long"),
]

_FILE = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
assets:
  llama: {{class: training, save_every: 30min, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu: {{asset: llama, strategy: BACKUP_AND_RESTORE, to: [euw4], steps: book.yaml}}
"""
# A step that goes on until the test lets it: no test hangs on how long anything takes.
_BOOK = """\
version: 1
steps:
  - id: held
    kind: shell
    title: waits for a file
    after: [verify]
    before: [promote]
    command: [sh, -c, "while [ ! -e {folder}/go ]; do sleep 0.05; done; test ! -e {folder}/fail"]
    attempts: 1
    no_undo: it only waits
"""


@pytest.fixture
def planned(terminal: Terminal) -> str:
    """A rehearsal's plan, at the stores of two sites; its run. The step of the runbook is of the plan."""
    folder = terminal.folder
    (folder / "holdfast.yaml").write_text(_FILE.format(folder=folder))
    (folder / "book.yaml").write_text(_BOOK.format(folder=folder))
    (folder / "data").mkdir()
    (folder / "data" / "a").write_text("a")
    terminal.ok("vault", "create", folder / "use1")
    terminal.ok("key", "export-keeper", "ann", "--vault", folder / "use1", "--to", "ann.key")
    terminal.ok("snapshot", "save", "data", "--asset", "llama")
    terminal.ok("site", "sync")
    plan = terminal.json("recover-plan", "recover", "plan", "llama-to-eu", "--out", "plan.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_KEY_FILE", str(folder / "ann.key"))
        terminal.ok("recover", "approve", "plan.json", "--for", "1h")
    return str(plan["run"])


class Follower:
    """`holdfast recover status RUN --follow` as a process; what it has said so far."""

    def __init__(self, folder: Path, run: str, *more: str) -> None:
        command = [sys.executable, "-m", "holdfast.cli.main", "recover", "status", run, "--follow", *more]
        at = f"{time.monotonic_ns()}"
        self._out, self._err = folder / f"{at}.out", folder / f"{at}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def err(self) -> list[str]:
        return self._err.read_text().splitlines()

    def said(self, text: str) -> bool:
        return text in self._err.read_text()

    def ended(self) -> tuple[int, str]:
        return self.process.wait(120), self._out.read_text()


@pytest.fixture
def worker(terminal: Terminal) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Begins `holdfast worker run` as a process, which is ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        with (terminal.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "holdfast.cli.main", "worker", "run", "--json", "--grace", "20s"]
            started.append(
                subprocess.Popen(command, cwd=terminal.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )
        return started[-1]

    yield begin
    (terminal.folder / "go").touch()
    for one in started:
        one.send_signal(signal.SIGTERM)
    for one in started:
        one.wait(90)


def until(true: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.05)


def test_a_queued_run_is_followed_to_its_end(
    terminal: Terminal, planned: str, worker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """And by another one, who is interrupted."""
    folder, run = terminal.folder, planned
    queued = terminal.json("recover-run", "recover", "run", "plan.json", "--target", "back", "--yes", "--queue")
    assert (queued["run"], queued["state"], queued["taken"]) == (run, "planned", 0)
    work = terminal.json("worker-list", "worker", "list")["work"]
    assert [one["state"] for one in work if one["kind"] == "recover.run"] == ["QUEUED"]
    again = terminal.ok("recover", "run", "plan.json", "--target", "back", "--yes", "--queue")
    assert "queued run" in again.last and len(terminal.json("worker-list", "worker", "list")["work"]) == len(work)

    watching, other = Follower(folder, run), Follower(folder, run)
    until(lambda: watching.said("planned, 0 of") and other.said("planned, 0 of"), lambda: watching.err)
    worker()
    until(lambda: watching.said("verify-llama: done") and other.said("verify-llama: done"), lambda: watching.err)

    other.process.send_signal(signal.SIGINT)
    code, out = other.ended()
    assert code == 130 and not out and other.said(f"{run} goes on without this")

    (folder / "go").touch()
    code, out = watching.ended()
    assert code == 0, watching.err
    steps = terminal.json("recover-run", "recover", "status", run)["steps"]
    told = [line for line in watching.err if line.rstrip().endswith(": done")]
    assert sorted(line.partition(":")[0] for line in told) == sorted(step["id"] for step in steps)
    assert f"run {run} PASSED" in watching.err[-1] and run in out
    assert (folder / "back" / "a").read_text() == "a"
    late = Follower(folder, run, "--json")
    code, out = late.ended()
    assert code == 0 and checked("recover-run", out)["state"] == "PASSED"


def test_a_queued_run_that_fails_ends_the_watching_with_1(
    terminal: Terminal, planned: str, worker: Callable[[], subprocess.Popen[bytes]]
) -> None:
    folder, run = terminal.folder, planned
    (folder / "fail").touch()
    (folder / "go").touch()
    terminal.ok("recover", "run", "plan.json", "--target", "back", "--yes", "--queue")
    worker()
    watching = Follower(folder, run)
    assert watching.ended()[0] == 1
    assert f"run {run} FAILED" in watching.err[-1], watching.err
    assert watching.said("held: failed") and watching.said("restore-llama: undone")
    assert not (folder / "back").exists()
    done = terminal.run("recover", "run", "plan.json", "--target", "back", "--yes", "--queue")
    assert done.code == 5 and "has ended: FAILED" in done.err
    assert terminal.run("recover", "status", "0" * 20, "--follow").code == 3
    assert terminal.run("recover", "status", "--follow").code == 2
