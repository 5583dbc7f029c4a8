"""`holdfast audit`: a log from its making to a proof that a foreign program verifies."""

from __future__ import annotations

import json
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Terminal, checked

from holdfast.audit.signing_keys import load_note_key
from holdfast.audit.verifier_keys import parse_vkey
from holdfast.audit.witness_http import WitnessServer
from holdfast.audit.witnessing import Witness
from holdfast.stores.memory import MemoryStore

_SCRIPT = Path(__file__).parents[2] / "docs/verify-tlog-proof.py"


@pytest.fixture
def log(terminal: Terminal, vault: Path) -> dict[str, object]:
    """The record of a new log with one witness, `b.test/w`, whose key is `w.key`."""
    made = terminal.json("audit-witness-key", "audit", "witness-key", "b.test/w", "--to", "w.key")
    keys = [part for key in made["keys"] for part in ("--witness", key)]
    return terminal.json("audit-create", "audit", "create", *keys, "--quorum", "1")


def _append(terminal: Terminal, *more: str) -> dict[str, object]:
    return terminal.json("audit-append", "audit", "append", *more)


def test_from_the_first_entry_to_a_proof(
    terminal: Terminal, vault: Path, log: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stat.S_IMODE(Path(str(log["key_file"])).stat().st_mode) == 0o600
    assert terminal.json("audit-verify", "audit", "verify")["size"] == 0
    first = _append(terminal, "--action", "snapshot.save", "--object", "ticket=OPS-1", "--policy", "keeper-all")
    assert (first["sequenced"], first["size"]) == (1, 1)
    terminal.ok("key", "export-writer", "gpu-1", "--vault", vault, "--to", "gpu-1.key")
    with monkeypatch.context() as there:
        there.setenv("HOLDFAST_KEY_FILE", "gpu-1.key")
        there.setenv("HOLDFAST_AUDIT_KEY_FILE", "not-here.key")
        said = terminal.ok("audit", "append", "--action", "snapshot.save", "--decision", "denied")
        assert "audit/pending/" in said.fact("recorded")
        assert said.fact("into the log") == "0 entries"
        assert terminal.run("audit", "append").code == 7
    assert _append(terminal)["sequenced"] == 2
    assert terminal.run("audit", "verify").code == 9, "nobody has witnessed it yet"
    terminal.ok("audit", "witness", "--key", "w.key", "--state", "site-b")
    report = terminal.json("audit-verify", "audit", "verify")
    assert report["sound"] and report["witnesses"] == ["b.test/w"]
    assert report["members"] == {"gpu-1": 1, "keeper": 2}
    said = terminal.ok("audit", "show")
    assert sorted(line.split()[3:] for line in said.out.splitlines()[1:]) == [
        ["gpu-1", "snapshot.save", "denied", "done"],
        ["keeper", "key.export-writer", "allowed", "done"],
        ["keeper", "snapshot.save", "allowed", "done"],
    ]
    assert max(map(len, said.out.splitlines())) <= 80
    terminal.ok("audit", "prove", "0", "--out", "x.tlog-proof")
    assert terminal.run("audit", "prove", "0", "--out", "x.tlog-proof").code == 5
    proven = _verify_elsewhere(terminal.folder, "x.tlog-proof", *report["keys"])
    assert proven.returncode == 0 and "OPS-1" in proven.stdout, proven
    assert _verify_elsewhere(terminal.folder, "x.tlog-proof", report["keys"][0]).returncode == 0


def _verify_elsewhere(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With an interpreter that sees neither this package's folder nor the environment."""
    script = folder / "verify.py"
    shutil.copy(_SCRIPT, script)
    return subprocess.run(
        [sys.executable, "-I", str(script), *arguments], cwd=folder, env={}, capture_output=True, text=True, timeout=60
    )


def test_the_script_refuses_what_is_not_proven(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    for _ in range(3):
        _append(terminal, "--action", "snapshot.save")
    witnesses = [str(key) for key in log["witnesses"]]  # type: ignore[attr-defined]
    keys = [str(key) for key in log["keys"]]  # type: ignore[attr-defined]
    terminal.ok("audit", "witness", "--key", "w.key", "--state", "site-b")
    terminal.ok("audit", "prove", "1", "--out", "x.tlog-proof")
    good = (terminal.folder / "x.tlog-proof").read_text()
    quorum = ["--quorum", "1", *(part for key in witnesses for part in ("--witness", key))]
    assert _verify_elsewhere(terminal.folder, "x.tlog-proof", *keys, *quorum).returncode == 0
    itself = ["--quorum", "1", "--witness", keys[1]]
    assert "too few" in _verify_elsewhere(terminal.folder, "x.tlog-proof", *keys, *itself).stderr
    extra, place, *rest = good.split("\n")[1:]
    wrong = {
        "place": good.replace("index 1\n", "index 2\n"),
        "entry": good.replace(extra, f"extra {extra[-60:]}"),
        "hash": good.replace(rest[0], rest[1]),
        "root": good.replace("\n3\n", "\n4\n", 1),
        "form": good.replace("@v1", "@v2"),
        "unsigned": good.rpartition("\n\n")[0] + "\n\n",
    }
    assert place == "index 1"
    for name, text in wrong.items():
        (terminal.folder / "bad.tlog-proof").write_text(text)
        said = _verify_elsewhere(terminal.folder, "bad.tlog-proof", *keys)
        assert said.returncode == 1 and said.stderr.startswith("NOT proven"), name
    other = terminal.json("audit-witness-key", "audit", "witness-key", "c.test/w", "--to", "c.key")["keys"]
    assert _verify_elsewhere(terminal.folder, "x.tlog-proof", *other).returncode == 1
    more = [*quorum, "--witness", other[0], "--quorum", "2"]
    assert "too few witnesses" in _verify_elsewhere(terminal.folder, "x.tlog-proof", *keys, *more).stderr


def test_show_filters_and_prints_lines(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    for action in ("snapshot.save", "key.rotate", "key.revoke"):
        _append(terminal, "--action", action)
    said = terminal.run("audit", "show", "--action", "key", "--json")
    shown = [checked("audit-show", line) for line in said.out.splitlines()]
    assert [(one["number"], one["action"]) for one in shown] == [(1, "key.rotate"), (2, "key.revoke")]
    assert all(one["signed"] for one in shown)
    assert len(terminal.ok("audit", "show", "--actor", "keeper", "--since", "1h").out.splitlines()) == 4
    assert len(terminal.ok("audit", "show", "--actor", "keeper", "--until", "1h").out.splitlines()) == 0
    assert terminal.run("audit", "show", "--since", "yesterday").code == 2


def test_a_rollback_is_exit_code_4_and_names_itself(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    _append(terminal, "--action", "snapshot.save")
    shutil.copytree(vault, terminal.folder / "before")
    _append(terminal, "--action", "snapshot.drop")
    terminal.ok("audit", "witness", "--key", "w.key", "--state", "site-b")
    terminal.ok("audit", "verify")
    shutil.rmtree(vault)
    shutil.move(terminal.folder / "before", vault)
    report = terminal.json("audit-verify", "audit", "verify", code=4)
    assert "rollback" in [one["kind"] for one in report["findings"]]
    said = terminal.run("audit", "witness", "--key", "w.key", "--state", "site-b")
    assert said.code == 4 and "rolled back" in said.err


def test_a_stranger_verifies_and_is_told_what_that_rests_on(
    terminal: Terminal, vault: Path, log: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(terminal, "--action", "snapshot.save")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(terminal.folder / "nobody"))
    monkeypatch.setenv("XDG_STATE_HOME", str(terminal.folder / "nobody"))
    said = terminal.run("audit", "verify", "--quorum", "0")
    assert said.code == 0 and "taken at its word" in said.err
    key = str(log["keys"][0])  # type: ignore[index]
    assert "at its word" not in terminal.ok("audit", "verify", "--quorum", "0", "--log-key", key).err
    other = terminal.json("audit-witness-key", "audit", "witness-key", "x.test/w", "--to", "x.key")["keys"][0]
    assert terminal.run("audit", "verify", "--log-key", other).code == 7
    assert terminal.run("audit", "verify", "--keeper", "0" * 32).code == 7
    assert terminal.run("audit", "append", "--action", "snapshot.save").code == 7


def test_creating_again_and_what_is_refused(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    assert terminal.run("audit", "create").code == 5
    again = terminal.json("audit-create", "audit", "create", "--again", "--names")
    assert (again["origin"], again["keys"]) == (log["origin"], log["keys"])
    assert (again["witnesses"], again["names"]) == ([], True)
    assert terminal.run("audit", "create", "--again", "--quorum", "1").code == 2
    assert terminal.run("audit", "create", "--again", "--witness", "rubbish").code == 2
    said = terminal.run("audit", "witness", "--key", "w.key", "--state", str(vault))
    assert said.code == 5, "the witness would forget whatever the log's store forgets"
    assert terminal.run("audit", "append", "--object", "a=b").code == 2
    assert terminal.run("audit", "append", "--action", "Not A Word").code == 2


def test_a_description_that_went_back_is_a_rollback(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    """Else whoever owns the store could put an older quorum in force."""
    _append(terminal, "--action", "snapshot.save")
    terminal.ok("audit", "create", "--again")
    terminal.ok("audit", "verify")
    (vault / "audit/log/0000000002").unlink()
    report = terminal.json("audit-verify", "audit", "verify", "--quorum", "0", code=4)
    assert [(one["kind"], one["object"]) for one in report["findings"]] == [("rollback", "audit/log/")]


def test_a_witness_is_asked_over_http(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    keys = [parse_vkey(str(key)) for key in log["keys"]]  # type: ignore[attr-defined]
    witness = Witness(load_note_key(terminal.folder / "w.key", "witness"), MemoryStore(), {keys[0].name: keys})
    with WitnessServer(witness, "127.0.0.1", 0) as server:
        done = _append(terminal, "--action", "snapshot.save", "--witness-url", server.url)
        assert done["cosigned"] == ["b.test/w"]
    assert terminal.json("audit-verify", "audit", "verify")["witnesses"] == ["b.test/w"]
    said = terminal.ok("audit", "append", "--action", "snapshot.save", "--witness-url", server.url)
    assert "does not answer" in said.err, "a witness that is down stops nobody"
    assert terminal.run("audit", "verify").code == 9


def test_a_witness_that_listens(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    _append(terminal, "--action", "snapshot.save")
    command = [sys.executable, "-m", "holdfast.cli.main", "audit", "witness", "--vault", str(vault)]
    command += ["--key", "w.key", "--state", "site-b", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=terminal.folder, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        said = [serving.stderr.readline(), serving.stderr.readline()]
        [url] = re.findall(r"http://127\.0\.0\.1:\d+", said[1])
        assert _append(terminal, "--witness-url", url)["cosigned"] == ["b.test/w"]
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) == 130
    assert terminal.run("audit", "witness", "--key", "w.key", "--state", "site-b", "--listen", "nowhere").code == 2


def test_no_secret_is_shown(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    secrets = []
    for path in (Path(str(log["key_file"])), terminal.folder / "w.key"):
        held = json.loads(path.read_text())
        secrets += [held["ed25519"], held["mldsa44"]]
    said = [
        terminal.run("audit", "append", "--action", "x", "--json"),
        terminal.run("audit", "verify", "--json"),
        terminal.run("audit", "show", "--json"),
        terminal.run("audit", "witness", "--key", "w.key", "--state", "site-b", "--json"),
    ]
    everything = "".join(one.out + one.err for one in said)
    stored = b"".join(path.read_bytes() for path in vault.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in everything
        assert secret.encode() not in stored


def test_without_a_log(terminal: Terminal, vault: Path) -> None:
    for verb in (["verify"], ["show"], ["append"], ["prove", "0", "--out", "x"]):
        said = terminal.run("audit", *verb)
        assert said.code == 3 and "no audit log" in said.err, verb


def test_a_new_key_for_the_log(terminal: Terminal, vault: Path, log: dict[str, object]) -> None:
    _append(terminal, "--action", "snapshot.save")
    terminal.ok("audit", "witness", "--key", "w.key", "--state", "site-b")
    terminal.ok("audit", "prove", "0", "--out", "old.tlog-proof")
    old = [str(key) for key in log["keys"]]  # type: ignore[attr-defined]
    assert terminal.run("audit", "rotate-key", "--lost").code == 5
    record = terminal.json("audit-rotate-key", "audit", "rotate-key")
    assert (record["size"], record["handed_over"], record["cosigned"]) == (2, True, [])
    assert record["earlier_keys"] == [{"keys": old, "size": 2}]
    assert stat.S_IMODE(Path(record["key_file"]).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(record["retired_file"]).stat().st_mode) == 0o600
    _append(terminal, "--action", "snapshot.save")
    assert terminal.ok("audit", "witness", "--key", "w.key", "--state", "site-b").code == 0
    report = terminal.json("audit-verify", "audit", "verify")
    assert (report["sound"], report["keys"], report["findings"]) == (True, record["keys"], [])
    assert "counts up to 2 entries" in terminal.ok("audit", "verify").fact("before")
    terminal.ok("audit", "prove", "0", "--out", "new.tlog-proof")
    for file, keys, code in (("old", old, 0), ("new", record["keys"], 0), ("old", record["keys"], 1), ("new", old, 1)):
        assert _verify_elsewhere(terminal.folder, f"{file}.tlog-proof", *keys).returncode == code
    said = terminal.ok("audit", "rotate-key")
    assert said.fact("handed over") == "by the old key, in the log itself"
    assert said.err.splitlines()[-1].startswith("the log ") and "new key from entry" in said.err
