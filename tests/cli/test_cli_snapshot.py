"""`holdfast snapshot`: transcripts, JSON, exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import Terminal, write_checkpoint

from holdfast.testing.damage import ended_otherwise


@pytest.fixture
def history(terminal: Terminal, vault: Path) -> list[Any]:
    """Three snapshots of `llama`: two good ones, and one with a NaN in it."""
    saved = []
    for step, bad in ((100, False), (200, False), (300, True)):
        write_checkpoint(terminal.folder / "ckpt", step, bad=bad)
        arguments = ["snapshot", "save", "ckpt", "--asset", "llama", "--step", str(step), "--meta", f"git=c{step}"]
        saved.append(terminal.json("snapshot-save", *arguments))
    return saved


def test_save_tells_sizes_mechanisms_findings_and_pointers(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    first = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "1", "--tag", "start")
    assert first.fact("size").endswith("in 3 files")
    assert first.fact("pointers") == "latest, validated, start"
    assert first.fact("found") == "nothing wrong"
    assert "decoded and compared" in first.fact("read back")
    assert first.last.startswith(f"saved {first.fact('snapshot')} in ")
    write_checkpoint(terminal.folder / "ckpt", 2)
    second = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "2")
    assert "delta" in second.fact("by")
    assert "deduplicated" in second.fact("by")


def test_save_as_json_adds_up(history: list[Any]) -> None:
    for saved in history:
        snapshot = saved["snapshot"]
        assert sum(one["bytes"] for one in saved["mechanisms"]) == snapshot["bytes"]
        assert sum(one["stored_bytes"] for one in saved["mechanisms"]) < snapshot["stored_bytes"] < snapshot["bytes"]
    assert history[1]["snapshot"]["parents"] == [history[0]["snapshot"]["id"]]
    assert history[1]["read_back"]["bytes"] == history[1]["snapshot"]["bytes"]
    assert history[1]["snapshot"]["pointers"] == ["latest", "validated"]


def test_save_with_a_finding_warns_and_leaves_validated_where_it_was(terminal: Terminal, history: list[Any]) -> None:
    bad = history[2]
    assert bad["validated"] is False
    assert bad["snapshot"]["verdict"] == "warned"
    assert [finding["check"] for finding in bad["findings"]] == ["non-finite"]
    show = terminal.json("snapshot-show", "snapshot", "show", "llama@validated")
    assert show["snapshot"]["id"] == history[1]["snapshot"]["id"]


def test_save_without_verifying_says_that_it_was_not_read_back(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    said = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--no-verify")
    assert said.fact("read back").startswith("not read back")
    assert said.fact("pointers") == "latest"
    assert terminal.run("snapshot", "show", "llama@validated").code == 3


def test_policies_refuse_and_quarantine(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1, bad=True)
    refused = terminal.run("snapshot", "save", "ckpt", "--asset", "llama", "--policy", "refuse")
    assert refused.code == 5
    assert "values are NaN or infinite" in refused.err
    kept = terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--policy", "quarantine")
    assert kept.fact("pointers").startswith("none: it is quarantined")
    assert kept.last.startswith("quarantined ")
    assert terminal.run("snapshot", "show", "llama").code == 3
    terminal.ok("snapshot", "show", kept.fact("snapshot"))
    wrong = terminal.run("snapshot", "save", "ckpt", "--asset", "llama", "--policy", "hope")
    assert wrong.code == 2


def test_a_dry_run_counts_and_writes_nothing(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    before = sorted(vault.rglob("*"))
    arguments = ["snapshot", "save", "ckpt", "--asset", "llama", "--dry-run"]
    plan = terminal.json("snapshot-save-plan", *arguments)
    assert (plan["files"], plan["folders"], plan["links"], plan["parent"]) == (3, 1, 1, None)
    files = [path for path in (terminal.folder / "ckpt").rglob("*") if path.is_file() and not path.is_symlink()]
    assert plan["bytes"] == sum(path.stat().st_size for path in files)
    assert sorted(vault.rglob("*")) == before
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama", "--step", "7")
    (terminal.folder / "ckpt/sub/config.json").write_text('{"hidden": 256}')
    again = terminal.json("snapshot-save-plan", *arguments)
    assert again["parent"] == saved["snapshot"]["id"]
    assert again["parent_step"] == 7
    assert again["like_parent_files"] == 2
    said = terminal.ok(*arguments)
    assert said.fact("would read").endswith("in 3 files (1 folder, 1 link)")
    assert "nothing was written" in said.last


def test_save_of_what_is_not_there(terminal: Terminal, vault: Path) -> None:
    assert terminal.run("snapshot", "save", "nothing", "--asset", "llama").code == 3
    assert terminal.run("snapshot", "save", "nothing", "--asset", "llama", "--vault", "nowhere").code == 3


@pytest.mark.parametrize("meta", ["novalue", "=x"])
def test_meta_must_be_pairs(terminal: Terminal, vault: Path, meta: str) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    said = terminal.run("snapshot", "save", "ckpt", "--asset", "llama", "--meta", meta)
    assert said.code == 2
    assert "--meta needs NAME=VALUE" in said.err


def test_list_can_be_limited_to_the_newest_and_counts_the_others(terminal: Terminal, history: list[Any]) -> None:
    said = terminal.ok("snapshot", "list", "--limit", "1")
    [_, row, rest] = said.out.splitlines()
    assert history[2]["snapshot"]["id"].startswith(row.split()[0]) and row.endswith("  warned, latest")
    assert rest == "and 2 older snapshots, which --limit left out"
    assert said.last.startswith("listed 1 snapshot (and 2 older) in ")
    listed = terminal.json("snapshot-list", "snapshot", "list", "--limit", "2", "--asset", "llama")
    assert [one["id"] for one in listed["snapshots"]] == [saved["snapshot"]["id"] for saved in history[1:]]
    assert listed["older"] == 1
    assert terminal.json("snapshot-list", "snapshot", "list", "--limit", "3")["older"] == 0
    assert terminal.run("snapshot", "list", "--limit", "0").code == 2


def test_list_has_a_line_for_each_snapshot_with_what_points_to_it(terminal: Terminal, history: list[Any]) -> None:
    said = terminal.ok("snapshot", "list")
    title, *rows = said.out.splitlines()
    assert title.split() == ["SNAPSHOT", "ASSET", "STEP", "CONTENT", "SIZE", "STORED", "STATE"]
    assert [row.split()[0] for row in rows] == [saved["snapshot"]["id"][: len(rows[0].split()[0])] for saved in history]
    assert rows[1].endswith("  validated")
    assert rows[2].endswith("  warned, latest")
    assert said.last.startswith("listed 3 snapshots in ")
    one = terminal.ok("snapshot", "list", "--asset", "llama")
    assert "ASSET" not in one.out
    listed = terminal.json("snapshot-list", "snapshot", "list")
    assert [snapshot["step"] for snapshot in listed["snapshots"]] == [100, 200, 300]
    assert terminal.run("snapshot", "list", "--asset", "nobody").code == 3


def test_list_goes_on_past_a_damaged_root_and_exits_4(terminal: Terminal, vault: Path, history: list[Any]) -> None:
    root = next((vault / "snapshots").rglob(history[0]["snapshot"]["id"]))
    root.chmod(0o600)
    root.write_bytes(ended_otherwise(root.read_bytes()))
    listed = terminal.json("snapshot-list", "snapshot", "list", code=4)
    assert [snapshot["step"] for snapshot in listed["snapshots"]] == [200, 300]
    assert history[0]["snapshot"]["id"] in listed["damaged"][0]["object"]
    said = terminal.run("snapshot", "list")
    assert said.code == 4
    assert "1 damaged object" in said.last
    info = terminal.run("vault", "info", vault)
    assert info.code == 4


def test_the_short_ids_of_a_list_refer_to_their_snapshots(terminal: Terminal, history: list[Any]) -> None:
    for row, saved in zip(terminal.ok("snapshot", "list").out.splitlines()[1:], history, strict=True):
        shown = terminal.json("snapshot-show", "snapshot", "show", row.split()[0])
        assert shown["snapshot"]["id"] == saved["snapshot"]["id"]


def test_show_tells_everything_in_sections(terminal: Terminal, history: list[Any]) -> None:
    said = terminal.ok("snapshot", "show", "llama@step=200", "--tensors", "--files")
    for title in ("COMPONENT  FILES", "SAVED BY", "POINTER", "TENSOR IN model.safetensors", "FORMAT"):
        assert title in said.out
    assert said.fact("meta git") == "c200"
    assert "UTC (" in said.fact("content")
    assert said.fact("checked").endswith("policy warn: good")
    assert "sub/link.json -> config.json" in said.out
    assert "64 × 128" in said.out
    wide = [line for line in said.out.splitlines() if len(line) > 80]
    assert all(" -> " in line for line in wide), wide  # a link's target is not cut


def test_show_as_json_lists_tensors_and_files_only_when_asked(terminal: Terminal, history: list[Any]) -> None:
    short = terminal.json("snapshot-show", "snapshot", "show", "llama")
    assert short["tensors"] is None
    assert short["files"] is None
    assert short["tensor_count"] == 6
    assert short["read_back"] is None
    long = terminal.json("snapshot-show", "snapshot", "show", "llama", "--tensors", "--files")
    assert {tensor["name"]: tensor["nonfinite"] for tensor in long["tensors"]}["layers.1.weight"] == 1
    assert [file["path"] for file in long["files"]][:2] == [".", "model.safetensors"]
    assert {component["component"] for component in long["components"]} == {"weights", "optimizer", "other"}
    good = terminal.json("snapshot-show", "snapshot", "show", "llama@validated")
    assert good["read_back"]["level"] == "decoded"


def test_diff_tells_facts_files_and_tensors(terminal: Terminal, history: list[Any]) -> None:
    said = terminal.ok("snapshot", "diff", "llama@step=100", "llama@step=200")
    assert said.fact("step") == "100 -> 200"
    assert said.fact("meta git") == "c100 -> c200"
    assert "TENSOR IS" in said.out
    diff = terminal.json("snapshot-diff", "snapshot", "diff", "llama@step=100", "llama@step=200")
    changes = {file["path"]: file for file in diff["files"]}
    assert changes["model.safetensors"]["what"] == "content"
    assert {tensor["what"] for tensor in changes["model.safetensors"]["tensors"]} == {"values"}
    assert changes["optimizer.safetensors"]["what"] == "time"  # written anew, with the same bytes
    assert changes["optimizer.safetensors"]["changed_bytes"] == 0
    same = terminal.json("snapshot-diff", "snapshot", "diff", "llama", "llama")
    assert same["files"] == []


def test_verify_reads_back_and_moves_validated_only_when_told_to(terminal: Terminal, history: list[Any]) -> None:
    said = terminal.ok("snapshot", "verify", "llama@step=300")
    assert "--accept-findings would move it" in said.err
    accepted = terminal.json("snapshot-verify", "snapshot", "verify", "llama@step=300", "--accept-findings")
    assert accepted["validated"] is True
    assert "validated" in accepted["snapshot"]["pointers"]


def test_verify_of_a_damaged_snapshot_exits_4_naming_the_pack(
    terminal: Terminal, vault: Path, history: list[Any]
) -> None:
    pack = max((path for path in (vault / "packs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:2000] + bytes(2000) + pack.read_bytes()[4000:])
    failed = terminal.json("error", "snapshot", "verify", "llama@step=100", code=4)
    assert failed["error"]["code"] == "damage"
    assert failed["error"]["object"].endswith(pack.name)


def test_tags_move_and_come_off(terminal: Terminal, history: list[Any]) -> None:
    first, second = history[0]["snapshot"]["id"], history[1]["snapshot"]["id"]
    assert terminal.json("snapshot-tag", "snapshot", "tag", "llama@step=100", "best")["moved_from"] is None
    assert terminal.json("snapshot-tag", "snapshot", "tag", "llama@step=200", "best")["moved_from"] == first
    assert terminal.json("snapshot-show", "snapshot", "show", "llama@best")["snapshot"]["id"] == second
    elsewhere = terminal.run("snapshot", "tag", "llama@step=100", "best", "--remove")
    assert elsewhere.code == 2
    assert f"tag 'best' is on snapshot {second}" in elsewhere.err
    assert "(removed)" in terminal.ok("snapshot", "tag", "llama@best", "best", "--remove").out
    assert terminal.run("snapshot", "tag", "llama", "best", "--remove").code == 3
    assert terminal.run("snapshot", "tag", "llama", "validated").code == 2


def test_drop_refuses_what_is_tagged_or_validated_and_drops_the_rest(terminal: Terminal, history: list[Any]) -> None:
    terminal.ok("snapshot", "tag", "llama@step=100", "start")
    assert terminal.run("snapshot", "drop", "llama@start").code == 5
    assert terminal.run("snapshot", "drop", "llama@validated").code == 5
    plan = terminal.json("snapshot-drop", "snapshot", "drop", "llama@step=300", "--dry-run")
    assert plan["moves"] == {"latest": history[1]["snapshot"]["id"]}
    assert len(terminal.json("snapshot-list", "snapshot", "list")["snapshots"]) == 3
    said = terminal.ok("snapshot", "drop", "llama@step=300")
    assert said.last.startswith(f"dropped {history[2]['snapshot']['id']} in ")
    assert [s["step"] for s in terminal.json("snapshot-list", "snapshot", "list")["snapshots"]] == [100, 200]
    assert terminal.run("snapshot", "drop", "llama@step=300").code == 3


def test_names_that_try_to_steer_the_terminal_are_shown_escaped(terminal: Terminal, vault: Path) -> None:
    folder = terminal.folder / "ckpt"
    folder.mkdir()
    (folder / "\x1b[31mred").write_text("x")
    (folder / "latin-\udce9").write_text("y")
    terminal.ok("snapshot", "save", folder, "--asset", "odd")
    said = terminal.ok("snapshot", "show", "odd", "--files")
    assert "\x1b" not in said.out
    assert "\\x1b[31mred" in said.out
    assert "latin-\\udce9" in said.out
    paths = [file["path"] for file in terminal.json("snapshot-show", "snapshot", "show", "odd", "--files")["files"]]
    assert "\x1b[31mred" in paths
    assert "latin-\\udce9" in paths
