"""README says what works: its commands and its Python run as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
# What stands for somebody's cloud in README is a folder here; a watch would never end by itself.
STAND_INS = {"s3://elsewhere/holdfast": "./elsewhere"}


_TRAINING = """\
from pathlib import Path
found = sorted(Path("checkpoints").iterdir())
assert found[-1].name == "checkpoint-500", found
later = Path("checkpoints/checkpoint-600")
later.mkdir()
(later / "model.safetensors").write_bytes((found[-1] / "model.safetensors").read_bytes())
(later / "trainer_state.json").write_text('{"step": 600}')
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ holdfast")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.delenv("HOLDFAST_KEY_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run_in_their_order(home: Path) -> None:
    checkpoint = home / "checkpoints/checkpoint-500"
    checkpoint.mkdir(parents=True)
    weights = np.arange(10_000, dtype="f4")
    save_file({"weights": weights}, checkpoint / "model.safetensors")
    (checkpoint / "trainer_state.json").write_text('{"step": 500}')
    for block in blocks("yaml"):
        name = block.splitlines()[0].removeprefix("# ")
        for real, stand_in in {**STAND_INS, "/srv/holdfast/vault": "./vault"}.items():
            block = block.replace(real, str(home / stand_in))  # a declared store has one place, whoever asks from where
        (home / name).write_text(block)
    (home / "train.py").write_text(_TRAINING)
    told = commands()
    assert len(told) >= 9
    for command in told:
        for real, stand_in in STAND_INS.items():
            command = command.replace(real, stand_in)
        # As a shell reads it: what follows a # is said to the reader.
        words = shlex.split(command, comments=True)[1:]
        if words[0] == "watch":
            words += ["--once", "--settle", "10ms"]
        if words[0] == "restore":
            (home / "checkpoints").rename(home / "lost")
        done = subprocess.run(
            [sys.executable, "-m", "holdfast.cli.main", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (load_file(home / "checkpoints/checkpoint-500/model.safetensors")["weights"] == weights).all()


def test_the_python_runs(home: Path) -> None:
    import holdfast

    rng = np.random.default_rng(1)
    model = {"layers.0.attn.wq": rng.normal(size=(2048, 8)).astype("f4")}
    holdfast.create("./vault")
    names: dict[str, object] = {"model_arrays": model, "optimizer_arrays": {"exp_avg": np.zeros(5, "f4")}}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (names["rows"] == model["layers.0.attn.wq"][0:1024]).all()
    assert (home / "back/model.safetensors").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
