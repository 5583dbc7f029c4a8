"""Watching a folder: each checkpoint that becomes complete is saved, read back, and copied to the other sites."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.telling import WatchEvents
from holdfast.checkpoints.watching import INTERVAL_SECONDS, SETTLE_SECONDS, Watcher, WatchSummary
from holdfast.control.snapshots.protecting import Protected, protect_checkpoint
from holdfast.control.vaults.replicas import Replicas
from holdfast.errors import FailedError
from holdfast.stores.protocol import Store
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.saving.memory import memory_path
from holdfast.vault.saving.validation import Policy
from holdfast.vault.vault import Vault

__all__ = ["WatchSettings", "watch_folder", "watch_state_file"]


class WatchSettings(NamedTuple):
    """How a folder is watched. `patterns`: globs of files to protect besides the known suffixes."""

    asset: str
    patterns: Sequence[str] = ()
    interval_seconds: float = INTERVAL_SECONDS
    settle_seconds: float = SETTLE_SECONDS
    policy: Policy = Policy.WARN
    verify: bool = True


def watch_folder(
    vault: Vault,
    folder: Path,
    settings: WatchSettings,
    *,
    replicas: Sequence[Store] = (),
    once: bool,
    stop: threading.Event,
    events: WatchEvents,
    saved: Callable[[Candidate, Protected], None],
) -> WatchSummary:
    """Watch until `stop` is set or, with `once`, until what is complete now is dealt with.

    `saved` is called, in this thread and before `events.protected`, with what became of each checkpoint. A save that
    runs is not interrupted. Raises UsageError (times that make no sense), CredentialError (a key that may not add), and
    with `once` what cannot be had of the folder: NotFoundError, PermissionDeniedError.

    Replicas are compared with the vault as soon as the watch has nothing else to do, get each new snapshot, and are
    tried again after a failure, less and less often; with `once`, a last time at the end. What they still lack is in
    the summary.
    """
    vault.handle.keys.require_writer("watching")
    copies = Replicas(vault, settings.asset, replicas, events.warning)

    def protect(candidate: Candidate) -> str:
        outcome = protect_checkpoint(
            vault, candidate, settings.asset, replicas=copies, policy=settings.policy, verify=settings.verify
        )
        saved(candidate, outcome)
        return outcome.report.root.id

    watcher = Watcher(
        folder,
        protect,
        state_file=watch_state_file(vault, settings.asset, folder),
        patterns=settings.patterns,
        settle_seconds=settings.settle_seconds,
        interval_seconds=settings.interval_seconds,
        clock=vault.handle.clock,
        events=events,
        snapshots=lambda: _snapshot_ids(vault, settings.asset),
        idle=copies.catch_up,
    )
    summary = watcher.run(once, stop)
    if once and not stop.is_set():
        copies.catch_up(at_once=True)
    return summary._replace(behind=tuple(copies.behind.items()))


def _snapshot_ids(vault: Vault, asset: str) -> set[str]:
    """By the names of the roots, which any key may list."""
    handle = vault.handle
    prefix = f"{SNAPSHOTS}{handle.keys.names.asset_key(asset)}/"
    return {info.key.removeprefix(prefix) for info in handle.store.list(prefix)}


def watch_state_file(vault: Vault, asset: str, folder: Path) -> Path:
    """Where a watch remembers what it has protected: beside what this machine remembers of the asset's last save."""
    place = os.fsencode(os.path.realpath(folder))
    digest = hashlib.blake2b(place, digest_size=8).hexdigest()
    memory = memory_path(vault.handle.keys, asset)
    if memory is None:
        raise FailedError(
            "there is no home folder in which a watch could remember what it has saved",
            hint="set XDG_STATE_HOME to an absolute path",
        )
    return memory.with_name(f"{memory.name}.watch-{digest}.json")
