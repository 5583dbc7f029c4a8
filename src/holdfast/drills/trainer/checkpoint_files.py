"""What a checkpoint looks like on disk, for those who only look: names, completeness, digest. Needs no NumPy.

::

    <dir>/heartbeat.json           after every step
    <dir>/step-40/model.safetensors        weights
                  optimizer.safetensors    exp_avg.*, exp_avg_sq.* of every weight
                  model_bf16.safetensors   weights rounded to bfloat16, only with --bf16
                  rng.json, data_state.json
                  trainer_state.json       last, by rename: the checkpoint is complete when this is there
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import msgspec

from holdfast.drills.trainer.safetensors import read_tensors
from holdfast.errors import NotFoundError

__all__ = ["MODEL", "OPTIMIZER", "MODEL_BF16", "RNG", "DATA", "MARKER"]
__all__ += ["TrainerState", "checkpoint_path", "complete_checkpoints", "final_digest"]

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
MODEL_BF16 = "model_bf16.safetensors"
RNG = "rng.json"
DATA = "data_state.json"
MARKER = "trainer_state.json"

_STEP = re.compile(r"step-([0-9]+)")


class TrainerState(msgspec.Struct, frozen=True, kw_only=True):
    """The marker. `global_step` repeats `step` under the name that the Hugging Face trainer uses."""

    step: int
    global_step: int
    loss: float
    time: str  # RFC 3339, UTC
    time_ns: int
    seed: int
    size: str
    tokens: int  # read since step 0
    learning_rate: float


def checkpoint_path(folder: Path, step: int) -> Path:
    """`<folder>/step-<step>`."""
    return folder / f"step-{step}"


def complete_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of `folder` that have their marker, oldest step first; empty when the folder does not exist."""
    if not folder.is_dir():
        return []
    steps = ((_STEP.fullmatch(path.name), path) for path in folder.iterdir())
    found = [(int(match[1]), path) for match, path in steps if match and (path / MARKER).is_file()]
    return [path for _, path in sorted(found)]


def final_digest(checkpoint: Path) -> str:
    """SHA-256 (hex) over name, dtype, shape and bytes of every tensor of a checkpoint, in order of file and name.

    Equal digests mean bit-identical weights and optimizer moments. Raises NotFoundError, DamageError.
    """
    files = sorted(checkpoint.glob("*.safetensors"))
    if not files:
        raise NotFoundError(f"{checkpoint} holds no tensors", object_name=str(checkpoint))
    digest = hashlib.sha256()
    for path in files:
        for tensor in sorted(read_tensors(path), key=lambda stored: stored.name):
            what = [path.name, tensor.name, tensor.dtype, tensor.shape, tensor.data.nbytes]
            digest.update(json.dumps(what).encode() + b"\n")
            digest.update(tensor.data)
    return digest.hexdigest()
