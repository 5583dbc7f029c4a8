"""Which tensors of two snapshots differ: those of which some byte may differ, whatever their norms say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.testing.workspace import TrialVault

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
ROWS = 1 << 16  # times 16 floats are 4 MiB: a chunk for itself


@pytest.fixture
def arrays() -> Arrays:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=(ROWS, 16)).astype("f4") for name in ("a", "b", "c")} | {"ids": np.arange(200_000)}


def changes(trial: TrialVault, folder: Path, before: Arrays, after: Arrays) -> dict[str, str]:
    folder.mkdir()
    ids = []
    for arrays in (before, after):
        save_file(arrays, folder / "model.safetensors")
        ids.append(trial.open().save("model", folder).root.id)
    files = trial.open().diff(*ids).files
    return {change.name: change.what for file in files for change in file.tensors}


def test_values_that_moved_without_their_norm(trial: TrialVault, tmp_path: Path, arrays: Arrays) -> None:
    """A sign, two rows, and integers, of which no norm is taken."""
    after = {name: array.copy() for name, array in arrays.items()}
    after["a"][5] *= -1
    after["b"][[0, ROWS - 1]] = after["b"][[ROWS - 1, 0]]
    after["ids"][7] = -1
    assert changes(trial, tmp_path / "m", arrays, after) == {"a": "values", "b": "values", "ids": "values"}


def test_tensors_that_only_moved_in_the_file(trial: TrialVault, tmp_path: Path, arrays: Arrays) -> None:
    after = {"0 new in front": np.ones((ROWS, 16), "f4"), **arrays}
    after["c"] = arrays["c"][: ROWS // 2]
    assert changes(trial, tmp_path / "m", arrays, after) == {"0 new in front": "added", "c": "shape"}


def test_a_tensor_that_shares_a_chunk_with_a_changed_one_may_have_changed(trial: TrialVault, tmp_path: Path) -> None:
    """The manifest cannot tell them apart; what lies in other chunks is known to be the same."""
    before = {"large": np.ones((ROWS, 16), "f4"), "small 1": np.ones(100, "f4"), "small 2": np.ones(100, "f4")}
    after = before | {"small 1": np.full(100, 2, "f4")}
    assert changes(trial, tmp_path / "m", before, after) == {"small 1": "values", "small 2": "values"}


def test_another_order_in_memory_is_another_array(trial: TrialVault, tmp_path: Path) -> None:
    """The same bytes, read by rows or by columns."""
    folder = tmp_path / "m"
    folder.mkdir()
    array = np.arange(64 * 64, dtype="f4").reshape(64, 64)
    ids = []
    for one in (array, np.asfortranarray(array.T)):
        np.save(folder / "w.npy", one)
        ids.append(trial.open().save("model", folder).root.id)
    [file] = trial.open().diff(*ids).files
    assert [change.what for change in file.tensors] == ["values"]
    assert file.tensors[0].norm_before == pytest.approx(file.tensors[0].norm_after)
