"""A small vault with everything in it that can be damaged: deltas, several packs, shared parts, two generations."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np

from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import TreeState, read_tree
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer

__all__ = ["ASSET", "Sample", "build_sample", "write_state", "train"]

ASSET = "run"
_PACK_BYTES = 24 << 10


class Sample(NamedTuple):
    """A vault, what each of its snapshots was made of, its contents, and those of another vault."""

    trial: TrialVault
    expected: dict[str, TreeState]
    contents: dict[str, bytes]
    foreign: dict[str, bytes]

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.contents if key.startswith(prefix))


def build_sample(work: Path, *, encrypted: bool, store: Store | None = None) -> Sample:
    """Four snapshots of one asset, one of another; `work` is where their sources are made."""
    trial = new_trial_vault(store or MemoryStore(), encrypted=encrypted, pack_bytes=_PACK_BYTES)
    admit_writer(trial.open().handle, "second")
    source = work / "source"
    source.mkdir(parents=True)
    write_state(source, seed=1)
    expected: dict[str, TreeState] = {}
    for step in range(4):
        if step:
            train(source, seed=step)
        tags = ("release",) if step == 1 else ()
        expected[trial.open().save(ASSET, source, step=step, tags=tags).root.id] = read_tree(source)
    alone = work / "notes.txt"
    alone.write_bytes(b"one file" * 50)
    expected[trial.open().save("notes", alone).root.id] = read_tree(alone)
    other = new_trial_vault(MemoryStore(), encrypted=encrypted, pack_bytes=_PACK_BYTES)
    for step in range(2):
        other.open().save(ASSET, source, step=step)
    return Sample(trial, expected, contents_of(trial.store), contents_of(other.store))


def write_state(folder: Path, seed: int) -> None:
    """A checkpoint: two arrays, a text, an empty file, a folder, a link."""
    rng = np.random.default_rng(seed)
    np.save(folder / "weights.npy", rng.normal(size=(96, 64)).astype("f4"))
    np.save(folder / "optimizer.npy", rng.normal(size=(64, 96)).astype("f2"))
    (folder / "rng_state.bin").write_bytes(random.Random(seed).randbytes(9000))
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "config.json").write_text('{"layers": 4, "seed": 1}')
    (folder / "sub" / "empty").touch()
    if not os.path.lexists(folder / "newest"):
        (folder / "newest").symlink_to("sub/config.json")


def train(folder: Path, seed: int) -> None:
    """The next checkpoint: weights move a little, the optimizer only now and then, the random state wholly."""
    rng = np.random.default_rng(seed)
    weights = np.load(folder / "weights.npy")
    np.save(folder / "weights.npy", (weights * (1 + 1e-4 * rng.normal(size=weights.shape))).astype("f4"))
    if seed % 2:
        np.save(folder / "optimizer.npy", rng.normal(size=(64, 96)).astype("f2"))
    (folder / "rng_state.bin").write_bytes(random.Random(seed + 100).randbytes(9000))
