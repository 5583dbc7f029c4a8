"""Arrays read lazily: the same as NumPy would pick, little more memory than they take, and no trust in shapes."""

from __future__ import annotations

import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.errors import DamageError
from holdfast.testing.workspace import TrialVault
from holdfast.vault.files.reading import PartialFile, PartReader
from holdfast.vault.format.records import Entry, Part, TensorRecord
from holdfast.vault.snapshots.manifests import check_part
from holdfast.vault.tensors.loading import LazyTensor, LazyTensors

MIB = 1 << 20
SHAPES = [(), (0,), (7,), (1,), (6, 5), (0, 3), (3, 0), (4, 3, 5)]
MASK = np.array([True, False, True, True])


@pytest.fixture
def loaded(trial: TrialVault, tmp_path: Path) -> tuple[LazyTensors, dict[str, Any]]:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {}
    for shape in SHAPES:
        for dtype, order in product(("f4", "i8", "?"), "CF"):
            name = f"{len(arrays)}"
            arrays[name] = np.asarray(rng.integers(0, 100, size=shape).astype(dtype), order=order)
            np.save(tmp_path / f"{name}.npy", arrays[name])
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    trial.open().save("arrays", folder)
    tensors = trial.open().load("arrays")
    return tensors, {name: (find(tensors, name), array) for name, array in arrays.items()}


def find(tensors: LazyTensors, name: str) -> LazyTensor:
    [found] = [full for full in tensors._full if full.startswith(f"{name}.npy::")]
    return tensors[found]


KEYS: list[Any] = [
    ..., (), 0, -1, 3, np.int64(2), True, False, None, slice(None), slice(1, 3), slice(4, 1, -2), slice(None, None, -1),
    slice(5, 2), slice(None, None, 3), slice(100), (0, 1), (0, ...), (..., 0), (slice(1, 3), 2), (slice(2), ..., 1),
    (0, slice(None), [0, 2]), (slice(1, 3), 1, [0, 2]), ([0, 2], 1), (0, [1, 2]), (slice(None), [0, 1], [1, 2]), [0, 2],
    [True, False, True, True], MASK, (MASK, slice(2)), (1, MASK), (0, None), (None, 0), (slice(2), None), (0, True),
    (slice(0, 2), True), (0, np.array(1)), np.array(1), (0, None, [1, 2]), (slice(None), slice(None), None), 99,
    (0, 99), (0, 0, 0, 0), (..., ...), "x", 1.5, (0, ..., [1, 0]),
]  # fmt: skip


def test_every_index_picks_what_numpy_picks(loaded: tuple[LazyTensors, dict[str, Any]]) -> None:
    compared = 0
    for tensor, array in loaded[1].values():
        assert tensor.shape == array.shape and tensor.dtype == array.dtype
        for key in KEYS:
            try:
                expected = array[key]
            except (IndexError, ValueError, TypeError):
                with pytest.raises((IndexError, ValueError, TypeError)):
                    tensor[key]
                continue
            found = tensor[key]
            assert np.shape(found) == np.shape(expected), f"{array.shape}[{key!r}]"
            assert np.array_equal(found, expected), f"{array.shape}[{key!r}]"
            compared += 1
    assert compared > 600


def test_reading_an_array_takes_little_more_memory_than_the_array(trial: TrialVault) -> None:
    array = np.random.default_rng(1).normal(size=(12 * MIB,)).astype("f4")  # 48 MiB
    trial.open().save("large", {"w": array}, verify=False)
    tensor = trial.open().load("large")["w"]
    tracemalloc.start()
    try:
        found = tensor[...]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(found, array)
    assert peak < array.nbytes * 1.75, f"{peak / array.nbytes:.2f} times the array"


def file_with(tensor: TensorRecord, size: int) -> Part:
    runs = [(size, 3, 1, 0)] if size else []
    return Part("x", [Entry(path=b"a", type="file", mode=0o644, mtime=0, size=size, runs=runs, tensors=[tensor])])


def test_a_shape_with_more_dimensions_than_an_array_can_have() -> None:
    check_part(file_with(TensorRecord("w", "u8", [1] * 64, 0, 1, False, None, 0), 1), "parts/x")
    with pytest.raises(DamageError):
        check_part(file_with(TensorRecord("w", "u8", [1] * 65, 0, 1, False, None, 0), 1), "parts/x")


@pytest.mark.parametrize("shape", [[0, 1 << 63], [0, 1 << 62, 1 << 62], [1 << 32, 1 << 32], [1 << 62, 4], [3]])
def test_a_shape_that_numpy_cannot_hold_comes_as_bytes(trial: TrialVault, shape: list[int]) -> None:
    """Also where the product, taken in 64 bits, would come out as the number of bytes."""
    size = 0 if 0 in shape else 8
    [entry] = msgspec.structs.replace(file_with(TensorRecord("w", "f32", shape, 0, size, False, None, 0), size)).entries
    tensor = LazyTensor(PartReader(trial.open().handle), PartialFile(entry), entry.tensors[0])
    assert tensor[...].shape == tensor.shape == (size,) and tensor.dtype == np.dtype("u1")
