"""A vault with very many snapshots: what listing them takes, and what one more save costs beside a young vault.

`python -m benchmarks.many_snapshots [--snapshots 10000] [--no-packs] [--json]`. Everything lies in RAM (/dev/shm)
unless --folder says otherwise. Each snapshot is made by the functions that a save calls: a pack with one chunk, its
index, root, `latest` and `validated`; only its manifest is that of the first. --no-packs leaves packs and indexes out.
Saves are measured twice: in the vault as the saves left it, and after one `vault collect`, which puts small index
objects together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from holdfast.ids import ChunkId
from holdfast.stores.local import LocalStore
from holdfast.testing.counting import CountingStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import encode_credential
from holdfast.vault.codecs.model import Codec
from holdfast.vault.format.records import Check, Root
from holdfast.vault.handle import Handle
from holdfast.vault.regions.model import Element, Kind
from holdfast.vault.saving.committing import make_root, write_root
from holdfast.vault.saving.options import save_options
from holdfast.vault.saving.pack_writer import PackWriter
from holdfast.vault.saving.pipeline import Tally
from holdfast.vault.saving.validation import NORM_JUMP
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, move_ref

ASSET = "run"
ROUNDS = 7
YOUNG = 10
MIB = 1 << 20
PROGRAM = Path(sys.executable).with_name("holdfast")


def main() -> int:
    parser = argparse.ArgumentParser(description="Listing and saving in a vault with many snapshots.")
    parser.add_argument("--snapshots", type=int, default=10_000)
    parser.add_argument("--no-packs", action="store_true", help="roots and pointers only")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-many-", dir=options.folder))
    try:
        for name in ("CONFIG", "STATE", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = str(folder / name.lower())
        results = measure(folder, options.snapshots, packs=not options.no_packs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        show(results)
    return 0


def measure(folder: Path, snapshots: int, *, packs: bool) -> dict[str, Any]:
    """Times in seconds, medians of several rounds (of the first listing: the only one)."""
    old, young = folder / "old", folder / "young"
    began = time.perf_counter()
    keeper = fill(old, snapshots, packs=packs)
    making = (time.perf_counter() - began) / snapshots
    vaults = {"young": (young, fill(young, YOUNG, packs=packs)), "old": (old, keeper)}
    results: dict[str, Any] = {
        "snapshots": snapshots,
        "packs": packs,
        "making one": making,
        "list": _measure_lists(folder, old, keeper),
        "save": _measure_sizes(folder, vaults),
    }
    # Until here nobody ever collected: each save's own index object is still there.
    collecting = _seconds(lambda: [trial.open().collect() for _, trial in vaults.values()])
    return results | {"collecting": collecting, "save, collected": _measure_sizes(folder, vaults)}


def _measure_sizes(folder: Path, vaults: Mapping[str, tuple[Path, TrialVault]]) -> dict[str, Any]:
    return {f"{size} MiB": _measure_saves(folder, size * MIB, vaults) for size in (1, 64)}


def fill(folder: Path, snapshots: int, *, packs: bool = True) -> TrialVault:
    """A vault in `folder` with that many snapshots of one asset, the first of them saved from a file."""
    trial = new_trial_vault(LocalStore(folder))
    source = folder.with_name(f"{folder.name}-source")
    source.write_bytes(os.urandom(5000))
    vault = trial.open()
    first = vault.save(ASSET, source, step=0).root
    for number in range(1, snapshots):
        _add_snapshot(vault.handle, first, number, packs=packs)
    return trial


def _add_snapshot(handle: Handle, like: Root, step: int, *, packs: bool) -> None:
    if packs:
        payload = os.urandom(200)
        chunk: ChunkId = handle.keys.names.chunk_id(payload)
        with PackWriter(handle) as writer:
            writer.add(
                chunk, payload, raw=len(payload), codec=Codec.RAW, element=Element(Kind.OPAQUE, 1), base=ChunkId(b"")
            )
            writer.finish()
    root = make_root(
        handle,
        like.asset,
        source=like.source,
        name=like.name,
        content_ns=handle.clock.now_ns(),
        parent=like.id,
        options=save_options(
            step=step,
            metadata={"run": "benchmark"},
            versions=None,
            tags=(),
            policy="warn",
            norm_jump=NORM_JUMP,
            verify=True,
        ),
        links=like.parts,
        tally=Tally(),
        validation=like.validation,
    )
    written = write_root(handle, root, [], {})
    move_ref(handle, root.asset, LATEST, written.root.id, "saved")
    move_ref(handle, root.asset, VALIDATED, written.root.id, "read back", Check("decoded", 5000, handle.clock.now_ns()))


def _measure_lists(folder: Path, vault: Path, trial: TrialVault) -> dict[str, float]:
    key = folder / "key"
    key.write_bytes(encode_credential(trial.keeper))
    key.chmod(0o600)
    environment = {**os.environ, "HOLDFAST_KEY_FILE": str(key)}
    shutil.rmtree(folder / "cache", ignore_errors=True)

    def opened() -> None:
        TrialVault(LocalStore(vault), trial.keeper).open().snapshots()

    def command(*more: str) -> Callable[[], object]:
        line = [PROGRAM, *more]
        return lambda: subprocess.run(line, check=True, env=environment, capture_output=True)

    listing = ["snapshot", "list", "--vault", str(vault)]
    return {
        "first, in process": _seconds(opened),
        "again, in process": _median(opened),
        "again, whole process": _median(command(*listing)),
        "again, whole process, --json": _median(command(*listing, "--json")),
        "again, whole process, --limit 20": _median(command(*listing, "--limit", "20")),
        "whole process of --version": _median(command("--version")),
    }


def _measure_saves(folder: Path, size: int, vaults: Mapping[str, tuple[Path, TrialVault]]) -> dict[str, Any]:
    """Both vaults in turns, each time with new content, and then once more to count."""
    source = folder / "content"
    times: dict[str, list[float]] = {name: [] for name in vaults}
    for _ in range(ROUNDS):
        for name, (path, trial) in vaults.items():
            source.write_bytes(os.urandom(size))
            vault = TrialVault(LocalStore(path), trial.keeper).open()
            times[name].append(_seconds(lambda vault=vault: vault.save(ASSET, source)))
    counts = {}
    for name, (path, trial) in vaults.items():
        source.write_bytes(os.urandom(size))
        store = CountingStore(LocalStore(path))
        TrialVault(store, trial.keeper).open().save(ASSET, source)
        counts[name] = dict(sorted(store.counts.items()))
    young, old = median(times["young"]), median(times["old"])
    return {"young": young, "old": old, "ratio": old / young, "fastest": min(times["old"]) / min(times["young"])} | {
        "operations": counts
    }


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _median(action: Callable[[], object]) -> float:
    return median(_seconds(action) for _ in range(ROUNDS))


def show(results: dict[str, Any]) -> None:
    """The results as lines for a person."""
    print(f"{results['snapshots']:,} snapshots, {results['making one'] * 1000:.1f} ms to make one")
    for name, seconds in results["list"].items():
        print(f"list: {name:40} {seconds:8.3f} s")
    rows = [(f"{kind} {size}", save) for kind in ("save", "save, collected") for size, save in results[kind].items()]
    for name, save in rows:
        print(
            f"{name}: {save['young']:.3f} s with {YOUNG} snapshots, {save['old']:.3f} s with many: "
            f"{save['ratio']:.2f} × (fastest: {save['fastest']:.2f} ×)"
        )
        for vault, counts in save["operations"].items():
            print(f"  {vault:6}", ", ".join(f"{what} {count}" for what, count in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
