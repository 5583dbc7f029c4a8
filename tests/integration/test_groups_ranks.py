"""Ranks as processes of their own save one group: all well, a hook that hangs, a late rank, one killed in mid-cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import holdfast
from holdfast.vault.vault import Vault

_RANK = Path(__file__).with_name("group_rank.py")


class _Said(NamedTuple):
    code: int
    steps: list[dict[str, Any]]
    end: dict[str, Any]
    errors: str


class _Job:
    """A folder with a vault, and ranks that are started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault: Vault = holdfast.create(folder / "vault")
        (folder / "config.json").write_text("{}")

    def run(self, *ranks: list[str]) -> list[_Said]:
        started = [
            subprocess.Popen(
                [sys.executable, str(_RANK), str(self.folder), str(rank), str(len(ranks)), *steps],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
            for rank, steps in enumerate(ranks)
        ]
        found = []
        for process in started:
            out, err = process.communicate(timeout=120)
            lines = [json.loads(line) for line in out.splitlines()]
            end = lines.pop() if lines and "durable" in lines[-1] else {}
            found.append(_Said(process.returncode, lines, end, err))
        return found

    def steps(self) -> list[int | None]:
        return [one.root.step for one in self.vault.snapshots("run") if one.root is not None]

    def frozen(self) -> list[str]:
        return [path.name for path in self.folder.glob("frozen-*")]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Job:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return _Job(tmp_path)


def test_all_ranks_in_one_snapshot(job: _Job) -> None:
    said = job.run(*[["1", "2"]] * 3)
    assert [one.code for one in said] == [0, 0, 0], said
    for step in (0, 1):
        assert sorted(one.steps[step]["state"] for one in said) == ["committing", "handed over", "handed over"]
    assert {one.end["durable"] for one in said} == {2} and {one.end["not_saved"] for one in said} == {0}
    assert job.steps() == [1, 2]
    job.vault.restore("run@step=2", job.folder / "back")
    for rank in range(3):
        assert (job.folder / f"back/weights/{rank}/weights.bin").read_bytes() == f"rank {rank} step 2".encode() * 1000
    assert (job.folder / "back/config/config.json").read_text() == "{}"
    manifest = json.loads((job.folder / "back/group.json").read_text())
    assert set(manifest["members"]) == {"config", "weights/0", "weights/1", "weights/2"}
    assert list((job.folder / "staging").iterdir()) == [] and job.frozen() == []


@pytest.mark.parametrize(
    ("trouble", "patience", "words"),
    [
        ("hang", 60, "cannot be stopped"),
        ("late", 2, "rank 1 did not come in time"),
    ],
)
def test_trouble_at_one_rank_costs_one_snapshot_and_no_training(
    job: _Job, trouble: str, patience: int, words: str
) -> None:
    said = job.run(["1", f"2:@{patience}", "3"], ["1", f"2:{trouble}@{patience}", "3"])
    assert [one.code for one in said] == [0, 0], said
    assert words in said[1].errors + said[0].errors
    assert [one.steps[1]["state"] in ("abandoned", "failed") for one in said] == [True, True]
    assert {one.end["durable"] for one in said} == {3} and {one.end["not_saved"] for one in said} == {1}
    assert "step 2 of run was not saved" in said[0].end["trouble"]
    assert job.steps() == [1, 3] and job.frozen() == []


def test_a_rank_that_is_killed_in_mid_cut_leaves_no_snapshot(job: _Job) -> None:
    said = job.run(["1", "2:@10"], ["1", "2:kill@10"])
    assert said[0].code == 0 and said[1].code == -9
    assert said[0].steps[1]["state"] == "abandoned" and "rank 1" in said[0].steps[1]["why"]
    assert said[0].end["durable"] == 1 and job.steps() == [1]
    assert job.frozen() == [
        "frozen-1"
    ]  # a function of a process that was killed: commands are released, see test_hooks
    assert job.vault.check(read_data=True).damages == []


def test_nothing_is_agreed_that_was_not_held_by_all(job: _Job) -> None:
    """A rank holds for three seconds, and the other cuts for longer than that: the first decides against it."""
    said = job.run(["1", "2:short@60"], ["1", "2:slow@60"])
    assert [one.code for one in said] == [0, 0], said
    assert [one.steps[1]["state"] for one in said] == ["abandoned", "abandoned"]
    assert "rank 1 did not come in time" in said[0].steps[1]["why"] and job.steps() == [1]
