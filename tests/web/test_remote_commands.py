"""Commands with HOLDFAST_SERVER: asked of a real server, from a home where nothing is declared and no key lies."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from tests.web.server_process import ServedWorld, Serving

from holdfast.cli.main import main, program
from holdfast.cli.remote import DIRECT, LOCAL, REMOTE
from holdfast.cli.schemas import OUTPUTS


class Far(NamedTuple):
    """Commands of people who have nothing but an API key and the address. `home`: theirs."""

    world: ServedWorld
    server: Serving
    home: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str | Path, person: str = "ada", **more: str) -> tuple[int, str, str]:
        key = self.home / f"{person}.key"
        key.write_text(self.world.keys[person])
        key.chmod(0o600)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        environment |= {f"XDG_{kind}_HOME": str(self.home / kind) for kind in ("CONFIG", "STATE", "CACHE")}
        environment |= {"HOLDFAST_SERVER": self.server.address, "HOLDFAST_API_KEY_FILE": str(key)}
        self.capture.readouterr()
        with mock.patch.dict(os.environ, environment | more, clear=True):
            code = main([str(one) for one in arguments])
        out, said = self.capture.readouterr()
        return code, out, said

    def json(self, schema: str, *arguments: str | Path, code: int = 0, person: str = "ada") -> Any:
        import msgspec

        found, out, said = self.run(*arguments, "--json", person=person)
        assert found == code, (out, said)
        msgspec.json.decode(out.splitlines()[0], type=OUTPUTS[schema])
        return json.loads(out.splitlines()[0])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedWorld, Serving]]:
    world = ServedWorld(tmp_path_factory.mktemp("far"), drills=True)
    world.go.touch()
    with world.serving() as server:
        yield world, server


@pytest.fixture
def far(
    running: tuple[ServedWorld, Serving],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Far:
    monkeypatch.chdir(tmp_path)
    return Far(*running, tmp_path, capsys)


def test_drills(far: Far) -> None:
    """Before the home is fenced by a recovery."""
    assert [one["name"] for one in far.json("drill-list", "drill", "list")["drills"]] == ["weekly"]
    assert far.json("drill-stop", "drill", "stop", "--all", "--reason", "no")["all"] is True
    assert far.json("drill-status", "drill", "status")["stopped"]
    assert far.run("drill", "run", "weekly")[0] in (1, 5), "the lever is pulled"
    assert far.json("drill-stop", "drill", "stop", "--release")["was_stopped"] is True
    assert far.run("drill", "stop", "0123")[0] == 3
    ran = far.json("drill-run", "drill", "run", "weekly")
    assert ran["state"] == "PASSED"
    assert far.json("drill-run", "drill", "report", ran["drill"])["state"] == "PASSED"


def test_a_recovery_from_its_plan_to_its_evidence(far: Far) -> None:
    before = len(far.world.acted())
    assert far.json("recover-check", "recover", "check", "model-to-b")["refusals"] == []
    made = far.json("recover-plan", "recover", "plan", "model-to-b", "--reason", "it burns", "--out", "plan.json")
    run = made["run"]
    assert made["file"] == "plan.json" and json.loads((far.home / "plan.json").read_text())["run"] == run
    assert far.run("recover", "plan", "model-to-b", "--out", "plan.json")[0] == 1, "plans are not replaced"
    assert far.json("recover-review", "recover", "review", "plan.json", code=5)["passed"] is False
    assert far.run("recover", "approve", "plan.json", "--for", "1h")[0] == 5, "one's own"
    assert far.json("recover-approve", "recover", "approve", run, "--for", "1h", person="ben")["run"] == run
    assert far.json("recover-review", "recover", "review", run)["passed"] is True
    assert far.run("recover", "run", "plan.json")[0] == 2, "nobody said --yes"
    done = far.json("recover-run", "recover", "run", "plan.json", "--yes")
    assert done["state"] == "PASSED"
    assert far.world.acted()[before:] == ["first", "second"]
    assert far.json("recover-run", "recover", "status", run, "--follow")["state"] == "PASSED"
    assert run in [one["run"] for one in far.json("recover-runs", "recover", "status")["runs"]]
    assert far.run("recover", "adopt", run)[0] == 5, "it has ended"
    assert far.run("recover", "adopt", run, "--without", "c")[0] == 2, "not for a server"

    def listed() -> list[str]:
        return [one["run"] for one in far.json("evidence-list", "evidence", "list", person="olga")["evidence"]]

    with mock.patch.dict(os.environ, far.world.environment, clear=True):
        assert main(["evidence", "write", run, "--config", str(far.world.config), "--quiet"]) == 0
    assert run in listed()
    assert far.json("evidence-show", "evidence", "show", run, person="olga")["evidence"]["outcome"] == "PASSED"
    far.json("evidence-export", "evidence", "export", run, "there", person="olga")
    assert far.run("evidence", "verify", "there")[0] == 0, "offline, whatever HOLDFAST_SERVER says"
    path = f"/api/v1/evidence/{run}/files"
    files = far.server.ask("GET", path, "olga").said["files"]
    kept = {one.relative_to("there").as_posix(): one.read_bytes() for one in Path("there").rglob("*") if one.is_file()}
    assert {name: base64.b64decode(content) for name, content in files.items()} == kept
    assert far.server.ask("GET", path).status == 401


def test_what_is_said_to_a_run(far: Far) -> None:
    run = far.json("recover-plan", "recover", "plan", "model-to-b")["run"]
    assert far.run("recover", "approve", run, "--for", "1h", person="ben")[0] == 0
    for verb in ("pause", "resume", "stop"):
        far.json("recover-run", "recover", verb, run, "--reason", "to try it")
    code, _, said = far.run("recover", "skip", run, "nothing", "--reason", "x")
    assert code != 0 and "nothing" in said


def test_sites_objectives_and_snapshots(far: Far) -> None:
    assert [one["name"] for one in far.json("site-list", "site", "list")["sites"]] == ["a", "b", "c"]
    far.json("site-exposure", "site", "exposure", person="olga")
    assert far.json("objective-status", "objective", "status")["assets"][0]["asset"] == "model"
    [one] = far.json("snapshot-list", "snapshot", "list", "--asset", "model", person="olga")["snapshots"]
    shown = far.json("snapshot-show", "snapshot", "show", "model", "--tensors", person="olga")
    assert shown["snapshot"]["id"] == one["id"]
    code, _, said = far.run("snapshot", "list", person="olga")
    assert code == 2 and "--asset" in said


def test_incidents(far: Far) -> None:
    assert far.json("incident-list", "incident", "list")["incidents"] == []
    for verb in (["show"], ["ack"], ["resolve", "--note", "it is over"]):
        assert far.run("incident", verb[0], "nothing", *verb[1:])[0] == 3


def test_the_audit_log(far: Far) -> None:
    first = far.json("audit-show", "audit", "show", person="olga")
    assert first["number"] == 0
    code, out, said = far.run("audit", "show", "--action", first["action"], "--json", person="olga")
    assert code == 0, said
    assert json.loads(out.splitlines()[0]) == first
    proof = far.server.ask("GET", "/api/v1/audit/0/proof", "olga")
    assert base64.b64decode(proof.said["proof"]).startswith(b"c2sp.org/tlog-proof@v1")
    assert far.server.ask("GET", "/api/v1/audit/100000/proof", "olga").status in (400, 404)
    code, _, said = far.run("audit", "show", person="tim")
    assert (code, "no policy permits" in said) == (7, True), said


def test_what_a_server_does_not_do_is_never_done_here_in_silence(far: Far) -> None:
    """Every command of the program: asked, refused with a hint, about this machine alone, or with a remark."""

    def walk(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*above, name))
            else:
                yield " ".join((*above, name)), command

    kinds = {"asked": 0, "refused": 0, "direct": 0, "local": 0}
    for path, command in walk(program()):
        if path in REMOTE:
            kinds["asked"] += 1
            assert command.elsewhere is not None
        elif path in DIRECT:
            kinds["direct"] += 1
            assert command.beforehand is not None
        elif path in LOCAL or path.split()[0] in LOCAL:
            kinds["local"] += 1
        else:
            kinds["refused"] += 1
            needed = [one for one in command.params if one.required]
            values = [value for one in needed for value in (*(one.opts[:1] if one.opts[0][:1] == "-" else ()), "1")]
            code, _, said = far.run(*path.split(), *values)
            assert code == 2 and "HOLDFAST_SERVER" in said, (path, code, said)
    assert min(kinds.values()) > 4, kinds
    (far.home / "data").write_text("x")
    code, _, said = far.run("snapshot", "save", "data", "--asset", "model")
    assert code != 0 and "whatever HOLDFAST_SERVER says" in said
    assert far.run("snapshot", "save", "data", "--asset", "model", "--server", far.server.address)[0] == 2


def test_a_server_that_is_not_there(far: Far) -> None:
    assert far.run("site", "list", HOLDFAST_SERVER="http://127.0.0.1:1")[0] == 8
    assert far.run("site", "list", HOLDFAST_SERVER="http://holdfast.example.org")[0] == 2, "plain HTTP"
