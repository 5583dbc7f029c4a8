"""The trainer's sign of life: one small JSON file, replaced after every step."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.drills.trainer.files import read_json, write_file_by_rename

__all__ = ["Heartbeat", "HEARTBEAT_NAME", "write_heartbeat", "read_heartbeat"]

HEARTBEAT_NAME = "heartbeat.json"


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """`loss` in nats per byte; `time_ns` since the Unix epoch, when the step had ended."""

    pid: int
    step: int
    loss: float
    time_ns: int


def write_heartbeat(path: Path, heartbeat: Heartbeat) -> None:
    """Replace the file. Raises StorageFullError, FailedError."""
    write_file_by_rename(path, msgspec.json.encode(heartbeat))


def read_heartbeat(path: Path) -> Heartbeat:
    """The newest sign of life. Raises NotFoundError (none yet), DamageError."""
    return read_json(path, Heartbeat)
