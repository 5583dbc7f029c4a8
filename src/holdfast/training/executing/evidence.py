"""What is left behind of a run that was given up: a file that a person, or an auditor, can judge it by."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from holdfast.clock import SYSTEM_CLOCK, to_rfc3339
from holdfast.training.executing import slurm
from holdfast.training.executing.asks import Begun
from holdfast.training.executing.folder import hidden, write_durably
from holdfast.version import VERSION

__all__ = ["write_evidence"]


def write_evidence(folder: Path, asset: str, begun: Begun) -> Path:
    """All attempts that are known, and from where the next would begin. Raises FailedError, PermissionDeniedError."""
    now_ns = SYSTEM_CLOCK.now_ns()
    record = {
        "version": 1,
        "software": f"holdfast {VERSION}",
        "time": to_rfc3339(now_ns),
        "asset": asset,
        "vault": begun.vault,
        "folder": str(folder),
        "host": socket.gethostname(),
        "job": slurm.label_of(os.environ),
        "reason": begun.reason,
        "would_begin_from": begun.chosen,
        "attempts": begun.attempts,
    }
    path = hidden(folder) / "loops" / f"{now_ns}.json"
    write_durably(path, msgspec.json.format(msgspec.json.encode(record), indent=1))
    return path
