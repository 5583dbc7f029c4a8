"""Writes and reads the drill trainer's checkpoints. The layout is drawn in `checkpoint_files`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from holdfast.clock import Clock, to_rfc3339
from holdfast.drills.trainer import checkpoint_files as names
from holdfast.drills.trainer.checkpoint_files import TrainerState, checkpoint_path
from holdfast.drills.trainer.files import make_folder, read_json, remove_file, write_file, write_file_by_rename
from holdfast.drills.trainer.layers import Floats
from holdfast.drills.trainer.parameters import Parameters
from holdfast.drills.trainer.safetensors import StoredTensor, read_tensors, write_tensors
from holdfast.drills.trainer.state import TrainingState
from holdfast.drills.trainer.text import DataState
from holdfast.errors import DamageError, RefusedError

__all__ = ["save_checkpoint", "load_checkpoint"]


class _RandomState(msgspec.Struct, frozen=True, kw_only=True):
    """NumPy's PCG64, its two 128-bit numbers in decimal (JSON readers cut them otherwise)."""

    bit_generator: str
    state: str
    inc: str
    has_uint32: int
    uinteger: int


def save_checkpoint(folder: Path, state: TrainingState, clock: Clock, *, bf16: bool = False) -> Path:
    """Write `step-<N>` into `folder`, the marker last. Raises StorageFullError, FailedError."""
    target = checkpoint_path(folder, state.step)
    make_folder(target)
    remove_file(target / names.MARKER)  # a checkpoint that is being replaced is not complete
    weights, optimizer = state.model.weights, state.optimizer
    moments = [*_stored("exp_avg.", optimizer.exp_avg), *_stored("exp_avg_sq.", optimizer.exp_avg_sq)]
    write_tensors(target / names.MODEL, list(_stored("", weights)))
    write_tensors(target / names.OPTIMIZER, moments)
    if bf16:
        write_tensors(target / names.MODEL_BF16, list(_stored_bf16(weights)))
    write_file(target / names.RNG, [msgspec.json.encode(_random_state(state.random))])
    write_file(target / names.DATA, [msgspec.json.encode(state.batches.state)])
    write_file_by_rename(target / names.MARKER, msgspec.json.encode(_marker(state, clock)))
    return target


def load_checkpoint(checkpoint: Path, *, size: str, seed: int) -> TrainingState:
    """The run as it was when `checkpoint` was written.

    Raises NotFoundError (no complete checkpoint), DamageError, and RefusedError when it belongs to another run: a
    resume that silently goes on from another model is worse than none.
    """
    marker = read_json(checkpoint / names.MARKER, TrainerState)
    if (marker.size, marker.seed) != (size, seed):
        raise RefusedError(
            f"{checkpoint} is of another run (size {marker.size}, seed {marker.seed})",
            hint="resume with the size and the seed that the run was started with",
            object_name=str(checkpoint),
        )
    state = TrainingState(size, seed)
    _restore_reading(state, checkpoint)
    model = _tensors(checkpoint / names.MODEL)
    moments = _tensors(checkpoint / names.OPTIMIZER)
    _fill(state.model.weights, model, "", checkpoint / names.MODEL)
    _fill(state.optimizer.exp_avg, moments, "exp_avg.", checkpoint / names.OPTIMIZER)
    _fill(state.optimizer.exp_avg_sq, moments, "exp_avg_sq.", checkpoint / names.OPTIMIZER)
    _restore_random(state, checkpoint / names.RNG)
    state.optimizer.learning_rate = marker.learning_rate
    state.step, state.tokens, state.loss = marker.step, marker.tokens, marker.loss
    return state


def _marker(state: TrainingState, clock: Clock) -> TrainerState:
    now = clock.now_ns()
    return TrainerState(
        step=state.step,
        global_step=state.step,
        loss=state.loss,
        time=to_rfc3339(now),
        time_ns=now,
        seed=state.seed,
        size=state.size,
        tokens=state.tokens,
        learning_rate=state.optimizer.learning_rate,
    )


def _stored(prefix: str, parameters: Parameters) -> Iterator[StoredTensor]:
    for name, view in parameters.items():
        yield StoredTensor(prefix + name, "F32", view.shape, view.astype("<f4", copy=False).data.cast("B"))


def _stored_bf16(parameters: Parameters) -> Iterator[StoredTensor]:
    import ml_dtypes

    for name, view in parameters.items():
        rounded = view.astype(ml_dtypes.bfloat16).view("<u2")
        yield StoredTensor(name, "BF16", view.shape, rounded.data.cast("B"))


def _tensors(path: Path) -> dict[str, StoredTensor]:
    return {tensor.name: tensor for tensor in read_tensors(path)}


def _fill(parameters: Parameters, tensors: dict[str, StoredTensor], prefix: str, path: Path) -> None:
    for name, view in parameters.items():
        tensor = tensors.get(prefix + name)
        if tensor is None or tensor.dtype != "F32" or tensor.shape != view.shape:
            raise DamageError(f"{path} lacks the tensor {prefix + name} of this model", object_name=str(path))
        values: Floats = np.frombuffer(tensor.data, dtype="<f4").reshape(view.shape)
        view[...] = values


def _restore_reading(state: TrainingState, checkpoint: Path) -> None:
    saved = read_json(checkpoint / names.DATA, DataState)
    here = state.batches.state
    if (saved.seed, saved.corpus_sha256) != (here.seed, here.corpus_sha256):
        raise RefusedError(
            f"{checkpoint} was trained on another text",
            hint="resume with the Python version that started the run: its help texts are the training data",
            object_name=str(checkpoint),
        )
    state.batches.seek(saved)


def _random_state(random: np.random.PCG64) -> _RandomState:
    state: dict[str, Any] = dict(random.state)
    return _RandomState(
        bit_generator=state["bit_generator"],
        state=str(state["state"]["state"]),
        inc=str(state["state"]["inc"]),
        has_uint32=state["has_uint32"],
        uinteger=state["uinteger"],
    )


def _restore_random(state: TrainingState, path: Path) -> None:
    saved = read_json(path, _RandomState)
    try:
        state.random.state = {
            "bit_generator": saved.bit_generator,
            "state": {"state": int(saved.state), "inc": int(saved.inc)},
            "has_uint32": saved.has_uint32,
            "uinteger": saved.uinteger,
        }
    except (ValueError, OverflowError, TypeError) as error:
        raise DamageError(f"{path} holds no state of a random number generator", object_name=str(path)) from error
