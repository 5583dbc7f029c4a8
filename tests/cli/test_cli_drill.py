"""`holdfast drill`: a declared drill on copies, refusals all at once, the lever, drills that die, experiments."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from terminal import TWO_SITES, Terminal, write_checkpoint

from holdfast.control.drilling.taking import taken
from holdfast.drills.manifest import Manifest, is_running
from holdfast.drills.scenarios.catalogue import SCENARIOS

_ALL = bool(os.environ.get("HOLDFAST_ALL_DRILLS"))  # `make drills`
_FILE = (
    TWO_SITES
    + """\
assets:
  llama: {{class: training, save_every: 30min, place: {{synchronous: [use1], asynchronous: [euw4]}}}}
recoveries:
  llama-to-eu: {{asset: llama, strategy: BACKUP_AND_RESTORE, to: [euw4]}}
drills:
  weekly: {{recovery: llama-to-eu, level: functional, every: 7d, surprise_within: 2d, scenario: store-lost}}
"""
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves what every test begins with."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def world(terminal: Terminal, made: Path) -> Terminal:
    homes = {name: Path(os.environ[f"XDG_{name}_HOME"]) for name in ("CONFIG", "STATE")}
    if (made / "whole").exists():
        for name, home in homes.items():
            shutil.copytree(made / name, home, dirs_exist_ok=True)
        shutil.copytree(made / "work", terminal.folder, symlinks=True, dirs_exist_ok=True)
        (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
        return terminal
    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    terminal.ok("vault", "create", terminal.folder / "use1")
    for step in (1, 2):
        write_checkpoint(terminal.folder / "ckpt", step)
        terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", str(step))
    terminal.ok("site", "sync")
    shutil.copytree(terminal.folder, made / "work", symlinks=True)
    for name, home in homes.items():
        shutil.copytree(home, made / name)
    (made / "whole").touch()
    return terminal


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_declared_drill_on_copies(world: Terminal) -> None:
    before = {site: _files(world.folder / site) for site in ("use1", "euw4")}
    listed = world.json("drill-list", "drill", "list")
    assert [(one["name"], one["scenario"], one["last"]) for one in listed["drills"]] == [("weekly", "store-lost", None)]
    planned = world.json("drill-plan", "drill", "plan", "weekly")
    assert planned["store"] == "euw4/warm" and len(planned["snapshots"]) == 2 and not planned["refusals"]
    ran = world.json("drill-run", "drill", "run", "weekly")
    assert ran["state"] == "PASSED" and ran["rpo_state"] == ran["rto_state"] == "MET"
    assert ran["recovery_site"] == "euw4" and ran["snapshot"] == planned["snapshots"][-1]
    assert ran["steps_lost"] is None  # nothing works in a trial of copies: nobody can tell
    assert set(ran["compared"].values()) == {"PASSED"} and not ran["clean_up"]["left"] and ran["evidence"]
    assert not ran["evidence_problem"]
    kept = world.json("evidence-list", "evidence", "list")
    assert [one["run"] for one in kept["evidence"]] == ran["runs"]  # what the trial proved outlives it
    for site, files in before.items():  # and else nothing that people work with is touched
        after = _files(world.folder / site)
        assert {name: data for name, data in after.items() if not name.startswith("evidence/")} == files
    assert "failed" not in world.ok("site", "list").out

    table = world.json("drill-run", "drill", "run", "weekly", "--level", "tabletop")
    assert table["state"] == "PASSED" and table["rto"] is None and table["rto_state"] == "NOT_MEASURED"
    assert table["evidence"] and not table["evidence_problem"] and set(table["compared"].values()) == {"NOT_MEASURED"}
    component = world.json("drill-run", "drill", "run", "weekly", "--level", "component")
    assert component["state"] == "PASSED" and len(component["runs"]) == 1 and component["rpo"] is None

    status = world.json("drill-status", "drill", "status")
    assert [one["level"] for one in status["ended"]] == ["component", "tabletop", "functional"]
    assert not status["under_way"] and not status["abandoned"]
    shown = world.ok("drill", "report", ran["drill"][:8])
    assert max(map(len, shown.out.splitlines())) <= 80 or "evidence" in max(shown.out.splitlines(), key=len)
    assert world.json("drill-run", "drill", "report", ran["drill"]) == ran
    beside = world.json("drill-compare", "drill", "report", ran["drill"], "--against", table["drill"])
    assert beside["first"]["rto"] == ran["rto"] and beside["second"]["rto"] is None and beside["rto_more"] is None
    last = world.json("drill-list", "drill", "list")["drills"][0]
    assert last["last"]["id"] == component["drill"] and last["overdue_seconds"] is None
    kept = world.json("evidence-list", "evidence", "list")["evidence"]
    assert [one["outcome"] for one in kept] == ["PASSED"] * 3  # all of it can be read
    # Signed by the trial's key, which is gone, and countersigned by one that stays: a stranger needs that one alone.
    world.ok("evidence", "export", ran["runs"][0], "exported")
    verified = world.json("evidence-verify", "evidence", "verify", "exported")["evidence"]
    assert verified["countersigner"] and verified["countersigner"] != verified["signer"]
    script = [sys.executable, "-I", str(Path(__file__).parents[2] / "docs/verify-evidence.py"), "exported", "--signer"]
    done = subprocess.run([*script, verified["countersigner"]], cwd=world.folder, capture_output=True, text=True)
    assert done.returncode == 0 and "(whom you named)" in done.stdout, done.stderr
    component_signer = world.json("evidence-show", "evidence", "show", component["runs"][0])["evidence"]["signer"]
    assert component_signer == verified["countersigner"]  # of what has no trial the same key signs
    of = (verified["kind"], verified["exercise"], verified["environment"])
    assert of == ("drill", "functional-failover", "isolated")  # not of the trial's own recovery
    assert verified["rto"]["measured"] == pytest.approx(ran["rto"], abs=0.01)
    [asset] = world.json("objective-status", "objective", "status", "--asset", "llama")["assets"]
    assert asset["standing"]["values"]["drilled"] == pytest.approx(ran["rto"], abs=0.01)  # before the component's
    assert ran["drill"][:12] in asset["standing"]["sources"]["drilled"]
    for words in (("list",), ("status",), ("scenarios",), ("plan", "weekly")):
        lines = [line for line in world.ok("drill", *words).out.splitlines() if str(world.folder.parent) not in line]
        assert max(map(len, lines)) <= 80  # paths are never broken


def test_it_is_refused_when_it_would_not_be_safe_with_all_reasons(world: Terminal) -> None:
    world.ok("site", "fail", "euw4", "--reason", "it burns", "--force")
    said = world.run("drill", "run", "weekly", "--where", world.folder / "use1")
    assert said.code == 5 and "SITE_NOT_SOUND" in said.err and "NOT_ISOLATED" in said.err
    plan = world.json("drill-plan", "drill", "plan", "weekly", "--where", world.folder / "use1", code=5)
    assert {one["code"] for one in plan["refusals"]} >= {"SITE_NOT_SOUND", "NOT_ISOLATED"}
    assert world.json("drill-status", "drill", "status")["ended"] == []


def test_a_replica_that_is_three_intervals_behind_is_no_time_for_a_drill(world: Terminal) -> None:
    old = time.time() - 3 * 3600
    for path in (world.folder / "ckpt").rglob("*"):
        os.utime(path, (old, old), follow_symlinks=False)
    shutil.rmtree(world.folder / "euw4")
    said = world.run("drill", "run", "weekly")
    assert said.code == 5 and "euw4/warm has nothing" in said.err and "STALE_REPLICATION" in said.err


def test_names_and_words(world: Terminal) -> None:
    assert world.run("drill", "run", "nothing").code == 3
    assert world.run("drill", "run", "--recovery", "llama-to-eu", "--scenario", "flood").code == 3
    assert world.run("drill", "run").code == 2 and world.run("drill", "run", "weekly", "--sandbox").code == 2
    assert world.run("drill", "run", "weekly", "--level", "full").code == 2
    assert world.run("drill", "run", "weekly", "--plant", "tree").code == 3
    assert world.run("drill", "report", "0123").code == 3 and world.run("drill", "stop", "0123").code == 3
    assert world.run("drill", "stop").code == 2


def test_the_lever_and_one_at_a_time(world: Terminal) -> None:
    told = world.json("drill-stop", "drill", "stop", "--all", "--reason", "an incident is open")
    assert set(told["places"]) == {"use1/warm", "euw4/warm"} and told["silent"] == {}
    said = world.run("drill", "run", "--sandbox")
    assert said.code == 5 and "an incident is open" in said.err
    assert "STOPPED" in world.run("drill", "plan", "weekly").out
    assert world.json("drill-status", "drill", "status")["stopped"].endswith("an incident is open")
    (world.folder / "experiment.json").write_text('{"title": "t", "description": "", "method": []}')
    assert world.run("drill", "experiment", "experiment.json").code == 5
    assert not world.json("drill-stop", "drill", "stop", "--release", "--here")["was_stopped"]
    assert "STOPPED" in world.run("drill", "plan", "weekly").out  # the stores say so
    assert world.json("drill-stop", "drill", "stop", "--release")["was_stopped"]
    assert world.json("drill-stop", "drill", "stop", "--all", "--here")["places"] == []
    assert world.json("drill-stop", "drill", "stop", "--release")["was_stopped"]
    assert world.run("drill", "plan", "weekly").code == 0
    with ExitStack() as stack:
        stack.enter_context(taken(os.environ))
        assert world.run("drill", "run", "--sandbox").code == 6
        assert "DRILL_UNDER_WAY" in world.run("drill", "run", "weekly").err


def _begin(folder: Path, moment: str) -> tuple[subprocess.Popen[str], Manifest]:
    """A drill that has come to where it says `moment`; its manifest then."""
    words = [sys.executable, "-m", "holdfast.cli.main", "drill", "run", "--sandbox", "--scenario", "person-absent"]
    drill = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert drill.stderr is not None
    for line in drill.stderr:
        if moment in line:
            break
    [path] = (Path(os.environ["XDG_STATE_HOME"]) / "holdfast/drills").glob("*/manifest.json")
    return drill, Manifest.read(path)


def _gone(manifest: Manifest) -> bool:
    return not any(is_running(one.pid, one.began) for one in manifest.made if one.kind == "process")


def test_a_drill_that_is_killed_leaves_nothing_that_the_next_one_does_not_clear(terminal: Terminal) -> None:
    drill, manifest = _begin(terminal.folder, "is lost")
    drill.kill()
    drill.communicate()
    [trial] = [Path(one.path) for one in manifest.made if one.kind == "folder"]
    assert trial.is_dir()
    until = time.monotonic() + 30
    while not _gone(manifest) and time.monotonic() < until:
        time.sleep(0.05)
    assert _gone(manifest)  # the launcher ends with whoever began it, and what it had begun with it
    (terminal.folder / "beside").mkdir()
    status = terminal.json("drill-status", "drill", "status")
    assert status["abandoned"] == [manifest.drill] and not status["under_way"]
    cleared = terminal.json("drill-clear", "drill", "clear")
    assert cleared["removed"] and not cleared["left"] and not trial.exists() and (terminal.folder / "beside").exists()
    assert terminal.json("drill-status", "drill", "status")["abandoned"] == []


if _ALL:

    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_each_scenario_on_copies(world: Terminal, scenario: str) -> None:
        world.ok("snapshot", "verify", "llama", "--vault", world.folder / "euw4")
        ran = world.json("drill-run", "drill", "run", "weekly", "--scenario", scenario)
        assert ran["state"] == "PASSED" and ran["rto_state"] == "MET" and ran["level"] == "functional", ran["why"]
        assert all(one["bit"] for one in ran["faults"]) and set(ran["compared"].values()) == {"PASSED"}
        assert not ran["clean_up"]["left"] and ran["evidence"]

    @pytest.mark.parametrize("how", ["SIGTERM", "lever"])
    def test_a_drill_that_is_told_to_stop_cleans_up(terminal: Terminal, how: str) -> None:
        drill, manifest = _begin(terminal.folder, "is lost")
        if how == "lever":
            terminal.ok("drill", "stop", manifest.drill[:6], "--reason", "that will do")
        else:
            drill.send_signal(signal.SIGTERM)
        drill.communicate(timeout=60)
        assert drill.returncode == 1
        ran = terminal.json("drill-run", "drill", "report", manifest.drill)
        assert ran["state"] == "STOPPED" and not ran["clean_up"]["left"] and ran["rto"] is None
        assert ("that will do" if how == "lever" else "SIGTERM") in ran["why"]
        assert all(one["healed"] for one in ran["faults"] if one["bit"]) and _gone(manifest)
        assert not any(Path(one.path).exists() for one in manifest.made if one.kind == "folder")


def test_an_experiment_and_its_journal(world: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = world
    terminal.ok("audit", "create", "--vault", terminal.folder / "use1")
    steady = {"type": "probe", "name": "it is there", "tolerance": 0, "provider": _process("/bin/ls", "state")}
    experiment = {
        "title": "a folder goes",
        "description": "and comes back",
        "steady-state-hypothesis": {"title": "it is there", "probes": [steady]},
        "method": [{"type": "action", "name": "remove it", "provider": _process("/bin/mv", "state", "gone")}],
        "rollbacks": [{"type": "action", "name": "bring it back", "provider": _process("/bin/mv", "gone", "state")}],
    }
    (terminal.folder / "state").mkdir()
    (terminal.folder / "experiment.json").write_text(json.dumps(experiment))
    read = terminal.json("drill-experiment", "drill", "experiment", "experiment.json", "--dry-run")
    assert read["status"] == "read" and not read["activities"]
    assert [(one["section"], one["does"]) for one in read["planned"]] == [
        ("steady-state", "/bin/ls state"),
        ("method", "/bin/mv state gone"),
        ("steady-state again", "/bin/ls state"),
        ("rollbacks (default)", "/bin/mv gone state"),
    ]
    assert (
        "2. method: action remove it (process)"
        in terminal.ok("drill", "experiment", "experiment.json", "--dry-run").out
    )
    digest = hashlib.sha256((terminal.folder / "experiment.json").read_bytes()).hexdigest()
    monkeypatch.chdir(terminal.folder.parent)  # where nobody declares anything, nobody is permitted to
    alone = terminal.run("drill", "experiment", terminal.folder / "experiment.json")
    monkeypatch.chdir(terminal.folder)
    assert alone.code == 7 and "no policy permits" in alone.err and (terminal.folder / "state").is_dir()
    ran = terminal.json("drill-experiment", "drill", "experiment", "experiment.json", code=1)
    assert (ran["status"], ran["state"], ran["deviated"]) == ("completed", "FAILED", True)
    assert ran["steady_before"] and not ran["steady_after"] and (terminal.folder / "state").is_dir()
    journal = json.loads((terminal.folder / "journal.json").read_text())
    assert journal["status"] == "completed" and journal["deviated"] and journal["experiment"] == experiment
    assert journal["steady_states"]["before"]["steady_state_met"] and len(journal["run"]) == 1
    assert terminal.run("drill", "experiment", "experiment.json").code == 5  # a journal is not replaced
    terminal.ok("audit", "append", "--vault", terminal.folder / "use1")
    told = terminal.ok("audit", "show", "--vault", terminal.folder / "use1", "--json").out
    logged = [json.loads(line) for line in told.splitlines()]
    assert [one["outcome"] for one in logged if one["objects"].get("experiment") == digest] == ["failed"]
    experiment["method"][0]["surprise"] = 1  # type: ignore[index]
    (terminal.folder / "experiment.json").write_text(json.dumps(experiment))
    unknown = terminal.run("drill", "experiment", "experiment.json", "--journal", "other.json")
    assert unknown.code == 2 and "method[0].surprise" in unknown.err


def _process(path: str, *arguments: str) -> dict[str, object]:
    return {"type": "process", "path": path, "arguments": list(arguments)}
