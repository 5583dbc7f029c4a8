"""Processes that work on one vault at the same time. What they do is here, so that a fresh process can import it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random

from holdfast.control.vaults.opening import create
from holdfast.errors import ConflictError, HoldfastError
from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import TrialVault, own_memory
from holdfast.trust.credentials import Credential, decode_credential, encode_credential
from holdfast.vault.access.members import admit_writer

__all__ = ["run_rivals", "save_often", "create_at_once", "admit_at_once", "shared_trial", "hand_over"]

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["holdfast.control.vaults.opening", "holdfast.replication.copying.snapshots", "numpy"]
)


def run_rivals(work: Callable[..., None], arguments: list[tuple[object, ...]]) -> None:
    """One process for each tuple of arguments; `work` gets a barrier first. Raises AssertionError if one fails."""
    barrier = _PROCESSES.Barrier(len(arguments))
    processes = [_PROCESSES.Process(target=work, args=(barrier, *given)) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0, f"a rival ended with {process.exitcode}"


def hand_over(credential: Credential, folder: Path) -> None:
    """Put the key where `shared_trial` finds it."""
    (folder / "key").write_bytes(encode_credential(credential))


def shared_trial(folder: Path) -> TrialVault:
    keeper = decode_credential((folder / "key").read_bytes(), "the keeper's key")
    return TrialVault(LocalStore(folder / "vault"), keeper, pack_bytes=24 << 10)


def save_often(barrier: Barrier, folder: Path, name: str, times: int) -> None:
    """Save `times` states of an own source, each kept beside it under the snapshot's id."""
    random, source = Random(name), folder / name
    source.mkdir()
    (source / "common").write_bytes(Random(7).randbytes(60_000))  # both rivals store the same chunks
    with own_memory(folder / "state" / name):
        vault = shared_trial(folder).open()
        barrier.wait()
        for number in range(times):
            (source / "state").write_bytes(random.randbytes(30_000))
            report = vault.save("asset", source, step=number)
            assert report.verified is not None
            kept = folder / "kept" / report.root.id
            kept.mkdir(parents=True)
            (kept / "state").write_bytes((source / "state").read_bytes())


def create_at_once(barrier: Barrier, folder: Path, name: str) -> None:
    """Try to make a vault; say how it ended."""
    environment = {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
    barrier.wait()
    try:
        outcome = f"made {create(str(folder / 'vault'), environment=environment).vault.id}"
    except HoldfastError as error:
        outcome = f"{type(error).__name__} {error.exit_code}"
    (folder / f"{name}.outcome").write_text(outcome)


def admit_at_once(barrier: Barrier, folder: Path, name: str) -> None:
    """Admit a writer, again after each lost race."""
    vault = shared_trial(folder).open()
    barrier.wait()
    for _ in range(20):
        try:
            admit_writer(vault.handle, name)
        except ConflictError as error:
            assert error.retry
            continue
        return
    raise AssertionError(f"{name} lost twenty races")
