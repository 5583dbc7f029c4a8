"""Types that several outputs share. Times are RFC 3339 in UTC, sizes whole bytes, durations seconds."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Time", "Bytes", "Count", "Seconds", "SnapshotRef", "Damaged", "Record", "WorkerFacts"]

Time = Annotated[str, msgspec.Meta(description="RFC 3339, UTC")]
Bytes = Annotated[int, msgspec.Meta(ge=0, description="bytes")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, description="seconds")]
SnapshotRef = Annotated[str, msgspec.Meta(description="id of a snapshot: 26 characters")]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema"):
    """What every output begins with: the name and version of its schema. A version only ever gains fields."""


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker of a cluster did: pieces, bytes of them, and how long it was busy. `worker`: machine, node of the
    cluster, process.
    """

    worker: str
    pieces: Count
    bytes: Bytes
    seconds: Seconds


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """A stored object that is not what was written, and what is the matter with it."""

    object: str
    message: str
