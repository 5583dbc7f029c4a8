"""`snapshot save --group`: what holdfast.yaml declares, cut by its hooks, saved as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1}}}}
  fra:
    cloud: onprem
    region: frankfurt
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/fra}}}}
assets:
  model: {{class: development, watch: checkpoints, place: {{synchronous: [use1]}}}}
  tokenizer: {{class: development, path: tokenizer.json, place: {{synchronous: [use1]}}}}
  features: {{class: development, path: features.dump, place: {{synchronous: [use1]}}}}
  people: {{class: development, path: tokenizer.json, place: {{synchronous: [fra], only_jurisdiction: [EU]}}}}
  release: {{class: development, place: {{synchronous: [use1]}}}}
groups:
  release:
    assets: [model, tokenizer, features]
    saved_as: release
    staging: cuts
    hold: {hold}
    datasets: {{train: data}}
    hooks:
      features:
        before: {before}
        after: [sh, -c, "rm {folder}/frozen && echo > {folder}/features.dump"]
        timeout: {timeout}
  private: {{assets: [people], saved_as: release}}
  loose: {{assets: [model]}}
"""
_DUMP = '[sh, -c, "touch {folder}/frozen; echo dump $HOLDFAST_GROUP > {folder}/features.dump"]'


def _declare(terminal: Terminal, before: str = _DUMP, timeout: str = "1min", hold: str = "1min") -> None:
    folder = terminal.folder
    text = _FILE.format(folder=folder, before=before.format(folder=folder), timeout=timeout, hold=hold)
    (folder / "holdfast.yaml").write_text(text)


@pytest.fixture
def declared(terminal: Terminal) -> Terminal:
    folder = terminal.folder
    write_checkpoint(folder / "checkpoints/checkpoint-100", 1)
    write_checkpoint(folder / "checkpoints/checkpoint-200", 2)
    for step in (100, 200):
        (folder / f"checkpoints/checkpoint-{step}/trainer_state.json").write_text(f'{{"global_step": {step}}}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "features.dump").write_text("")
    (folder / "data").mkdir()
    (folder / "data/a").write_text("x")
    terminal.ok("vault", "create", folder / "use1")
    _declare(terminal)
    return terminal


def test_a_group_is_one_snapshot(declared: Terminal) -> None:
    saved = declared.json("snapshot-save", "snapshot", "save", "--group", "release")["snapshot"]
    assert saved["asset"] == "release" and saved["step"] == 200
    declared.ok("restore", "release", "back")
    back = declared.folder / "back"
    assert (back / "model/model.safetensors").exists()
    assert (back / "tokenizer/tokenizer.json").read_text() == "{}"
    assert (back / "features/features.dump").read_text() == "dump release\n"
    assert not (declared.folder / "frozen").exists() and list((declared.folder / "cuts").iterdir()) == []
    shown = declared.ok("snapshot", "show", "release", "--vault", declared.folder / "use1")
    assert shown.fact("meta group") == "features, model, tokenizer"
    assert shown.fact("with dataset train").startswith("content blake3:")
    said = declared.ok("snapshot", "save", "--group", "release", "--step", "7", "--tag", "v1")
    assert said.last.startswith("saved ") and said.fact("pointers").endswith("v1")


def test_a_hook_that_fails_or_hangs(declared: Terminal) -> None:
    folder = declared.folder
    _declare(declared, '[sh, -c, "touch {folder}/frozen; echo no connection; exit 3"]')
    failed = declared.run("snapshot", "save", "--group", "release")
    assert failed.code == 1 and "exit code 3: no connection" in failed.err and not (folder / "frozen").exists()
    _declare(declared, '[sh, -c, "touch {folder}/frozen; sleep 300"]', timeout="1s")
    hung = declared.run("snapshot", "save", "--group", "release")
    assert hung.code == 1 and "took too long" in hung.err and not (folder / "frozen").exists()
    assert declared.json("snapshot-list", "snapshot", "list", "--vault", folder / "use1")["snapshots"] == []


def test_an_after_that_fails_is_told_loudly(declared: Terminal) -> None:
    _declare(declared, '["true"]')  # nothing is frozen, so that there is nothing to remove
    said = declared.ok("snapshot", "save", "--group", "release")
    assert "warning: hook features failed after the cut" in said.err


def test_groups_that_cannot_be_saved(declared: Terminal) -> None:
    assert declared.run("snapshot", "save", "--group", "nothing").code == 3
    assert "saved_as" in declared.run("snapshot", "save", "--group", "loose").err
    refused = declared.run("snapshot", "save", "--group", "private")
    assert refused.code == 5 and "may lie only in EU" in refused.err
    assert declared.run("snapshot", "save").code == 2
    assert declared.run("snapshot", "save", "tokenizer.json").code == 2
    assert declared.run("snapshot", "save", "tokenizer.json", "--asset", "x", "--group", "release").code == 2
    assert declared.run("snapshot", "save", "--group", "release", "--dry-run").code == 2


def test_declarations_that_make_no_sense(declared: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(declared.folder / "holdfast.yaml")
    text = path.read_text()
    for right, wrong, words in (
        ("saved_as: release\n", "saved_as: nobody\n", "there is no asset `nobody`"),
        ("saved_as: release\n", "saved_as: model\n", "an asset of its own"),
        ("hold: 1min", "hold: 0s", "more than no time"),
        ("timeout: 1min", "timeout: 0s", "more than no time"),
    ):
        assert right in text
        path.write_text(text.replace(right, wrong, 1))
        said = declared.run("config", "check")
        assert said.code != 0 and words in said.out + said.err, wrong
