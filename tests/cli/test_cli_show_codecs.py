"""`holdfast snapshot show --codecs`: where the bytes went, as text and as JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from terminal import Terminal

from holdfast.cli.views.bars import ASCII, BLOCKS, bar, strokes_for


@pytest.fixture
def saved(terminal: Terminal, vault: Path) -> list[Any]:
    """Two snapshots of weights that drift, a frozen file, and its copy."""
    folder = terminal.folder / "ckpt"
    folder.mkdir()
    start = np.random.default_rng(0)
    weights = {f"layers.{i}.weight": start.normal(0, 0.02, (256, 512)).astype("f4") for i in range(10)}
    frozen = {"base": start.normal(0, 0.02, (512, 512)).astype("f2")}
    records = []
    for step in (1, 2):
        drift = np.random.default_rng(step)
        moved = {name: (w + 1e-6 * drift.normal(size=w.shape)).astype("f4") for name, w in weights.items()}
        save_file(moved, folder / "model.safetensors")
        save_file({"exp_avg": drift.normal(0, 1e-3, (256, 512)).astype("f4")}, folder / "optimizer.safetensors")
        for name in ("frozen.safetensors", "frozen_copy.safetensors"):
            save_file(frozen, folder / name)
        records.append(
            terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama", "--step", str(step))
        )
    return records


def test_json_adds_up_in_every_direction(terminal: Terminal, saved: list[Any]) -> None:
    for record in saved:
        shown = terminal.json("snapshot-show", "snapshot", "show", record["snapshot"]["id"], "--codecs")
        codecs = shown["codecs"]
        total = codecs["total"]
        assert total["bytes"] == shown["snapshot"]["bytes"]
        assert total["new_stored_bytes"] + codecs["overhead_bytes"] == shown["snapshot"]["stored_bytes"]
        assert codecs["disagreements"] == []
        for table in ("mechanisms", "components", "dtypes", "files"):
            for figure in ("bytes", "stored_bytes", "new_bytes", "new_stored_bytes"):
                assert sum(one[figure] for one in codecs[table]) == total[figure], (table, figure)
        assert codecs["restoring"]["stored_bytes"] == total["stored_bytes"]
        # the same mechanisms as the save itself tells, where those are codecs
        told = {one["mechanism"]: (one["bytes"], one["stored_bytes"]) for one in shown["mechanisms"]}
        counted = {one["name"]: (one["new_bytes"], one["new_stored_bytes"]) for one in codecs["mechanisms"]}
        for name in ("delta", "planes", "zstd", "raw"):
            assert counted.get(name, (0, 0)) == told.get(name, (0, 0)), name


def test_json_tells_deltas_their_bases_and_every_tensor(terminal: Terminal, saved: list[Any]) -> None:
    first, second = (
        terminal.json("snapshot-show", "snapshot", "show", one["snapshot"]["id"], "--codecs")["codecs"] for one in saved
    )
    assert first["restoring"]["deltas"] == first["restoring"]["bases"] == 0
    assert second["restoring"]["deltas"] == second["restoring"]["bases"] > 0
    assert second["restoring"]["packs"] == 2
    assert {one["name"] for one in first["mechanisms"]} >= {"planes", "repeated"}
    assert "delta" in {one["name"] for one in second["mechanisms"]}
    assert len(second["tensors"]) == 10 + 1 + 2
    frozen = next(one for one in second["files"] if one["name"] == "frozen.safetensors")
    assert frozen["new_stored_bytes"] == 0 < frozen["stored_bytes"]


def test_codecs_are_counted_only_when_asked_for(terminal: Terminal, saved: list[Any]) -> None:
    assert terminal.json("snapshot-show", "snapshot", "show", "llama")["codecs"] is None
    assert "CODED AS" not in terminal.ok("snapshot", "show", "llama").out


def test_text_fits_80_columns_and_has_bars(terminal: Terminal, saved: list[Any]) -> None:
    said = terminal.ok("snapshot", "show", "llama", "--codecs")
    for title in ("CODED AS", "COMPONENT", "DTYPE", "FILE", "TENSOR"):
        assert any(line.rstrip().endswith(title) or line.startswith(title) for line in said.out.splitlines()), title
    assert all(len(line) <= 80 for line in said.out.splitlines())
    [delta] = [line for line in said.out.splitlines() if line.endswith("  delta")]
    assert "█" in delta
    assert "░" not in delta  # all of it is new
    [frozen] = [line for line in said.out.splitlines() if line.endswith("  frozen.safetensors")]
    assert "░" in frozen
    assert "and 5 others" in said.out  # 13 tensors, 8 of them shown
    assert said.fact("a restore reads").endswith("of deltas")
    assert said.fact("in packs").startswith("2 packs of ")
    assert said.fact("deltas").endswith("of what is stored")
    assert "repeat other parts" in said.fact("shared")


def test_a_terminal_without_blocks_gets_ascii_bars(terminal: Terminal, saved: list[Any], vault: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "holdfast.cli.main",
        "snapshot",
        "show",
        "llama",
        "--codecs",
        "--vault",
        str(vault),
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=True)
    lines = done.stdout.decode("ascii").splitlines()
    [delta] = [line for line in lines if line.endswith("  delta")]
    assert "###" in delta
    assert "\\u2588" not in done.stdout.decode("ascii")


def test_bars_have_the_length_of_their_share() -> None:
    assert bar(50, 50, 100, 16) == "█" * 8 + "░" * 8
    assert bar(25, 0, 100, 16) == "█" * 4
    assert bar(0, 25, 100, 16, ASCII) == "-" * 4
    assert bar(0, 0, 100, 16) == bar(0, 0, 0, 16) == ""
    assert bar(1, 0, 10**9, 16) == "█"
    assert bar(0, 1, 10**9, 16) == "░"
    for part in range(101):
        assert len(bar(part, 100 - part, 100, 16)) == 16


def test_strokes_follow_the_encoding(tmp_path: Path) -> None:
    for encoding, strokes in (("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), ("cp437", BLOCKS)):
        with (tmp_path / encoding).open("w", encoding=encoding) as stream:
            assert strokes_for(stream) == strokes
