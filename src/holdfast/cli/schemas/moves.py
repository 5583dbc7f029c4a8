"""Outputs of `holdfast restore` and `holdfast replicate`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.circumstances import CircumstanceChange
from holdfast.cli.schemas.common import Bytes, Count, Damaged, Record, SnapshotRef, WorkerFacts
from holdfast.cli.schemas.snapshots import SnapshotFacts

__all__ = ["TakenFacts", "Restored", "TensorsExported", "Replicated"]

Mode = Annotated[
    str,
    msgspec.Meta(description="`snapshots` (chosen by a key that reads) or `objects` (a mirror, which needs no key)"),
]


class TakenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from a replica, because the vault could not give it soundly: `bytes` of documents and chunks."""

    url: str
    chunks: Count
    bytes: Bytes


class Restored(Record, frozen=True, kw_only=True, tag="holdfast/restore/1"):
    """`restore`. Of `bytes`, `resumed_bytes` were there from an interrupted restore. A dry run wrote nothing.

    `given_up`: components that the snapshot no longer has, and that so were not restored. `workers`: of a cluster, who
    did what; empty where no cluster was asked. `circumstances`: with `--check-env`, how they differ here; null without.
    `refused`: nothing was written because of them.
    """

    snapshot: SnapshotFacts
    target: str
    files: Count
    bytes: Bytes
    resumed_bytes: Bytes
    given_up: list[str]
    from_replicas: list[TakenFacts]
    dry_run: bool
    workers: list[WorkerFacts]
    circumstances: list[CircumstanceChange] | None = None
    refused: bool = False


class TensorsExported(Record, frozen=True, kw_only=True, tag="holdfast/restore-tensors/1"):
    """`restore --tensor`: tensors of a snapshot, written as the safetensors file `target`."""

    snapshot: SnapshotFacts
    target: str
    tensors: list[str]
    bytes: Bytes
    dry_run: bool


class Replicated(Record, frozen=True, kw_only=True, tag="holdfast/replicate/1"):
    """`replicate`. `objects` and `bytes` were copied (or, in a dry run, would be).

    `arrived`: snapshots that are whole at the target, newest first; `left_out`: those that need something in `damaged`,
    which could not be copied from the source. Both are empty for a mirror: without a key no snapshots are told apart.
    `workers`: of a cluster, who copied packs.
    """

    source: str
    target: str
    mode: Mode
    asset: str | None
    objects: Count
    bytes: Bytes
    arrived: list[SnapshotRef]
    left_out: list[SnapshotRef]
    damaged: list[Damaged]
    notes: list[str]
    dry_run: bool
    workers: list[WorkerFacts]
