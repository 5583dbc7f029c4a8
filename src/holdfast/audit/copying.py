"""Copying a log to another store, so that the copy is sound at each moment: tiles before checkpoints, the newest last.

Nothing is overwritten at the target but `audit/checkpoint`. A target that holds another history is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.audit.layout import (
    BATCHES,
    CHECKPOINT,
    CHECKPOINTS,
    COSIGNATURES,
    DECLARATIONS,
    PENDING,
    TILES,
    create_same,
)
from holdfast.errors import ConflictError, DamageError, ObjectNotFoundError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import ObjectInfo, Store

__all__ = ["CopiedLog", "copy_log"]

_ATTEMPTS = 5


class CopiedLog(NamedTuple):
    """How many objects were sent, and how many bytes."""

    objects: int
    bytes: int


def copy_log(source: Store, target: Store, *, progress: Progress = SILENT) -> CopiedLog:
    """Send what the target lacks: declarations, tiles, entries, checkpoints, cosignatures, and what is pending.

    Needs no key, and verifies nothing: `audit verify` at the target does. Raises DamageError when the target has
    another checkpoint of a generation than the source (two histories), ConflictError when the source is tidied up
    faster than it can be read, and what the stores raise.
    """
    copying = _Copying(source, target)
    mirror = copying.read(CHECKPOINT)
    checkpoints = list(source.list(CHECKPOINTS))  # what comes later is for the next time: its tiles may not be listed
    if mirror is None and not checkpoints and next(iter(source.list(DECLARATIONS)), None) is None:
        return CopiedLog(0, 0)
    progress.phase("copying the audit log", None)
    copying.send(source.list(DECLARATIONS))
    copying.send_while_it_changes(TILES)
    copying.send_while_it_changes(BATCHES)
    copying.send(checkpoints)
    copying.send(source.list(COSIGNATURES))
    if mirror is not None and copying.target_of(CHECKPOINT) != mirror:
        target.put(CHECKPOINT, mirror)
        copying.count(mirror)
    copying.send(source.list(PENDING))
    return CopiedLog(copying.objects, copying.bytes)


class _Copying:
    def __init__(self, source: Store, target: Store) -> None:
        self._source = source
        self._target = target
        self._there = {info.key: info.size for info in target.list("audit/")}
        self.objects = 0
        self.bytes = 0

    def read(self, key: str) -> bytes | None:
        try:
            return self._source.get(key)
        except ObjectNotFoundError:
            return None

    def target_of(self, key: str) -> bytes | None:
        try:
            return self._target.get(key)
        except ObjectNotFoundError:
            return None

    def count(self, data: bytes) -> None:
        self.objects += 1
        self.bytes += len(data)

    def send(self, listed: Iterable[ObjectInfo]) -> bool:
        """Whether all of it is there now. What is gone at the source since it was listed is not."""
        whole = True
        for info in listed:
            if self._there.get(info.key) == info.size and not info.key.startswith(CHECKPOINTS):
                continue
            data = self.read(info.key)
            if data is None:
                whole = False
                continue
            if info.key in self._there and self.target_of(info.key) == data:
                continue
            if not create_same(self._target, info.key, data):
                raise DamageError(
                    f"{info.key} in {self._target.url} is not that of {self._source.url}: two histories of one log",
                    hint="`holdfast audit verify` at both; keep both as evidence",
                    object_name=info.key,
                )
            self.count(data)
            self._there[info.key] = len(data)
        return whole

    def send_while_it_changes(self, prefix: str) -> None:
        """Partial tiles go when the full one is there: then that one is listed the next time."""
        for _ in range(_ATTEMPTS):
            if self.send(self._source.list(prefix)):
                return
        raise ConflictError(f"{prefix} in {self._source.url} changes too fast to be copied", hint="try again")
