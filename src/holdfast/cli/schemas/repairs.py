"""Outputs of `holdfast vault repair` and `holdfast snapshot verify --rota`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Damaged, Record, Seconds, SnapshotRef

__all__ = [
    "ByteRange",
    "FixFacts",
    "LostPartFacts",
    "LostTensorFacts",
    "LostFileFacts",
    "LossFacts",
    "MoveFacts",
    "VaultRepaired",
    "TurnFacts",
    "SnapshotRota",
]

How = Annotated[str, msgspec.Meta(description="`fetched`, `indexed`, `salvaged` or `removed`: see docs/repair.md")]


class ByteRange(msgspec.Struct, frozen=True, kw_only=True):
    """`length` bytes from `start` on."""

    start: Bytes
    length: Bytes


class FixFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was mended (or, in a dry run, would be). `source`: the replica that a copy came from."""

    object: str
    how: How
    source: str | None
    bytes: Bytes
    why: str


class LostPartFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that is gone, and with it the names of so many files."""

    object: str
    component: str
    files: Count
    bytes: Bytes


class LostTensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that does not load. `ranges` are of its own bytes."""

    name: str
    ranges: list[ByteRange]


class LostFileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file that does not restore. `tensors` are those that are hurt; `whole_tensors` of its others still load."""

    path: str
    bytes: Bytes
    ranges: list[ByteRange]
    tensors: list[LostTensorFacts]
    whole_tensors: Count


class LossFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot lost, all of it. Where its root is gone, `asset` is null, and so is everything in it.

    `whole_files`, `whole_bytes`: what still restores with `--only`.
    """

    snapshot: SnapshotRef
    asset: str | None
    step: int | None
    why: str
    parts: list[LostPartFacts]
    files: list[LostFileFacts]
    whole_files: Count
    whole_bytes: Bytes


class MoveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A pointer that left a snapshot which lost data; `after` is null where there was no good one to go to."""

    asset: str
    name: str
    before: SnapshotRef
    after: SnapshotRef | None


class VaultRepaired(Record, frozen=True, kw_only=True, tag="holdfast/vault-repair/1"):
    """`vault repair`. `sound`: nothing is left that is damaged, as far as is known without looking again.

    `unmended`: damaged objects that stay as they are; `failed`: what could not be written.
    """

    vault: str
    url: str
    replicas: list[str]
    sound: bool
    dry_run: bool
    objects: Count
    fixes: list[FixFacts]
    losses: list[LossFacts]
    unmended: list[Damaged]
    failed: list[Damaged]
    moves: list[MoveFacts]
    notes: list[str]


class TurnFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in its place in the order. `proven`: null in a dry run; `problem`: what is wrong with it."""

    snapshot: SnapshotRef
    asset: str
    step: int | None
    score: float
    reason: str
    bytes: Bytes
    proven_seconds: Seconds | None
    copies: Count
    proven: bool | None
    problem: str | None


class SnapshotRota(Record, frozen=True, kw_only=True, tag="holdfast/snapshot-verify-rota/1"):
    """`snapshot verify --rota`: in the order of proving. `left`: how many had no place in the budget."""

    vault: str
    url: str
    dry_run: bool
    turns: list[TurnFacts]
    left: Count
