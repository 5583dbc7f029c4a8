"""Two writers, a replicator and a collector on one vault: real processes, real SIGKILLs, at random moments.

Leases are shortened for all of them alike, for one of a killed process is waited for. Whoever is out of touch for a
quarter of one would break what the protocol assumes: it must be longer than any pause of this machine.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from holdfast.errors import ConflictError, HoldfastError, NotFoundError, RefusedError
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.closure import Closures
from holdfast.testing.hurried_clock import with_leases_of
from holdfast.testing.invariants import (
    BrokenInvariant,
    Node,
    TreeState,
    check_is_clean,
    every_snapshot_restores,
    names_are_tidy,
    pointers_resolve,
    read_tree,
)
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.credentials import decode_credential, encode_credential
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import Safety
from holdfast.vault.vault import Vault

__all__ = ["Place", "Traffic", "let_them_work"]

_PACK_BYTES = 24 << 10
_KEPT = 4  # snapshots that a writer keeps of its asset
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["holdfast.replication.copying.snapshots", "holdfast.vault.collecting.collect", "numpy"]
)


class Place(NamedTuple):
    """Where the vault is, and how its server is reached; `lease_s` is what leases last there."""

    folder: Path
    url: str
    options: Mapping[str, str]
    environment: Mapping[str, str]
    lease_s: float

    @property
    def safety(self) -> Safety:
        """Everybody here knows leases: nothing else has to be waited for, but listings and late deletes."""
        return Safety(lease=self.lease_s, fresh=0.0, grace=1.0, listing=0.5, settle=1.0)

    def store(self) -> Store:
        return open_store(self.url, options=self.options)

    def trial(self, store: Store | None = None) -> TrialVault:
        keeper = decode_credential((self.folder / "key").read_bytes(), "the keeper's key")
        return TrialVault(store or self.store(), keeper, with_leases_of(self.lease_s), pack_bytes=_PACK_BYTES)

    @property
    def replica(self) -> LocalStore:
        return LocalStore(self.folder / "replica")

    @property
    def journal(self) -> Path:
        return self.folder / "journal"


@dataclass
class Traffic:
    """What a run has seen. `done`: rounds that came to their end, by who; `failed`: errors, by their class."""

    seconds: float = 0.0
    kills: int = 0
    saved: int = 0
    dropped: int = 0
    deleted: int = 0
    restored: int = 0
    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


def let_them_work(place: Place, *, seconds: float, seed: int, kill_every: float) -> Traffic:
    """Let them work and kill one now and then; at the end nothing may be lost. Raises BrokenInvariant."""
    place.journal.mkdir(parents=True)
    os.environ.update(place.environment)
    (place.folder / "key").write_bytes(encode_credential(new_trial_vault(place.store()).keeper))
    traffic, random, began = Traffic(), Random(seed), time.monotonic()
    running = {name: _start(place, name, seed) for name in _ROUNDS}
    try:
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(left, random.uniform(0, 2 * kill_every)))
            name = random.choice(sorted(running))
            assert running[name].exitcode is None, f"{name} ended by itself: {running[name].exitcode}"
            _kill(running[name])
            traffic.kills += 1
            running[name] = _start(place, name, seed + traffic.kills)
    finally:
        for process in running.values():
            _kill(process)
    traffic.seconds = time.monotonic() - began
    with own_memory(place.folder / "memory of who looks"):
        _look(place, traffic)
    return traffic


def _start(place: Place, name: str, seed: int) -> multiprocessing.process.BaseProcess:
    process = _PROCESSES.Process(target=_work, args=(place, name, seed), daemon=True)
    process.start()
    return process


def _kill(process: multiprocessing.process.BaseProcess) -> None:
    process.kill()
    process.join()


def _work(place: Place, name: str, seed: int) -> None:
    os.environ.update(place.environment)
    random = Random(f"{name} {seed}")
    with own_memory(place.folder / "memory" / name):
        vault = place.trial().open()
        number = 0
        while True:
            number += 1
            try:
                _ROUNDS[name](place, vault, name, random)
            except (ConflictError, RefusedError, NotFoundError) as error:  # somebody was faster
                _write(place.journal / f"failed-{name}-{seed}-{number}", f"{type(error).__name__}: {error}".encode())
            else:
                _write(place.journal / f"round-{name}-{seed}-{number}", b"")


def _save(place: Place, vault: Vault, name: str, random: Random) -> None:
    """Save what is partly new and partly what was saved before; drop what is old."""
    source = place.folder / f"source of {name}"
    source.mkdir(exist_ok=True)
    (source / "weights").write_bytes(Random(random.randrange(6)).randbytes(30_000))  # the writers have these in common
    (source / "state").write_bytes(random.randbytes(9_000))
    step = time.time_ns()
    tree = {path: tuple(node) for path, node in read_tree(source).items()}
    _write(place.journal / f"intent-{step}", pickle.dumps(tree))
    report = vault.save(name, source, step=step)
    _write(place.journal / f"done-{report.root.id}", b"")
    mine = [one.root for one in vault.snapshots(name) if one.root is not None]
    for root in mine[: -_KEPT if random.random() < 0.5 else 0]:
        try:
            plan = vault.plan_drop(root.id)
        except RefusedError:
            continue
        _write(place.journal / f"dropping-{root.id}", b"")
        vault.apply_drop(plan)


def _replicate(place: Place, vault: Vault, name: str, random: Random) -> None:
    replicate(vault.handle, place.replica, verify=random.random() < 0.2)


def _collect(place: Place, vault: Vault, name: str, random: Random) -> None:
    target = vault if random.random() < 0.8 or not _is_there(place.replica) else place.trial(place.replica).open()
    report = collect(target.handle, CollectOptions(place.safety))
    if report.deleted.objects:
        _write(place.journal / f"deleted-{time.time_ns()}", str(report.deleted.objects).encode())


_ROUNDS: Mapping[str, Callable[[Place, Vault, str, Random], None]] = {
    "left": _save,
    "right": _save,
    "replicator": _replicate,
    "collector": _collect,
}


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(f"new {os.getpid()}")
    new.write_bytes(data)
    new.rename(path)


def _is_there(store: Store) -> bool:
    return next(iter(store.list("config/")), None) is not None


def _look(place: Place, traffic: Traffic) -> None:
    """Everything that was saved and not dropped is whole, at both sites; and collecting goes on to its end."""
    _look_at(place, place.store(), traffic)
    if _is_there(place.replica):
        _look_at(place, place.replica, None)
    for _ in range(2):
        time.sleep(place.safety.settle + 0.1)
        collect(place.trial().open().handle, CollectOptions(place.safety))
    _look_at(place, place.store(), traffic)
    for kind in ("round", "failed"):
        for path in place.journal.glob(f"{kind}-*"):
            name = path.name.split("-")[1] if kind == "round" else path.read_text().partition(":")[0]
            counted = traffic.done if kind == "round" else traffic.failed
            counted[name] = counted.get(name, 0) + 1
    traffic.deleted = sum(int(path.read_text()) for path in place.journal.glob("deleted-*"))


def _look_at(place: Place, store: Store, traffic: Traffic | None) -> None:
    vault = place.trial(store).open()
    done = {path.name.removeprefix("done-") for path in place.journal.glob("done-*")}
    dropping = {path.name.removeprefix("dropping-") for path in place.journal.glob("dropping-*")}
    Closures(vault.handle).hold()
    listed = {one.root.id: one.root for one in vault.snapshots() if one.root is not None}
    if traffic is not None:
        lost = done - dropping - listed.keys()
        if lost:
            raise BrokenInvariant(f"snapshots {sorted(lost)} are gone, and nobody dropped them")
        traffic.saved, traffic.dropped, traffic.restored = len(done), len(dropping), len(listed)
    names_are_tidy(store)
    check_is_clean(vault)
    for asset in {root.asset for root in listed.values()}:
        pointers_resolve(vault, asset)
    expected = {one: _intended(place, root.step or 0) for one, root in listed.items()}
    try:
        every_snapshot_restores(vault, expected, place.folder / "out")
    except HoldfastError as error:
        raise BrokenInvariant(f"{type(error).__name__}: {error}") from error


def _intended(place: Place, step: int) -> TreeState:
    tree = pickle.loads((place.journal / f"intent-{step}").read_bytes())
    return {path: Node(*node) for path, node in tree.items()}
