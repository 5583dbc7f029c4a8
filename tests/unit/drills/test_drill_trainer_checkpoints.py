"""Checkpoints: valid for others, complete only when whole, and nobody else's are taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from holdfast.clock import ManualClock
from holdfast.drills.trainer import complete_checkpoints, final_digest
from holdfast.drills.trainer.checkpoint import load_checkpoint, save_checkpoint
from holdfast.drills.trainer.safetensors import StoredTensor, read_tensors, write_tensors
from holdfast.drills.trainer.state import TrainingState
from holdfast.errors import DamageError, FailedError, HoldfastError, NotFoundError, RefusedError, UsageError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingState, Path]:
    state = TrainingState("small", 5)
    for _ in range(2):
        state.advance()
    return state, save_checkpoint(tmp_path_factory.mktemp("run"), state, ManualClock(), bf16=True)


def test_loading_gives_back_every_bit(saved: tuple[TrainingState, Path]) -> None:
    state, path = saved
    loaded = load_checkpoint(path, size="small", seed=5)
    assert np.array_equal(loaded.model.weights.flat, state.model.weights.flat)
    assert np.array_equal(loaded.optimizer.exp_avg.flat, state.optimizer.exp_avg.flat)
    assert np.array_equal(loaded.optimizer.exp_avg_sq.flat, state.optimizer.exp_avg_sq.flat)
    assert loaded.random.state == state.random.state
    assert loaded.batches.state == state.batches.state
    assert (loaded.step, loaded.tokens, loaded.loss) == (state.step, state.tokens, state.loss)


def test_random_numbers_matter_for_the_next_step(saved: tuple[TrainingState, Path]) -> None:
    _, path = saved
    losses = []
    for forget in (False, True):
        state = load_checkpoint(path, size="small", seed=5)
        if forget:
            state.random.state = np.random.PCG64(99).state
        losses.append(state.advance())
    assert losses[0] != losses[1]


def test_the_safetensors_package_reads_what_was_written(saved: tuple[TrainingState, Path]) -> None:
    state, path = saved
    with safe_open(path / "model.safetensors", framework="numpy") as file:
        assert sorted(file.keys()) == sorted(state.model.weights.shapes)
        for name, view in state.model.weights.items():
            assert np.array_equal(file.get_tensor(name), view)


def test_bf16_weights_are_the_rounded_weights(saved: tuple[TrainingState, Path]) -> None:
    state, path = saved
    tensors = {tensor.name: tensor for tensor in read_tensors(path / "model_bf16.safetensors")}
    assert {tensor.dtype for tensor in tensors.values()} == {"BF16"}
    for name, view in state.model.weights.items():
        rounded = np.frombuffer(tensors[name].data, ml_dtypes.bfloat16).reshape(view.shape)
        assert np.array_equal(rounded.astype(np.float32), view.astype(ml_dtypes.bfloat16).astype(np.float32))
    with safe_open(path / "model_bf16.safetensors", framework="numpy") as file:
        assert file.get_slice("head.weight").get_dtype() == "BF16"


def test_what_the_safetensors_package_writes_can_be_read(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.zeros((0, 4), np.float32)}
    save_file(arrays, tmp_path / "other.safetensors")
    read = {tensor.name: tensor for tensor in read_tensors(tmp_path / "other.safetensors")}
    assert {name: (tensor.shape, bytes(tensor.data)) for name, tensor in read.items()} == {
        name: (array.shape, array.tobytes()) for name, array in arrays.items()
    }


def test_the_digest_sees_one_bit_a_name_and_a_shape(tmp_path: Path) -> None:
    def digest(name: str, shape: tuple[int, ...], content: bytes) -> str:
        write_tensors(tmp_path / "model.safetensors", [StoredTensor(name, "F32", shape, memoryview(content))])
        return final_digest(tmp_path)

    base = digest("w", (2, 1), b"\0" * 8)
    assert digest("w", (2, 1), b"\0" * 8) == base
    assert len({base, digest("w", (1, 2), b"\0" * 8), digest("v", (2, 1), b"\0" * 8)}) == 3
    assert digest("w", (2, 1), b"\0" * 7 + b"\1") != base


def test_a_folder_without_tensors_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no tensors"):
        final_digest(tmp_path)


def test_a_checkpoint_without_its_marker_does_not_count(saved: tuple[TrainingState, Path], tmp_path: Path) -> None:
    for step in ("step-100", "step-20", "step-3"):
        shutil.copytree(saved[1], tmp_path / step)
    (tmp_path / "step-100/trainer_state.json").unlink()
    (tmp_path / "step-x").mkdir()
    assert [path.name for path in complete_checkpoints(tmp_path)] == ["step-3", "step-20"]
    assert complete_checkpoints(tmp_path / "nowhere") == []
    with pytest.raises(NotFoundError):
        load_checkpoint(tmp_path / "step-100", size="small", seed=5)


def test_a_checkpoint_that_is_replaced_loses_its_marker_first(tmp_path: Path) -> None:
    state = TrainingState("small", 5)
    path = save_checkpoint(tmp_path, state, ManualClock())
    (path / "optimizer.safetensors").unlink()
    (path / "optimizer.safetensors").mkdir()  # the second save fails half-way
    with pytest.raises(FailedError, match="optimizer"):
        save_checkpoint(tmp_path, state, ManualClock())
    assert complete_checkpoints(tmp_path) == []


@pytest.mark.parametrize(("size", "seed"), [("small", 6), ("medium", 5)])
def test_the_checkpoint_of_another_run_is_refused(saved: tuple[TrainingState, Path], size: str, seed: int) -> None:
    with pytest.raises(RefusedError, match="another run"):
        load_checkpoint(saved[1], size=size, seed=seed)


def test_another_text_is_refused(saved: tuple[TrainingState, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved[1], tmp_path / "step-2")
    data = json.loads((copy / "data_state.json").read_text())
    (copy / "data_state.json").write_text(json.dumps(data | {"corpus_sha256": "0" * 64}))
    with pytest.raises(RefusedError, match="another text"):
        load_checkpoint(copy, size="small", seed=5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trainer_state.json", b"{}"),
        ("data_state.json", b"\xff"),
        ("rng.json", b'{"bit_generator":"PCG64","state":"x","inc":"1","has_uint32":0,"uinteger":0}'),
        ("rng.json", b'{"bit_generator":"MT19937","state":"1","inc":"1","has_uint32":0,"uinteger":0}'),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}      "),
        ("optimizer.safetensors", b""),
    ],
)
def test_damage_is_named(saved: tuple[TrainingState, Path], tmp_path: Path, name: str, content: bytes) -> None:
    copy = shutil.copytree(saved[1], tmp_path / "step-2")
    (copy / name).write_bytes(content)
    with pytest.raises(DamageError, match=name):
        load_checkpoint(copy, size="small", seed=5)


def test_an_unknown_size_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="huge"):
        TrainingState("huge", 1)


VALID = (64).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(64) + b"abcdefgh"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, len(VALID) - 1), st.binary(max_size=4), st.integers(0, 6))
def test_malformed_tensors_raise_only_our_errors(tmp_path: Path, at: int, inserted: bytes, removed: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(VALID[:at] + inserted + VALID[at + removed :])
    try:
        tensors = read_tensors(path)
    except HoldfastError as error:
        assert isinstance(error, DamageError)
    else:
        assert all(len(tensor.data) == int(np.prod(tensor.shape)) * 4 or tensor.dtype != "F32" for tensor in tensors)
