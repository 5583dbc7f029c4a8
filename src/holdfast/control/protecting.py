"""What `watch` does with a checkpoint that is complete: save it, read it back, copy it to the other sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.control.replicating import Source, copy_vault
from holdfast.errors import HoldfastError
from holdfast.replication.copying import Replicated
from holdfast.stores.protocol import Store
from holdfast.training.candidates import Candidate
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
    replicas: Sequence[Store] = (),
    policy: Policy = Policy.WARN,
    verify: bool = True,
) -> Protected:
    """Save one complete checkpoint and copy it to every replica.

    With a writer's key, which cannot tell snapshots apart, all of the vault is mirrored. Raises what saving raises.
    A replica that fails is reported in `failed`: the snapshot is durable all the same, and the next checkpoint's copy
    brings along what is missing.
    """
    metadata = {"framework": candidate.framework, "checkpoint": candidate.path.name}
    report = vault.save(
        asset, Path(candidate.path), step=candidate.step, metadata=metadata, policy=policy, verify=verify
    )
    copies: dict[str, Replicated] = {}
    failed: dict[str, HoldfastError] = {}
    readable = vault.handle.keys.can_read
    source = Source(vault.handle.store, vault if readable else None)
    for store in replicas:
        try:
            copies[store.url] = copy_vault(
                source, store, asset=asset if readable else None, progress=vault.handle.progress
            )
        except HoldfastError as error:
            failed[store.url] = error
    return Protected(report, copies, failed)
