"""`holdfast worker`: what is due is done once, seen, cancelled; without the extra there is one clear error."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from terminal import TWO_SITES, Terminal, checked

from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import open_workflows

_FILE = (
    TWO_SITES
    + """\
assets:
  llama: {{class: training, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu: {{asset: llama, strategy: BACKUP_AND_RESTORE, to: [euw4]}}
drills:
  weekly: {{recovery: llama-to-eu, level: component, every: 7d, surprise_within: 2d}}
work: {{without: [catalog.update]}}
"""
)


@pytest.fixture
def sites(terminal: Terminal) -> DeclaredSites:
    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    terminal.ok("vault", "create", str(terminal.folder / "use1"))
    (terminal.folder / "data").mkdir()
    (terminal.folder / "data" / "a").write_text("a")
    terminal.ok("snapshot", "save", "data", "--asset", "llama")
    return DeclaredSites(load_config(terminal.folder / "holdfast.yaml"))


def test_what_was_submitted_is_done_and_seen(terminal: Terminal, sites: DeclaredSites) -> None:
    queue = open_workflows(sites)
    queue.submit("site.sync", {}, key="sync/1", by="ann")
    queue.submit("recover.check", {"name": "none"}, key="check/1")
    queue.submit("catalog.update", {}, key="later", not_before_ns=1 << 62)
    status = terminal.json("worker-status", "worker", "status")
    assert (status["queued"], status["running"], status["workers"]) == (3, 0, [])
    assert {one["kind"] for one in status["schedules"]} == {"recover.check", "drill.run", "site.sync"}
    drill = next(one for one in status["schedules"] if one["kind"] == "drill.run")
    assert drill["next_from"] != drill["next_until"], "nobody is told the moment of a surprise"

    said = terminal.run("worker", "run", "--once", "--json", "--grace", "20s")
    events = [checked("worker-run", line) for line in said.out.splitlines()]
    assert said.code == 1, "some work failed"
    told = [(one["what"], one["work"]) for one in events]
    assert told[0] == ("started", "") and told[-1] == ("stopped", "")
    assert ("done", "sync/1") in told and ("failed", "check/1") in told
    assert not any(work == "later" for _, work in told)
    assert "1 piece done, 1 piece of work failed, 0 handed over" in said.last

    work = {one["key"]: one for one in terminal.json("worker-list", "worker", "list")["work"]}
    assert work["sync/1"]["state"] == "DONE" and work["sync/1"]["by"] == "ann"
    assert work["sync/1"]["outcome"]["settled"] is True
    assert work["check/1"]["state"] == "FAILED" and work["check/1"]["error"]["code"] == "not-found"
    shown = terminal.ok("worker", "list", "--last", "2")
    assert "check/1: not-found:" in shown.out and max(map(len, shown.out.splitlines()[:3])) <= 80
    assert (terminal.folder / "euw4").is_dir(), "the copy is there"

    gone = terminal.json("worker-cancel", "worker", "cancel", "later")
    assert gone["work"]["state"] == "CANCELLED" and gone["work"]["not_before"] is not None
    assert terminal.run("worker", "cancel", "sync/1").code == 5
    assert terminal.run("worker", "cancel", "nothing").code == 3
    assert terminal.run("worker", "list", "--kind", "nothing").code == 2
    terminal.ok("worker", "run", "--once")
    seen = terminal.ok("worker", "status")
    assert "nobody works" in seen.out and "a surprise before" in seen.out
    assert max(len(line) for line in seen.out.splitlines() if not line.startswith("queue")) <= 80
    queue.close()


def test_places_that_cannot_be(terminal: Terminal, sites: DeclaredSites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_WORK_DB", "postgresql://me:secret@127.0.0.1:1/work")
    said = terminal.run("worker", "status")
    assert said.code == 2 and "secret" not in said.err + said.out
    monkeypatch.setenv("HOLDFAST_WORK_DB", "postgresql://me@127.0.0.1:1/work")
    assert terminal.run("worker", "status").code == 8
    assert terminal.run("worker", "run", "--once").code == 8
    garbage = terminal.folder / "garbage.sqlite"
    garbage.write_bytes(b"no database" * 999)
    monkeypatch.setenv("HOLDFAST_WORK_DB", str(garbage))
    assert terminal.run("worker", "status").code == 4
    terminal.ok("worker", "run", "--once", "--no-schedules")
    terminal.ok("worker", "status")
    (aside,) = Path(terminal.folder).glob("garbage.sqlite.damaged-*")
    assert aside.read_bytes() == b"no database" * 999


def test_without_the_extra(terminal: Terminal, sites: DeclaredSites, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "dbos" else real(name, *a))
    said = terminal.run("worker", "status")
    assert said.code == 1 and "holdfast[workers]" in said.err


def test_other_commands_load_nothing_of_it(terminal: Terminal) -> None:
    """A queue costs nobody anything who does not ask for it."""
    import subprocess

    check = """
import sys, holdfast.cli.main, holdfast.control.workflows
sys.exit("dbos" in sys.modules or "sqlalchemy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
