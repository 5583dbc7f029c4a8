"""What `train-exec` keeps in the watched folder, in `.holdfast/`: frameworks and the watcher pass over hidden names.

::

    lock             held while a train-exec is at work here, and while its command lives
    state.json       attempts, and how fast saves were
    saved-….json     which checkpoints are in which vault (`checkpoints/ledger.py`)
    incoming/        where restores grow
    aside/           what was moved out of a framework's sight, as it was
    loops/           evidence of a run that was given up
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import ConflictError, FailedError, PermissionDeniedError, UsageError
from holdfast.training.executing.attempts import Attempt, merged

__all__ = ["HIDDEN", "Kept", "Lock", "hidden", "ledger_path", "read_kept", "write_kept", "write_durably", "decode_kept"]

HIDDEN = ".holdfast"
_FORMAT = 1
_BYTES_MAX = 4 << 20


class Kept(msgspec.Struct, frozen=True):
    """`state.json`. `rate`: bytes per second of the last saves, None where none was measured."""

    format: int = _FORMAT
    attempts: list[Attempt] = []
    rate: float | None = None


class Lock:
    """Says that this folder is ours. The descriptor is passed on to the command, so that a supervisor that was killed
    does not make room for a second training beside the first.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ConflictError when somebody else is at work there, PermissionDeniedError, FailedError."""
        path = hidden(folder) / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _translated(error, path) from error
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self.descriptor)
            raise ConflictError(
                f"another train-exec, or a command that one started, is at work in {folder}",
                hint="end it first; on several nodes, run one train-exec around the launcher (srun, torchrun)",
                object_name=str(folder),
            ) from error
        except OSError:  # a file system without locks: as before there were any
            pass
        os.set_inheritable(self.descriptor, True)

    def close(self) -> None:
        """Let go of it; a command that still lives goes on holding it."""
        os.close(self.descriptor)


def hidden(folder: Path) -> Path:
    """`.holdfast` in it. Raises UsageError for a link: it could lead anywhere."""
    path = folder / HIDDEN
    if path.is_symlink():
        raise UsageError(f"{path} is a link", hint="remove it", object_name=str(path))
    return path


def ledger_path(folder: Path, vault: str, asset: str) -> Path:
    """Which checkpoints are in that vault (its URL, or empty for the declared one) as that asset."""
    digest = hashlib.blake2b(f"{vault}\0{asset}".encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return hidden(folder) / f"saved-{digest}.json"


def read_kept(folder: Path) -> Kept:
    """What was kept; nothing where there is none, or where it cannot be read: then the vault's record counts."""
    try:
        with (hidden(folder) / "state.json").open("rb") as file:
            return decode_kept(file.read(_BYTES_MAX))
    except OSError:
        return Kept()


def decode_kept(data: bytes) -> Kept:
    """`state.json`; nothing for what is damaged or of a newer format."""
    try:
        kept = msgspec.json.decode(data, type=Kept)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Kept()
    sane = kept.rate is None or 0 < kept.rate < 1e15
    return kept if kept.format == _FORMAT and sane else Kept()


def write_kept(folder: Path, attempts: Sequence[Attempt], rate: float | None) -> None:
    """Add the attempts to those that are there. Raises FailedError, PermissionDeniedError."""
    kept = read_kept(folder)
    rate = kept.rate if rate is None else rate
    data = msgspec.json.encode(Kept(_FORMAT, merged(kept.attempts, attempts), rate))
    write_durably(hidden(folder) / "state.json", data)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole: written beside, synced, renamed. Raises FailedError, PermissionDeniedError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise _translated(error, path) from error


def _translated(error: OSError, path: Path) -> FailedError | PermissionDeniedError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path} may not be written", object_name=str(path))
    return FailedError(f"{path} cannot be written ({error.strerror or error})", object_name=str(path))
