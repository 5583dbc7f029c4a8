"""`snapshot show --circumstances`, `diff` and `restore --check-env`: transcripts, JSON, exit codes, 80 columns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from terminal import Terminal, write_checkpoint

from holdfast.training.circumstances import Circumstances, Code, Dataset, Environment, Layout, gather
from holdfast.training.circumstances.model import encoded

_FIRST = Circumstances(
    gathered="2026-11-20T10:00:00.000Z",
    step=100,
    code=Code(commit="a" * 40, branch="main"),
    packages={"torch": "2.13.0", "numpy": "2.4.6", "pytest": "9.0", "einops": "0.8"},
    environment=Environment(python="3.11.2", cpu="AMD EPYC 9654 96-Core Processor", cpus=96, gpus=["NVIDIA H100"] * 2),
    layout=Layout(world=8, dims={"dp": 4, "tp": 2}, source="torchrun"),
    datasets={"train": Dataset(kind="dvc", location="data/train", version="md5:" + "1" * 32 + ".dir")},
    hyperparameters={"lr": "0.0003", "model.layers": "24"},
    states={"random": "python, torch", "dataloader": "StatefulDataLoader"},
)
_SECOND = msgspec.structs.replace(
    _FIRST,
    step=200,
    code=Code(commit="b" * 40, branch="main", diff="+x", diff_sha256="c" * 64),
    packages={"torch": "2.14.0", "numpy": "2.4.6", "pytest": "9.1", "ray": "2.60.0"},
    layout=Layout(world=4, dims={"dp": 2, "tp": 2}, source="torchrun"),
    hyperparameters={"lr": "0.0001", "model.layers": "24"},
)


@pytest.fixture
def saved(terminal: Terminal, vault: Path) -> Terminal:
    folder = terminal.folder / "ckpt"
    for step, circumstances in ((100, _FIRST), (200, _SECOND)):
        write_checkpoint(folder, step)
        (folder / "circumstances.json").write_bytes(encoded(circumstances))
        terminal.ok("snapshot", "save", folder, "--asset", "llama", "--step", str(step))
    return terminal


def _fits(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("to  ")]  # paths are never broken
    assert max(map(len, lines)) <= 80, text


def test_show_and_diff(saved: Terminal) -> None:
    said = saved.ok("snapshot", "show", "llama@step=100", "--circumstances")
    assert "code revision" in said.out and "aaaaaaaaaaaa" in said.out
    assert "world 8: dp 4 × tp 2 (torchrun)" in said.out
    assert "hyperparameter lr" in said.out and "package torch" in said.out
    _fits(said.out)
    facts = saved.json("snapshot-show", "snapshot", "show", "llama@step=100", "--circumstances")["circumstances"]
    assert {"area": "environment", "name": "gpus", "value": "NVIDIA H100, NVIDIA H100"} in facts
    assert saved.json("snapshot-show", "snapshot", "show", "llama")["circumstances"] is None

    said = saved.ok("snapshot", "diff", "llama@step=100", "llama@step=200")
    table = said.out[said.out.index("MATTERS") :].split("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in table] == ["RESULTS"] * 3 + ["maybe"] * 4 + ["no"]
    assert any("package torch" in line and "2.13.0" in line and "2.14.0" in line for line in table[:3])
    assert any("package ray" in line and "–" in line for line in table)
    _fits(said.out)
    changes = saved.json("snapshot-diff", "snapshot", "diff", "llama@step=100", "llama@step=200")["circumstances"]
    assert {"area": "layout", "name": "world", "before": "8", "after": "4", "matters": "maybe"} in changes
    same = saved.json("snapshot-diff", "snapshot", "diff", "llama", "llama")["circumstances"]
    assert same == []


def test_a_snapshot_without_any(terminal: Terminal, vault: Path) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    assert "no circumstances" in terminal.ok("snapshot", "show", "llama", "--circumstances").out
    assert terminal.json("snapshot-diff", "snapshot", "diff", "llama", "llama")["circumstances"] is None
    assert terminal.run("restore", "llama", "back", "--check-env").code == 3
    assert not (terminal.folder / "back").exists()


def test_a_file_that_is_garbage_breaks_no_comparison(saved: Terminal) -> None:
    (saved.folder / "ckpt/circumstances.json").write_text("{garbage")
    saved.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "300")
    said = saved.ok("snapshot", "diff", "llama@step=200", "llama@step=300")
    assert "circumstances are not compared" in said.err
    assert saved.run("snapshot", "show", "llama", "--circumstances").code == 4
    saved.ok("restore", "llama", "back")  # and stops no restore that does not ask
    assert saved.run("restore", "llama", "again", "--check-env").code == 4


def test_restore_stops_where_results_would_change(saved: Terminal) -> None:
    refused = saved.run("restore", "llama@step=100", "back", "--check-env")
    assert refused.code == 5 and "RESULTS" in refused.out and "not restored" in refused.last
    assert "not compared, as only one side tells: code, layout, datasets" in refused.err
    assert not (saved.folder / "back").exists()
    _fits(refused.out)
    dry = saved.json("restore", "restore", "llama@step=100", "back", "--check-env", "--dry-run", code=5)
    assert dry["dry_run"] and dry["refused"] and dry["circumstances"][0]["matters"] == "results"
    done = saved.json("restore", "restore", "llama@step=100", "back", "--check-env", "--accept-differences")
    assert done["circumstances"] and (saved.folder / "back/model.safetensors").exists()


def test_restore_where_nothing_that_matters_differs(saved: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    files = gather(1, code=saved.folder, hyperparameters={"lr": 1}).files
    (saved.folder / "ckpt/circumstances.json").write_bytes(files["circumstances.json"])
    saved.ok("snapshot", "save", "ckpt", "--asset", "here")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    done = saved.json("restore", "restore", "here", "back", "--check-env")
    assert [(one["name"], one["matters"]) for one in done["circumstances"]] == [("OMP_NUM_THREADS", "maybe")]


def test_against_what_the_program_to_come_says(saved: Terminal) -> None:
    (saved.folder / "here.json").write_bytes(encoded(_SECOND))
    same = saved.json("restore", "restore", "llama@step=200", "back", "--check-env", "--here", "here.json")
    assert same["circumstances"] == []
    assert saved.run("restore", "llama@step=100", "b", "--check-env", "--here", "here.json").code == 5
    assert saved.run("restore", "llama@step=100", "b", "--check-env", "--here", "nothing.json").code == 3
    assert saved.run("restore", "llama@step=100", "b", "--here", "here.json").code == 2
    assert saved.run("restore", "llama@step=100", "b", "--check-env", "--tensor", "*").code == 2
