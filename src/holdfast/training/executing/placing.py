"""Putting a restored checkpoint where its framework looks, so that dying at any moment loses nothing.

A restore grows in `.holdfast/incoming/` and appears there when it is whole and on disk. Then what is in the way moves
aside (a rename), and the restored checkpoint takes its place (a rename). Whoever dies between the two leaves a folder
in which neither lies under the name, and both are whole: the next start finds the restored one and goes on.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath

from holdfast.checkpoints.listing import SMALL_TEXT_BYTES
from holdfast.durable import sync_folder
from holdfast.errors import FailedError, HoldfastError, PermissionDeniedError, StorageFullError
from holdfast.training.executing.asks import Checkpoint
from holdfast.training.executing.folder import HIDDEN, hidden, write_durably

__all__ = ["safe_place", "incoming", "move_aside", "put_in_place", "write_trackers", "tracker_for", "clear_incoming"]

_TRACKERS = ("latest", "latest_checkpointed_iteration.txt")
_PARTS_MAX = 8


def safe_place(text: str) -> str | None:
    """The path of a checkpoint in its folder as a snapshot claims it; None for one that leads out, or is hidden."""
    parts = PurePosixPath(text).parts
    wrong = not parts or text.startswith("/") or len(parts) > _PARTS_MAX or not text.isprintable()
    if wrong or any(part.startswith(".") or len(os.fsencode(part)) > 255 for part in parts):
        return None
    return str(PurePosixPath(*parts))


def incoming(folder: Path, snapshot: str) -> Path:
    """Where that snapshot is restored to."""
    return hidden(folder) / "incoming" / snapshot


def clear_incoming(folder: Path, besides: str = "") -> None:
    """Remove what earlier restores of other snapshots left. Errors only cost space."""
    place = hidden(folder) / "incoming"
    with suppress(OSError):
        for found in place.iterdir():
            if besides and besides in found.name:
                continue
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)


def move_aside(folder: Path, place: str, now_ns: int) -> str:
    """Rename what lies at `place` to a new name in `.holdfast/aside/`, which is returned (relative to the folder).

    Raises FailedError, PermissionDeniedError.
    """
    name = place.replace("/", "__")
    target = hidden(folder) / "aside" / f"{now_ns}-{name}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / place).rename(target)
        for named in (target.parent, (folder / place).parent):
            sync_folder(named)
    except OSError as error:
        raise _translated(error, folder / place) from error
    return f"{HIDDEN}/aside/{target.name}"


def put_in_place(folder: Path, restored: Path, place: str) -> None:
    """Give what was restored its name; nothing may lie there. Raises FailedError, PermissionDeniedError."""
    target = folder / place
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(os.path.realpath(target.parent)) != Path(os.path.realpath(folder), place).parent:
            raise FailedError(f"{target.parent} leads out of {folder} by a link", object_name=str(target))
        if os.path.lexists(target):
            raise FailedError(f"{target} appeared meanwhile", hint="is another program at work here?")
        restored.rename(target)
        for named in (restored.parent, target.parent):
            sync_folder(named)
    except OSError as error:
        raise _translated(error, target) from error


def tracker_for(checkpoint: Checkpoint) -> str:
    """The tracker by which a framework finds this checkpoint, as `trackers_beside` writes it."""
    name = PurePosixPath(checkpoint.place).name
    if checkpoint.framework == "deepspeed":
        return f"latest: {name}"
    if checkpoint.framework in ("megatron", "verl") and checkpoint.step is not None:
        return f"latest_checkpointed_iteration.txt: {checkpoint.step}"
    return ""


def write_trackers(folder: Path, place: str, trackers: str) -> list[str]:
    """Write the trackers of a snapshot beside the checkpoint again, where they say something else. Returns their names.

    `trackers`: lines as `trackers_beside` makes them; what is no name of a tracker, or no short text, is left out.
    """
    written = []
    for line in trackers.splitlines():
        name, colon, text = line.partition(": ")
        usable = colon and name in _TRACKERS and text.isprintable() and len(text.encode()) <= SMALL_TEXT_BYTES
        if not usable:
            continue
        path = (folder / place).with_name(name)
        if path.is_symlink() or path.is_dir():
            continue
        with suppress(OSError, UnicodeError):
            if path.read_text().strip() == text:
                continue
        write_durably(path, text.encode())
        written.append(name)
    return written


def _translated(error: OSError, path: Path) -> HoldfastError:
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path} may not be moved", object_name=str(path))
    if error.errno == 28:  # ENOSPC
        return StorageFullError(f"no space left for {path}", object_name=str(path))
    return FailedError(f"{path} cannot be moved ({error.strerror or error})", object_name=str(path))
