"""One checkpoint into the vault and its copies, by a worker."""

from __future__ import annotations

import time
from pathlib import Path

from holdfast.checkpoints.metrics import metrics_of
from holdfast.checkpoints.trackers import trackers_beside
from holdfast.control.authority.guarding import guard
from holdfast.errors import UsageError
from holdfast.events import Progress
from holdfast.training.executing.asks import Ask, Copy, Saved
from holdfast.training.executing.vaults import Saving, open_to_save
from holdfast.vault.saving.validation import Policy

__all__ = ["save", "copy"]


def save(ask: Ask, progress: Progress) -> Saved:
    """Save `ask.checkpoint` and copy it. The snapshot's metadata hold its place in the folder and when it was written:
    what a start elsewhere needs. Raises what saving raises; a copy that fails is in the answer.
    """
    if ask.checkpoint is None:
        raise UsageError("there is nothing to save")
    started = time.monotonic()
    saving = open_to_save(ask.place, progress)
    one = ask.checkpoint
    path = Path(ask.place.folder, one.place)
    metadata = {"framework": one.framework, "checkpoint": path.name, "place": one.place, "written": str(one.written)}
    tracker = trackers_beside(path)
    report = saving.vault.save(
        ask.place.asset,
        path,
        step=one.step,
        metadata=metadata | ({"tracker": tracker} if tracker else {}),
        policy=Policy(ask.place.policy),
        verify=ask.place.verify,
        metrics=metrics_of(path),
        committed=saving.committed,
    )
    seconds = time.monotonic() - started  # of what makes it durable here: copies have their own time
    root = report.root
    return Saved(
        snapshot=root.id,
        bytes=sum(link.size for link in root.parts),
        stored=root.stats.get("stored", 0),
        verdict=root.validation.verdict,
        findings=[f"{found.check}: {found.where}: {found.message}" for found in root.validation.findings],
        validated=report.validated,
        copies=_copy(ask, saving, progress),
        seconds=seconds,
    )


def copy(ask: Ask, progress: Progress) -> list[Copy]:
    """Bring the replicas up to date."""
    return _copy(ask, open_to_save(ask.place, progress), progress)


def _copy(ask: Ask, saving: Saving, progress: Progress) -> list[Copy]:
    if not ask.place.replicas or ask.urgent:
        return []
    from holdfast.control.vaults.replicas import Replicas
    from holdfast.control.vaults.replicating import open_target

    for url in ask.place.replicas:
        guard(saving.vault, "replicate", asset=ask.place.asset, to=url)
    stores = [open_target(url, options=ask.place.replica_options, progress=progress) for url in ask.place.replicas]
    copied = Replicas(saving.vault, ask.place.asset, stores, progress.note).copy()
    done = [
        Copy(url, one.bytes, f"{len(one.left_out)} snapshots left out because of damage" if one.left_out else "")
        for url, one in copied.copies.items()
    ]
    return done + [Copy(url, 0, error.message) for url, error in copied.failed.items()]
