"""How much memory the verbs take on a large checkpoint, each measured in a process of its own."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.trust.credentials import encode_credential

__all__ = ["Measured", "prepare", "measure", "write_checkpoint"]

_BLOCK_BYTES = 64 << 20
_TENSORS_PER_BLOCK = 4


class Measured(NamedTuple):
    """Wall seconds, and resident memory in MiB: after opening the vault, and at most."""

    verb: str
    seconds: float
    mib_before: float
    mib_most: float


def prepare(folder: Path, size_bytes: int) -> None:
    """A vault, its key, and a source of that size (a multiple of 64 MiB)."""
    (folder / "source").mkdir(parents=True)
    keeper = new_trial_vault(LocalStore(folder / "vault")).keeper
    (folder / "key").write_bytes(encode_credential(keeper))
    write_checkpoint(folder / "source" / "model.safetensors", size_bytes, step=0)


def write_checkpoint(path: Path, size_bytes: int, *, step: int) -> None:
    """Float weights as of training: one random block, scaled and turned anew for each tensor, drifting by steps."""
    count = size_bytes // _BLOCK_BYTES * _TENSORS_PER_BLOCK
    nbytes = _BLOCK_BYTES // _TENSORS_PER_BLOCK
    shape = [nbytes // 4 // 1024, 1024]
    header = {
        f"layer.{i}.weight": {"dtype": "F32", "shape": shape, "data_offsets": [i * nbytes, (i + 1) * nbytes]}
        for i in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = np.random.default_rng(1).normal(scale=0.02, size=nbytes // 4).astype("<f4")
    drift = np.random.default_rng(2).normal(scale=1e-5, size=nbytes // 4).astype("<f4")
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number in range(count):
            stirred = np.roll(block, 977 * number) * np.float32(1 + number / 1000)
            file.write((stirred + step * np.roll(drift, 1009 * number)).tobytes())


def measure(folder: Path, verb: str) -> Measured:
    """Run the verb on what `prepare` made."""
    script = Path(__file__).with_name("measured_verb.py")
    done = subprocess.run([sys.executable, str(script), str(folder), verb], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Measured(verb, told["seconds"], told["kib_before"] / 1024, told["kib_most"] / 1024)
