"""Gathering: Git, packages, environment, layout, hyperparameters; what fails is told and fails nothing."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import DamageError, FailedError, NotFoundError, UnsupportedFormatError, UsageError
from holdfast.training.circumstances import Gatherer, Layout, ResumeState, gather
from holdfast.training.circumstances.code import DIFF_KEPT, code_at
from holdfast.training.circumstances.environment import environment_here, packages_here
from holdfast.training.circumstances.gathering import gathered
from holdfast.training.circumstances.hyperparameters import flattened
from holdfast.training.circumstances.layout import layout_here
from holdfast.training.circumstances.model import LARGEST, Circumstances, Code, encoded, parsed


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    _git(folder, "init", "-q", "-b", "main")
    (folder / "train.py").write_text("lr = 0.1\n")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "x")
    return folder


def test_a_clean_tree_and_a_changed_one(repository: Path) -> None:
    clean = code_at(repository)
    assert clean.commit == _git(repository, "rev-parse", "HEAD") and clean.branch == "main"
    assert not clean.dirty and clean.diff == "" and clean.untracked == []
    (repository / "train.py").write_text("lr = 0.2\n")
    (repository / "new.py").write_text("x")
    (repository / "inner").mkdir()
    changed = code_at(repository / "inner")
    assert changed.dirty and "+lr = 0.2" in changed.diff and changed.untracked == ["new.py"]
    (repository / "train.py").write_text("lr = 0.3\n")
    assert code_at(repository).diff_sha256 != changed.diff_sha256


def test_secrets_are_not_in_a_diff_or_a_remote(repository: Path) -> None:
    _git(repository, "remote", "add", "origin", "https://bob:hunter2@example.org/x.git")
    (repository / "train.py").write_text(
        "API_KEY = 'sup3rs3cret'\nwandb = 'hf_ABCDEFGHIJKLMNOPQRSTUVWX'\nmax_tokens = 5\n"
    )
    text = encoded(Circumstances(code=code_at(repository))).decode()
    for secret in ("sup3rs3cret", "hf_ABCDEFG", "hunter2"):
        assert secret not in text
    assert "max_tokens = 5" in text and "example.org" in text


def test_a_repository_without_a_commit_and_a_large_diff(tmp_path: Path, repository: Path) -> None:
    _git(tmp_path, "init", "-q", "empty")
    assert code_at(tmp_path / "empty").commit == ""
    (repository / "train.py").write_text("".join(f"line {number}\n" for number in range(40_000)))
    large = code_at(repository)
    assert large.diff_cut and len(large.diff) <= DIFF_KEPT and large.diff_sha256


def test_nothing_that_the_repository_configures_is_run(repository: Path) -> None:
    trap = repository.parent / "ran"
    script = repository.parent / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o700)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "diff.x.textconv", "diff.x.command"):
        _git(repository, "config", name, str(script))
    (repository / ".gitattributes").write_text("* diff=x\n")
    (repository / "train.py").write_text("lr = 0.5\n")
    assert "+lr = 0.5" in code_at(repository).diff
    assert not trap.exists()


def test_no_repository_no_git_and_a_git_that_hangs(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(NotFoundError, match="working tree"):
        code_at(tmp_path)
    with pytest.raises(NotFoundError, match="not installed"):
        code_at(repository, environment={"PATH": str(tmp_path)}) if _hidden(tmp_path) else code_at(tmp_path)
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (slow / "git").chmod(0o700)
    began = time.monotonic()
    with pytest.raises(FailedError, match="more than"):
        code_at(repository, seconds=0.3, environment={"PATH": f"{slow}:{os.environ['PATH']}"})
    assert time.monotonic() - began < 30


def _hidden(folder: Path) -> bool:
    return not (folder / "git").exists()


def test_packages_are_those_of_here() -> None:
    found = packages_here()
    assert found["numpy"] and found["msgspec"] and list(found) == sorted(found)
    assert "editable" in found["holdfast"]


def test_only_variables_of_the_list_are_kept() -> None:
    variables = {"OMP_NUM_THREADS": "4", "AWS_SECRET_ACCESS_KEY": "s3", "HF_TOKEN": "t", "HOME": "/x", "XLA_FLAGS": "a"}
    here = environment_here({**variables, "TORCHINDUCTOR_API_TOKEN": "no", "SLURM_JOB_ID": "7"})
    assert here.variables == {"OMP_NUM_THREADS": "4", "SLURM_JOB_ID": "7", "XLA_FLAGS": "a"}
    assert here.python and here.cpus > 0


def test_layouts() -> None:
    assert layout_here(None, {}).world == 1
    torchrun = {"WORLD_SIZE": "8", "RANK": "3", "LOCAL_WORLD_SIZE": "4"}
    assert layout_here({"dp": 4, "tp": 2}, torchrun) == Layout(
        world=8, rank=3, local_world=4, dims={"dp": 4, "tp": 2}, source="torchrun"
    )
    slurm = {"SLURM_NTASKS": "16", "SLURM_PROCID": "15", "SLURM_NTASKS_PER_NODE": "8(x2)"}
    assert (layout_here(None, slurm).world, layout_here(None, slurm).rank) == (16, 15)
    mesh = SimpleNamespace(mesh=SimpleNamespace(shape=(2, 2)), mesh_dim_names=("dp", "tp"))
    assert layout_here(mesh, {}).dims == {"dp": 2, "tp": 2}
    for wrong in (5, {"dp": 0}, {"dp": True}, SimpleNamespace(mesh=None)):
        with pytest.raises(UsageError):
            layout_here(wrong, {})


@dataclasses.dataclass
class _Model:
    layers: int = 2
    password: str = "hunter2"


def test_hyperparameters_of_any_object() -> None:
    given = {"lr": 1e-3, "model": _Model(), "betas": (0.9, 0.95), "hub_token": "hf_x", "max_tokens": 5, "f": print}
    found = flattened(given)
    assert found["lr"] == "0.001" and found["model.layers"] == "2" and found["betas"] == "[0.9,0.95]"
    assert found["model.password"] == found["hub_token"] == "(hidden)" and found["max_tokens"] == "5"
    assert flattened(argparse.Namespace(lr=2)) == {"lr": "2"}
    assert flattened(SimpleNamespace(to_dict=lambda: {"a": float("nan")})) == {"a": "nan"}
    assert flattened(None) == {}
    with pytest.raises(UsageError):
        flattened(5)


class _Broken:
    def to_dict(self) -> object:
        raise RuntimeError("secret inside")


def test_what_cannot_be_gathered_is_told_and_fails_nothing(tmp_path: Path) -> None:
    found = gather(
        3, hyperparameters=_Broken(), datasets={"train": tmp_path / "gone"}, layout=5, code=tmp_path, variables={}
    ).circumstances
    assert set(found.missing) == {"hyperparameters", "dataset train", "layout", "code"}
    assert "secret inside" not in encoded(found).decode() and found.missing["hyperparameters"].startswith(
        "RuntimeError"
    )
    assert found.step == 3 and found.packages


def test_a_save_gets_a_file_and_lines(repository: Path) -> None:
    gatherer = Gatherer(
        resume=ResumeState(), hyperparameters={"lr": 1}, code=repository, clock=ManualClock(), variables={}
    )
    first, second = gatherer.gather(1), gatherer.gather(2)
    assert parsed(first.files["circumstances.json"]) == first.circumstances
    assert first.versions == second.versions and "random" in first.versions["resume"]
    assert first.circumstances.code is not None and first.versions["code"] == first.circumstances.code.commit[:12]
    (repository / "train.py").write_text("changed while it runs: what was loaded counts")
    assert gatherer.gather(3).versions["code"] == first.versions["code"]


def test_a_file_stays_small(tmp_path: Path) -> None:
    many = {f"p{number}": "x" * 1000 for number in range(5000)}
    large = Circumstances(code=Code(commit="c", diff="y" * (LARGEST // 2)), hyperparameters=many)
    done = gathered(large)
    assert len(done.files["circumstances.json"]) <= LARGEST
    assert done.circumstances.code is not None and done.circumstances.code.diff == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 5000,
        b'{"format":"holdfast/circumstances","version":1,"packages":[]}',
        b'{"format":"holdfast/circumstances","version":1,"layout":{"world":0}}',
        b'{"format":"holdfast/circumstances","version":1,"layout":{"world":1,"rank":1}}',
        b'{"format":"holdfast/circumstances","version":1,"gathered":"\\ud800"}',
        b"\xff" * 10,
        b" " * (LARGEST + 1),
    ],
)
def test_files_that_are_none(data: bytes) -> None:
    with pytest.raises(DamageError):
        parsed(data)


def test_a_later_version_says_so_and_unknown_fields_are_ignored() -> None:
    with pytest.raises(UnsupportedFormatError):
        parsed(b'{"format":"holdfast/circumstances","version":2,"packages":7}')
    assert parsed(b'{"format":"holdfast/circumstances","version":1,"step":5,"more":[1]}').step == 5
