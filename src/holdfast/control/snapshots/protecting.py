"""What `watch` does with a checkpoint that is complete: save it, read it back, copy it to the other sites."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.metrics import metrics_of
from holdfast.checkpoints.trackers import trackers_beside
from holdfast.control.vaults.replicas import Copied, Replicas
from holdfast.errors import HoldfastError
from holdfast.replication.copying.snapshots import Replicated
from holdfast.vault.saving.validation import Policy
from holdfast.vault.vault import SaveReport, Vault

__all__ = ["Protected", "protect_checkpoint"]


class Protected(NamedTuple):
    """A protected checkpoint: where it is whole, and where it could not be copied to, with the reason."""

    report: SaveReport
    copies: dict[str, Replicated]
    failed: dict[str, HoldfastError]


def protect_checkpoint(
    vault: Vault,
    candidate: Candidate,
    asset: str,
    *,
    replicas: Replicas | None = None,
    policy: Policy = Policy.WARN,
    verify: bool = True,
) -> Protected:
    """Save one complete checkpoint and copy it to every replica.

    The snapshot's metadata name the framework, the checkpoint and, where there is one beside it, the tracker with its
    content: what a framework looks for when it resumes. With a writer's key, which cannot tell snapshots apart, all of
    the vault is mirrored. Raises what saving raises. A replica that fails is reported in `failed`, and `replicas` knows
    that it is behind: the snapshot is durable all the same.
    """
    report = vault.save(
        asset,
        Path(candidate.path),
        step=candidate.step,
        metadata=_metadata(candidate),
        policy=policy,
        verify=verify,
        metrics=metrics_of(candidate.path),
    )
    copied = replicas.copy() if replicas is not None else Copied({}, {})
    return Protected(report, copied.copies, copied.failed)


def _metadata(candidate: Candidate) -> dict[str, str]:
    metadata = {"framework": candidate.framework, "checkpoint": _text(candidate.path.name)}
    tracker = trackers_beside(candidate.path)
    return metadata | {"tracker": tracker} if tracker else metadata


def _text(name: str) -> str:
    """A file's name need not be UTF-8; metadata are."""
    return os.fsencode(name).decode(errors="backslashreplace")
