"""docs/reading.md runs as it stands there, block by block; so do the examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save_file

import holdfast
from holdfast.control.filesystem import HoldfastFileSystem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reading.md").read_text()
WEIGHT = np.random.default_rng(1).normal(size=(300, 128)).astype("f4")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HOLDFAST_KEY_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    state = {"layers.0.weight": WEIGHT, "layers.0.bias": np.arange(5, dtype="f4")}
    save_file(state, tmp_path / "checkpoint/model.safetensors")
    holdfast.create("./vault").save("llama", "./checkpoint", step=500)
    return tmp_path


def test_the_blocks_run_in_their_order(home: Path) -> None:
    fsspec.register_implementation("holdfast", HoldfastFileSystem, clobber=True)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/reading.md", "exec"), names)
    assert (names["rows"] == WEIGHT[100:200]).all() and (names["columns"] == WEIGHT[:, 64:128]).all()
    assert (names["target"] == WEIGHT).all() and names["buffer"] == WEIGHT[100:200].tobytes()
    assert (names["mine"]["layers.0.weight"] == WEIGHT[75:150]).all()
    assert (names["part"] == WEIGHT[:, 32:64]).all()
    assert set(names["everything"]) == {"layers.0.weight"} and b"layers.0.bias" in names["header"]


@pytest.mark.parametrize(
    "command, said",
    [
        ("read_shard.py ./vault llama@validated 3 4", ["layers.0.bias: [0] of [5]", "layers.0.weight: [75, 128] of"]),
        ("read_safetensors.py ./vault llama model.safetensors layers.0.bias", ["F32 [300, 128]", "bias: mean 2"]),
    ],
)
def test_the_examples_run(home: Path, command: str, said: list[str]) -> None:
    name, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(words in done.stdout for words in said), done.stdout
