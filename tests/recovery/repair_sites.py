"""A vault at two sites to be damaged and mended, and what of it really restores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file

from holdfast.errors import HoldfastError
from holdfast.replication.copying.snapshots import mirror
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.damage import contents_of
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.files.chunk_map import ChunkMap
from holdfast.vault.format.records import Entry
from holdfast.vault.repairing.model import SnapshotLoss
from holdfast.vault.vault import Vault

__all__ = ["Sites", "build_sites", "Restorable", "what_restores", "what_is_said_to_restore"]

ASSET = "run"


class Sites(NamedTuple):
    """A vault, its replica, the contents of both, and the bytes of every file: (snapshot, path) → bytes."""

    trial: TrialVault
    replica: Store
    contents: dict[str, bytes]
    files: dict[tuple[str, str], bytes]

    @property
    def store(self) -> Store:
        return self.trial.store

    def second(self) -> Vault:
        """The replica, opened."""
        return self.trial.open(store=self.replica)


def build_sites(work: Path, *, encrypted: bool = True, store: Store | None = None) -> Sites:
    """Four snapshots of a checkpoint with ten tensors in two files, deltas, and a text; one of another asset."""
    trial = new_trial_vault(store or MemoryStore(name="first"), encrypted=encrypted, pack_bytes=24 << 10)
    folder = work / "checkpoint"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    tensors = {f"layer.{number}": rng.normal(size=(32, 40)).astype("f4") for number in range(8)}
    files: dict[tuple[str, str], bytes] = {}
    for step in range(4):
        tensors = {
            name: (values * (1 + 1e-4 * rng.normal(size=values.shape))).astype("f4") for name, values in tensors.items()
        }
        save_file(tensors, str(folder / "model.safetensors"))
        np.save(folder / "moments.npy", rng.normal(size=(64, 64)).astype("f4"))
        (folder / "notes.txt").write_text(f"step {step}\n")
        snapshot = trial.open().save(ASSET, folder, step=step).root.id
        files |= {(snapshot, path.name): path.read_bytes() for path in folder.iterdir()}
    alone = work / "vocabulary.bin"
    alone.write_bytes(rng.bytes(5000))
    files[trial.open().save("vocabulary", alone).root.id, alone.name] = alone.read_bytes()
    replica = MemoryStore(name="second")
    mirror(trial.store, replica)
    return Sites(trial, replica, contents_of(trial.store), files)


class Restorable(NamedTuple):
    """Files (snapshot, path) and tensors (snapshot, path, name) that do not come back."""

    files: set[tuple[str, str]]
    tensors: set[tuple[str, str, str]]


def what_restores(sites: Sites) -> Restorable:
    """What really does not: every file and every tensor is read from the store, by itself, and compared."""
    vault = sites.trial.open()
    lost = Restorable(set(), set())
    for (snapshot, path), expected in sites.files.items():
        entry = _entry(vault, snapshot, path)
        if entry is None:
            lost.files.add((snapshot, path))
            continue
        if _read(vault, entry, 0, entry.size) != expected:
            lost.files.add((snapshot, path))
        for tensor in entry.tensors:
            data = _read(vault, entry, tensor.offset, tensor.bytes)
            if data != expected[tensor.offset : tensor.offset + tensor.bytes]:
                lost.tensors.add((snapshot, path, tensor.name))
    return lost


def what_is_said_to_restore(sites: Sites, losses: list[SnapshotLoss]) -> Restorable:
    """The same by a loss report. Of a component whose manifest is gone, its files count as lost by elimination."""
    lost = Restorable(set(), set())
    for loss in losses:
        of_snapshot = {path for snapshot, path in sites.files if snapshot == loss.snapshot}
        for file in loss.files:
            lost.files.add((loss.snapshot, file.path))
            lost.tensors.update((loss.snapshot, file.path, tensor.name) for tensor in file.tensors)
        if loss.parts or not loss.asset:
            known = _known_paths(sites, loss.snapshot)
            gone = of_snapshot - known
            assert len(gone) == sum(part.files for part in loss.parts) or not loss.asset
            lost.files.update((loss.snapshot, path) for path in gone)
    return lost


def _known_paths(sites: Sites, snapshot: str) -> set[str]:
    """Of the files of a snapshot, those whose manifest can be read."""
    vault = sites.trial.open()
    return {path for one, path in sites.files if one == snapshot and _entry(vault, snapshot, path) is not None}


def _entry(vault: Vault, snapshot: str, path: str) -> Entry | None:
    from holdfast.ids import PartId
    from holdfast.vault.snapshots.finding import read_part

    try:
        root = vault.find(snapshot)
    except HoldfastError:
        return None
    for link in root.parts:
        try:
            entries = read_part(vault.handle, PartId(link.id.hex())).entries
        except HoldfastError:
            continue
        for entry in entries:
            if entry.type == "file" and os.fsdecode(entry.path) == path:
                return entry
    return None


def _read(vault: Vault, entry: Entry, start: int, size: int) -> bytes | None:
    """Those bytes of a file, through the reader that restores use; None where one of the chunks cannot be had."""
    from holdfast.vault.files.windows import Window

    data = bytearray(entry.size)
    reader = vault.handle.reader()
    for offset, length, chunk in ChunkMap(entry).covering(Window(start, 1, size, size)):
        try:
            data[offset : offset + length] = reader.read([chunk])[chunk]
        except HoldfastError:
            return None
    return bytes(data[start : start + size])
