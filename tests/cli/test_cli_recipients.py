"""`holdfast key`: recipients that are made, let in, taken out, split and put together."""

from __future__ import annotations

import json
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint

from holdfast.errors import StoreUnreachableError


@pytest.fixture
def saved(terminal: Terminal, vault: Path) -> Path:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    return vault


def fingerprint(terminal: Terminal) -> str:
    return str(terminal.json("key-show", "key", "show")["signer"])


def test_a_recipient_is_made_let_in_and_restores(
    terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = fingerprint(terminal)
    made = terminal.json(
        "key-create", "key", "create", "dr", "--public", "dr.recipient", "--to", "dr.key", "--keeper", keeper
    )
    assert (made["label"], made["keepers"], made["confirmed"]) == ("dr", [keeper], True)
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    shown = terminal.json("key-show", "key", "show", "dr.key")
    assert (shown["role"], shown["opener"], shown["signer"]) == ("reader", made["id"], None)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("HOLDFAST_KEY_FILE", "dr.key")
        assert terminal.run("restore", "llama", "out").code == 7
    added = terminal.json("key-add-recipient", "key", "add-recipient", "--from", "dr.recipient")
    assert (added["label"], added["kind"], added["id"], added["epochs"]) == ("dr", "keyfile", made["id"], [1])
    assert "dr" in terminal.ok("vault", "info", saved).out
    monkeypatch.setenv("HOLDFAST_KEY_FILE", "dr.key")
    terminal.ok("restore", "llama", "out")
    assert terminal.run("key", "remove-recipient", "dr").code == 7


def test_who_vouches_for_the_keeper_is_said(terminal: Terminal, saved: Path) -> None:
    said = terminal.ok("key", "create", "dr", "--public", "dr.recipient", "--to", "dr.key")
    assert "nothing vouches for it" in said.err and "--keeper" in said.err
    assert said.last.startswith("made the key of dr, which the keeper has yet to let in")
    wrong = terminal.run("key", "create", "x", "--public", "x.recipient", "--to", "x.key", "--keeper", "0" * 32)
    assert wrong.code == 7 and not Path("x.key").exists()
    assert terminal.run("key", "create", "y", "--public", "dr.recipient", "--to", "y.key").code == 5
    assert not Path("y.key").exists()


def test_no_secret_is_shown(terminal: Terminal, saved: Path) -> None:
    terminal.ok("key", "create", "dr", "--public", "dr.recipient", "--to", "dr.key")
    [secret] = [line.split('"')[3] for line in Path("dr.key").read_text().splitlines() if '"opener"' in line]
    for arguments in (["show", "dr.key"], ["show", "dr.key", "--json"], ["add-recipient", "--from", "dr.recipient"]):
        said = terminal.ok("key", *arguments)
        assert secret[:24] not in said.out + said.err
    assert secret[:24] not in Path("dr.recipient").read_text()


def test_removing_says_what_it_does_not_protect(terminal: Terminal, saved: Path) -> None:
    terminal.ok("key", "export-reader", "auditor", "--to", "auditor.key")
    said = terminal.ok("key", "remove-recipient", "auditor")
    assert "it can still open" in said.fact("it may have kept")
    assert "auditor can still open what is stored" in said.err and "`holdfast key rotate` protects" in said.err
    again = terminal.run("key", "remove-recipient", "auditor")
    assert again.code == 3
    last = terminal.run("key", "remove-recipient", "keeper")
    assert last.code == 5 and "is the last one that opens epoch 1" in last.err


def test_a_passphrase_comes_from_the_environment(
    terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal.run("key", "add-recipient", "--phrase").code == 2
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "correct horse battery staple")
    said = terminal.ok("key", "add-recipient", "--phrase", "--label", "paper")
    assert "correct horse" not in said.out + said.err
    monkeypatch.setenv("XDG_CONFIG_HOME", str(terminal.folder / "elsewhere"))
    terminal.ok("restore", "llama", "out")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--phrase", "--kms", "aws-kms://eu-central-1/alias/x"],
        ["--kms", "https://example.org"],
        ["--from", "x", "--label", "y"],
    ],
)
def test_who_is_to_be_said_in_one_way(terminal: Terminal, saved: Path, arguments: list[str]) -> None:
    assert terminal.run("key", "add-recipient", *arguments).code == 2


