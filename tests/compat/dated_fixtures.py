"""Small vaults of every version that was let out: what they hold is written here, and read by test_dated_fixtures.py.

`tools/make-compat-fixture` calls `write_fixture`. A fixture that later versions must restore is never written again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from blake3 import blake3
from small_checkpoints import describe, write_checkpoint

from holdfast.clock import Clock
from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.credentials import Credential, load_credential, write_credential
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.format.names import PACKS
from holdfast.vault.format.packs import PackOpener, places_of, preamble_bytes
from holdfast.vault.handle import Handle
from holdfast.vault.index.objects import pack_of_key, read_pack_table
from holdfast.vault.vault import Vault, open_vault

__all__ = ["FIXTURES", "METHODS", "open_fixture", "forms_of", "held", "manifest_of", "write_fixture"]

FIXTURES = Path(__file__).parent / "fixtures"
PASSPHRASE = "correct horse battery staple"
CHECKPOINTS, ARRAYS, NOTES = "llama / größe 70B", "arrays", "notes"
ELEMENTS = 96
METHODS = {0: "raw", 1: "zstd", 2: "sparse"}  # of planes
VERSIONS = {"python": "3.11.0", "platform": "Linux", "code": "5f3759df"}  # else they would name the machine
_START_NS = 1_750_000_000_000_000_000


class _Ticking(Clock):
    """A minute passes at each look, so that ids and times are in order and no two are alike."""

    def __init__(self) -> None:
        self._now_ns, self._monotonic = _START_NS, 0.0

    def now_ns(self) -> int:
        self._now_ns += 1_000_000_000
        return self._now_ns

    def monotonic(self) -> float:
        self._monotonic += 1e-3
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self._monotonic += seconds


def write_fixture(folder: Path) -> None:
    """Two vaults, their keys, and `manifest.json`: what every snapshot holds."""
    with tempfile.TemporaryDirectory() as scratch, own_memory(Path(scratch) / "memory"):
        manifest = {
            name: _write_vault(folder / name, Path(scratch) / name, encrypted=encrypted)
            for name, encrypted in (("encrypted", True), ("plain", False))
        }
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / "manifest.json").write_text(text, "utf-8")


def _write_vault(folder: Path, work: Path, *, encrypted: bool) -> dict[str, Any]:
    folder.mkdir(parents=True)
    work.mkdir()
    store = LocalStore(folder / "vault")
    trial = new_trial_vault(
        store, encrypted=encrypted, passphrase=PASSPHRASE if encrypted else None, clock=_Ticking(), pack_bytes=64 << 10
    )
    write_credential(trial.keeper, folder / "keeper.key")
    saved = [_checkpoint(trial, None, work, 1)]
    dropped: list[str] = []
    if encrypted:  # the plain vault is smaller: one member, nothing dropped, no single file
        writer = admit_writer(trial.open().handle, "second")
        write_credential(writer, folder / "writer.key")
        gone = _checkpoint(trial, None, work, 2)
        saved.append(_checkpoint(trial, writer, work, 3))
        revoke_signer(trial.open().handle, "second")
        vault = trial.open()
        vault.verify(saved[-1]["id"])
        vault.apply_drop(vault.plan_drop(gone["id"]))
        dropped.append(gone["id"])
    else:
        saved.append(_checkpoint(trial, None, work, 2))
    saved += [_arrays(trial, work, step) for step in (1, 2)]
    trial.open().tag(saved[0]["id"], "first")
    if encrypted:
        saved.append(_notes(trial, work))
    _forget_leases(store)
    vault = trial.open()
    return {
        "passphrase": PASSPHRASE if encrypted else None,
        "snapshots": saved,
        "dropped": dropped,
        "revoked": ["second"] if encrypted else [],
        "pointers": {
            asset: {name: ref.target for name, ref in vault.tags(asset).items()}
            for asset in sorted({one["asset"] for one in saved})
        },
        "forms": sorted(map(list, forms_of(vault.handle))),
    }


def _forget_leases(store: LocalStore) -> None:
    """All but the newest, as a collection does: they have ended, and their signatures take most of the room."""
    listed = [info.key for info in store.list("leases/")]
    newest = max(listed, key=lambda key: store.head(key).modified_ns, default="")
    for key in listed:
        if key.rpartition("/")[0] != newest.rpartition("/")[0]:
            store.delete(key)


def _checkpoint(trial: TrialVault, credential: Credential | None, work: Path, step: int) -> dict[str, Any]:
    """Folders, links, holes, odd names; arrays that move as weights do, so that the next step is stored as deltas."""
    source = work / "checkpoint"
    write_checkpoint(source, step, elements=ELEMENTS)
    root = trial.open(credential).save(CHECKPOINTS, source, step=step, versions=VERSIONS).root
    return {"asset": CHECKPOINTS, "id": root.id, "step": step, "holds": describe(source)}


def _arrays(trial: TrialVault, work: Path, step: int) -> dict[str, Any]:
    """Arrays in memory. From step to step few of the numbers change, so that the planes of deltas are sparse."""
    rng = np.random.default_rng(7)
    still = rng.normal(size=(40, 32)).astype("f4")
    still[:: 20 // step] += np.float32(0.25)
    arrays = {
        "still": still,
        "counts": np.arange(256) * step,
        "half": rng.normal(size=(8, 16)).astype(ml_dtypes.bfloat16),
        "none": np.zeros((0, 3), "f2"),
    }
    vault = trial.open()
    root = vault.save(ARRAYS, arrays, step=step, versions=VERSIONS).root
    restored = vault.restore(root.id, work / f"arrays-{step}").target
    hashes = {name: blake3(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in arrays.items()}
    return {"asset": ARRAYS, "id": root.id, "step": step, "holds": describe(restored), "tensors": hashes}


def _notes(trial: TrialVault, work: Path) -> dict[str, Any]:
    folder = work / "notes"
    folder.mkdir()
    (folder / "notes.txt").write_text("a snapshot of one file\n")
    os.utime(folder / "notes.txt", ns=(_START_NS, _START_NS))
    meta = {"why": "a test", "größe": 3}
    root = trial.open().save(NOTES, folder / "notes.txt", metadata=meta, versions=VERSIONS).root
    holds = {path: it for path, it in describe(folder).items() if path != "."}
    return {"asset": NOTES, "id": root.id, "step": None, "holds": holds}


def forms_of(handle: Handle) -> set[tuple[str, int, str]]:
    """(codec, width, method of a plane) of all that lies in a vault's packs; no method where there are no planes."""
    found = set()
    for info in handle.store.list(PACKS):
        pack = pack_of_key(info.key)
        assert pack is not None
        data = handle.store.get(info.key)
        opener = PackOpener(handle.keys, pack, data[: preamble_bytes(handle.keys.suite)])
        table = read_pack_table(handle.store, handle.keys, info)
        for chunk, place in places_of(table, handle.keys.suite, info.key, info.size):
            codec, width = ("raw", "zstd", "planes", "delta")[place.codec], place.element.width
            if codec in ("raw", "zstd"):
                found.add((codec, 0, ""))
                continue
            payload = opener.open_blob(place.number, chunk, data[place.offset : place.offset + place.stored])
            found |= {(codec, width, METHODS[payload[5 * plane]]) for plane in range(width)}
    return found


def manifest_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What `write_fixture` said that the vaults of a fixture hold, by name."""
    told: dict[str, dict[str, Any]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return told


def open_fixture(folder: Path, name: str, place: Path, *, passphrase: str | None = None) -> Vault:
    """A copy of one vault at `place`, opened by its keeper's key file or by the passphrase."""
    copied = Path(shutil.copytree(folder / name, place, dirs_exist_ok=True))
    (copied / "keeper.key").chmod(0o600)
    credential = None if passphrase else load_credential(copied / "keeper.key")
    return open_vault(LocalStore(copied / "vault"), credential, passphrase=passphrase)


def held(restored: Path, snapshot: dict[str, Any]) -> dict[str, Any]:
    """What lies in the folder, as the manifest tells it: without the folder itself if one file was saved."""
    found = describe(restored)
    return found if "." in snapshot["holds"] else {path: it for path, it in found.items() if path != "."}
