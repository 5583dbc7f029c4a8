"""Arrays that are read when they are touched: any slice is what NumPy would have given."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from holdfast.errors import NotFoundError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Faults
from holdfast.testing.workspace import TrialVault, new_trial_vault

RNG = np.random.default_rng(1)
ARRAYS: dict[str, Any] = {
    "matrix": RNG.normal(size=(7, 5)).astype("f4"),
    "cube": RNG.integers(0, 99, size=(4, 3, 2)),
    "vector": np.arange(11, dtype="u1"),
    "empty": np.zeros((0, 3), "f8"),
    "hollow": np.zeros((3, 0), "f2"),
    "scalar": np.float64(2.5),
    "bf16": RNG.normal(size=(6, 4)).astype(ml_dtypes.bfloat16),
    "fp8": RNG.normal(size=(6, 4)).astype(ml_dtypes.float8_e4m3fn),
}


@pytest.fixture(scope="module")
def trial() -> TrialVault:
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    trial.open().save("arrays", ARRAYS, verify=False)
    return trial


@pytest.fixture(scope="module")
def loaded(trial: TrialVault) -> Any:
    return trial.open().load("arrays")


def keys_for(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    edge = st.integers(-8, 8)
    part = st.one_of(edge, st.builds(slice, st.none() | edge, st.none() | edge, st.sampled_from([None, 1, 2, -1, -3])))
    return st.one_of(part, st.lists(part, min_size=1, max_size=max(1, len(shape))).map(tuple), st.just(...))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_slice_is_what_numpy_gives(loaded: Any, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(ARRAYS)))
    whole = np.asarray(ARRAYS[name])
    key = data.draw(keys_for(whole.shape))
    try:
        expected = whole[key]
    except IndexError:
        with pytest.raises(IndexError):
            loaded[name][key]
        return
    found = loaded[name][key]
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_array_equal(np.asarray(found, dtype="f8"), np.asarray(expected, dtype="f8"))


def test_facts_need_no_data(trial: TrialVault) -> None:
    watched = FaultyStore(trial.store, Faults())
    tensors = trial.open(store=watched).load("arrays")
    assert {name: tensors[name].shape for name in tensors} == {name: np.shape(value) for name, value in ARRAYS.items()}
    assert tensors["matrix"].norm == pytest.approx(float(np.linalg.norm(ARRAYS["matrix"])), rel=1e-5)
    assert not [operation for operation in watched.log if operation.key.startswith("packs/")]


def test_a_slice_reads_only_the_chunks_that_it_needs() -> None:
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    big = np.frombuffer(random.Random(1).randbytes(24 << 20), "u1").reshape(24, 1 << 20)
    trial.open().save("big", {"big": big}, verify=False)
    watched = FaultyStore(trial.store, Faults())
    tensors = trial.open(store=watched).load("big")
    np.testing.assert_array_equal(tensors["big"][13], big[13])
    assert watched.bytes_moved("get_ranges") < 10 << 20


def test_what_is_read_is_ones_own(loaded: Any) -> None:
    first = loaded["matrix"][...]
    first[:] = 0
    np.testing.assert_array_equal(loaded["matrix"][...], ARRAYS["matrix"])


def test_a_name_that_is_not_there(loaded: Any) -> None:
    assert "nothing" not in loaded and loaded.get("nothing") is None
    with pytest.raises(NotFoundError, match="nothing") as caught:
        loaded["nothing"]
    assert caught.value.hint


def test_a_tensor_that_is_called_like_the_full_name_of_another(tmp_path: Path) -> None:
    save_file({"w": np.full(3, 1.0), "lone": np.full(3, 2.0)}, tmp_path / "a.safetensors")
    save_file({"w": np.full(3, 3.0)}, tmp_path / "b.safetensors")
    save_file({"a.safetensors::w": np.full(3, 4.0), "a.safetensors::lone": np.full(3, 5.0)}, tmp_path / "c.safetensors")
    trial = new_trial_vault(MemoryStore(), encrypted=False)
    trial.open().save("odd", tmp_path, verify=False)
    tensors = trial.open().load("odd")
    expected = {
        "a.safetensors::w": 1.0,
        "b.safetensors::w": 3.0,
        "c.safetensors::a.safetensors::w": 4.0,
        "lone": 2.0,
        "c.safetensors::a.safetensors::lone": 5.0,
    }
    assert {name: tensors[name][0] for name in tensors} == expected
    assert {name: array[0] for name, array in tensors.read_all().items()} == expected
    assert tensors["a.safetensors::lone"][0] == tensors.get("a.safetensors::lone")[0] == 2.0