def test_a_key_in_shares(terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = terminal.json("key-split", "key", "split", "glass", "--shares", "4", "--threshold", "2", "--to", "shares")
    assert [Path(file).name for file in made["files"]] == [f"glass-{number}.share" for number in range(1, 5)]
    assert {stat.S_IMODE(Path(file).stat().st_mode) for file in made["files"]} == {0o600}
    assert terminal.run("key", "split", "glass", "--to", "shares").code == 5
    assert terminal.run("key", "split", "x", "--shares", "2", "--threshold", "3", "--to", "shares").code == 2
    monkeypatch.setenv("XDG_CONFIG_HOME", str(terminal.folder / "elsewhere"))
    assert terminal.run("restore", "llama", "out").code == 7
    monkeypatch.setenv("HOLDFAST_KEY_SHARES", made["files"][1])
    few = terminal.run("restore", "llama", "out")
    assert few.code == 7 and "2 shares open 'glass', and only 1" in few.err and "1 more are needed" in few.err
    monkeypatch.setenv("HOLDFAST_KEY_SHARES", f"{made['files'][1]}:{made['files'][3]}")
    terminal.ok("restore", "llama", "out")
    monkeypatch.delenv("HOLDFAST_KEY_SHARES")
    combined = terminal.json("key-combine", "key", "combine", made["files"][0], made["files"][2], "--to", "glass.key")
    assert (combined["id"], combined["shares"]) == (made["id"], [1, 3])
    monkeypatch.setenv("HOLDFAST_KEY_FILE", "glass.key")
    terminal.ok("restore", "llama", "out2")
    words = [Path(file).read_text().split("\n\n")[1].split() for file in made["files"]]
    pairs = [" ".join(pair) for one in words for pair in pairwise(one)]  # one alone may be a word of ours: "that"
    said = terminal.run("key", "combine", made["files"][0], "--to", "x.key")
    assert said.code == 7 and not any(pair in said.err + said.out for pair in pairs)


def test_a_split_that_fails_leaves_no_share(terminal: Terminal, saved: Path) -> None:
    Path("shares").mkdir()
    Path("shares/glass-3.share").write_text("mine")
    assert terminal.run("key", "split", "glass", "--to", "shares").code == 5
    assert [path.name for path in Path("shares").iterdir()] == ["glass-3.share"]


def test_which_key_file_is_meant(terminal: Terminal, saved: Path) -> None:
    terminal.ok("key", "create", "dr", "--public", "dr.recipient")  # a second one in the key folder
    said = terminal.run("key", "show")
    assert said.code == 2 and "there are 2 key files" in said.err
    assert terminal.run("key", "show", "absent").code == 7


def test_new_keys_for_what_is_stored(terminal: Terminal, saved: Path) -> None:
    planned = terminal.json("key-rotate", "key", "rotate", "--reseal", "--dry-run")
    assert planned["epoch"] == 1 and planned["resealed"]["epoch"] == 2 and planned["resealed"]["dry_run"]
    assert planned["resealed"]["young"] > 0, "a day has to pass: a save by another program may rely on them"
    assert terminal.run("key", "rotate", "--dry-run").code == 2
    said = terminal.ok("key", "rotate", "--reseal")
    assert said.fact("epoch") == "2" and "younger than a day" in said.fact("waiting")
    assert "names and statistics" in said.fact("stay as they are")
    assert "old keys open the old packs until `vault collect` has deleted them" in said.err
    sealed = terminal.json("key-reseal", "key", "reseal")["resealed"]
    assert (sealed["epoch"], sealed["packs"], sealed["left"]) == (2, 0, [])
    terminal.ok("restore", "llama", "out")
    terminal.ok("key", "reseal", "--dry-run")


def test_old_packs_are_sealed_anew_and_then_deleted(
    terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import time

    old = time.time() - 2 * 86_400
    for path in saved.rglob("*"):
        os.utime(path, (old, old))
    sealed = terminal.json("key-rotate", "key", "rotate", "--reseal")["resealed"]
    assert sealed["condemned"] == sealed["packs"] > 0 and sealed["written"] > 0 and not sealed["young"]
    terminal.ok("restore", "llama", "out")


def test_the_audit_log_says_who_was_let_in(terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.ok("audit", "create", "--names")
    terminal.ok("key", "create", "dr", "--public", "dr.recipient", "--to", "dr.key")
    added = terminal.json("key-add-recipient", "key", "add-recipient", "--from", "dr.recipient")
    monkeypatch.setenv("HOLDFAST_PASSPHRASE", "correct horse")
    terminal.ok("key", "add-recipient", "--phrase")
    split = terminal.json("key-split", "key", "split", "break-glass", "--to", "shares")
    terminal.ok("key", "rotate")
    terminal.ok("audit", "append")
    lines = terminal.ok("audit", "show", "--json").out.splitlines()
    told = [record["objects"] for record in map(json.loads, lines) if str(record.get("action")).startswith("key.")]
    labels = [(one.get("recipient"), one.get("recipient-id", ""), one.get("epoch")) for one in told]
    assert labels[0] == ("dr", added["id"], None) and labels[1][0] == "passphrase"
    assert labels[2:] == [("break-glass", split["id"], None), (None, "", "2")]


def test_a_reseal_that_fails_does_not_hide_the_rotation(
    terminal: Terminal, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise StoreUnreachableError("the store went away")

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.vault.access.resealing.reseal", fail)
        said = terminal.run("key", "rotate", "--reseal")
    assert said.code == 8 and "the new epoch was opened" in said.err and "`holdfast key reseal`" in said.err
    assert terminal.json("key-reseal", "key", "reseal", "--dry-run")["resealed"]["epoch"] == 2


@pytest.mark.parametrize("label", ["", "-x", "a b", "é"])
def test_labels_that_nobody_can_have(terminal: Terminal, saved: Path, label: str) -> None:
    for verb in ("export-writer", "export-reader"):
        said = terminal.run("key", verb, "--to", "new.key", "--", label)
        assert said.code == 2 and "a label has up to 64 letters" in said.err
    assert not (terminal.folder / "new.key").exists()
