"""Savers that are killed: real processes, real SIGKILL, at random moments of saving and replicating."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import (
    Node,
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    next_save_works,
    pointers_resolve,
    read_tree,
    trees_are_equal,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.credentials import decode_credential, encode_credential
from holdfast.vault.vault import Vault

from .sample_vault import ASSET, train, write_state

__all__ = ["Tally", "kill_savers"]

_PACK_BYTES = 24 << 10
_KILL_WITHIN_SECONDS = 0.35  # a save of the sample, read back and replicated, takes about that long
_PROCESSES = multiprocessing.get_context("forkserver")  # a warm process to fork from: a saver starts in milliseconds
_PROCESSES.set_forkserver_preload(["holdfast.replication.copying.snapshots", "holdfast.vault.vault", "numpy"])


class Tally(NamedTuple):
    """What a series of kills met: how many savers died within a save, within a replication, and what was committed."""

    kills: int
    in_save: int
    in_replication: int
    snapshots: int


class _Places:
    """Everything of one series of kills, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.vault, self.replica = folder / "vault", folder / "replica"
        self.source, self.state, self.key = folder / "source", folder / "state", folder / "key"
        self.journal = folder / "journal"

    def trial(self, place: Path | None = None) -> TrialVault:
        keeper = decode_credential(self.key.read_bytes(), "the keeper's key")
        return TrialVault(LocalStore(place or self.vault), keeper, pack_bytes=_PACK_BYTES)

    def tree_of_step(self, step: int) -> TreeState:
        return {
            path: Node(*node) for path, node in pickle.loads((self.journal / f"{step}.intent").read_bytes()).items()
        }


def kill_savers(folder: Path, *, kills: int, seed: int) -> Tally:
    """Let savers work on one vault and kill them; after each kill everything must hold. Raises BrokenInvariant."""
    random, places = Random(seed), _Places(folder)
    for place in (places.source, places.journal):
        place.mkdir(parents=True)
    write_state(places.source, seed)
    places.key.write_bytes(encode_credential(new_trial_vault(LocalStore(places.vault)).keeper))
    in_save = in_replication = 0
    known: dict[str, TreeState] = {}
    for number in range(kills):
        _run_until_killed(folder, random.uniform(0, _KILL_WITHIN_SECONDS))
        phases = [path.read_text() for path in [places.journal / "phase"] if path.exists()]
        in_save += phases == ["save"]
        in_replication += phases == ["replicate"]
        _verify(places, known, random, thorough=number == kills - 1)
    return Tally(kills, in_save, in_replication, len(known))


def _run_until_killed(folder: Path, seconds: float) -> None:
    ready, ours = _PROCESSES.Pipe(duplex=False)
    saver = _PROCESSES.Process(target=_save_for_ever, args=(str(folder), ours))
    saver.start()
    ours.close()
    assert ready.recv() == "working"
    saver.join(seconds)
    assert saver.exitcode is None, "the saver gave up by itself"
    saver.kill()
    saver.join()
    ready.close()
    saver.close()


def _save_for_ever(folder: str, ready: Connection) -> None:
    places = _Places(Path(folder))
    step = sum(1 for _ in places.journal.glob("*.intent"))
    with own_memory(places.state):
        vault = places.trial().open()
        ready.send("working")
        while True:
            step += 1
            train(places.source, seed=step)
            intent = places.journal / f"{step}.part"
            intent.write_bytes(pickle.dumps({path: tuple(node) for path, node in read_tree(places.source).items()}))
            intent.rename(places.journal / f"{step}.intent")
            _enter(places, "save")
            report = vault.save(ASSET, places.source, step=step)
            _enter(places, "replicate")
            (places.journal / f"{step}.done").write_text(report.root.id)
            replicate(vault.handle, LocalStore(places.replica))
            _enter(places, "train")


def _enter(places: _Places, phase: str) -> None:
    new = places.journal / "new phase"
    new.write_text(phase)
    new.rename(places.journal / "phase")


def _verify(places: _Places, known: dict[str, TreeState], random: Random, *, thorough: bool) -> None:
    """Known snapshots are still there, new ones are what was meant to be saved, and work goes on."""
    with own_memory(places.state):
        fresh = _new_snapshots(places, known)
        known |= fresh
        chosen = known if thorough else fresh | dict(random.sample(sorted(known.items()), min(2, len(known))))
        vault = places.trial().open()
        assert {one.root.id for one in vault.snapshots() if one.root} == known.keys()
        _invariants(vault, chosen, places.journal / "out")
        write_state(places.source, random.randrange(1 << 30))  # the saver may have died while it wrote its checkpoint
        report = next_save_works(vault, ASSET, places.source, places.journal / "out")
        known[report.root.id] = read_tree(places.source)
        if places.replica.exists():
            _verify_replica(places, known, places.journal / "out")


def _invariants(vault: Vault, chosen: Mapping[str, TreeState], scratch: Path) -> None:
    names_are_tidy(vault.handle.store)
    check_is_clean(vault)
    pointers_resolve(vault, ASSET)
    every_snapshot_restores(vault, chosen, scratch)


def _new_snapshots(places: _Places, known: Mapping[str, TreeState]) -> dict[str, TreeState]:
    listed = [one.root for one in places.trial().open().snapshots() if one.root is not None]
    fresh = {
        root.id: places.tree_of_step(root.step) for root in listed if root.step is not None and root.id not in known
    }
    done = {path.read_text() for path in places.journal.glob("*.done")} - {""}
    assert done <= known.keys() | fresh.keys(), "a save that had returned is gone"
    return fresh


def _verify_replica(places: _Places, known: Mapping[str, TreeState], scratch: Path) -> None:
    """Whenever the copying was stopped, what has arrived is whole."""
    store = LocalStore(places.replica)
    names_are_tidy(store)
    if next(store.list("config/"), None) is None:
        return
    replica = places.trial(places.replica).open()
    check_is_clean(replica)
    pointers_resolve(replica, ASSET)
    arrived = [one.root for one in replica.snapshots() if one.root is not None]
    for root in arrived[-1:]:
        target = scratch / "replica"
        restored = replica.restore(root.id, target, overwrite=True)
        trees_are_equal(read_tree(restored.target), known[root.id], f"{root.id} at the replica")
