"""Checkpoints that are one file: Lightning's `*.ckpt`, Composer's `ep1-ba42-rank0.pt`, and all with a like suffix.

Lightning (`fabric.utilities.cloud_io._atomic_save`) serialises into memory and writes at once, within an fsspec
transaction where there is one; on a local disk that ends in a move which, across file systems, is a copy that carries
its old time. Composer (`CheckpointSaver`) writes in place and points the link `latest-rank0.pt` to it; with
per-rank checkpoints each rank's file is a candidate of its own, and a snapshot holds one of them. No single file has a
marker: it must be whole, as far as its format tells, and quiet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from holdfast.checkpoints.candidates import Candidate, FileStamp
from holdfast.checkpoints.layouts.verdict import is_temporary
from holdfast.checkpoints.listing import Entry
from holdfast.checkpoints.steps import step_in_name, step_in_words
from holdfast.checkpoints.structure import file_problem

__all__ = ["FILE_SUFFIXES", "file_candidate"]

FILE_SUFFIXES = frozenset((".pt", ".pth", ".bin", ".safetensors", ".npz", ".gguf", ".ckpt", ".keras", ".h5"))
_COMPOSER = re.compile(r"ep\d+-ba\d+(?:-rank\d+)?(?:\.pt)?")


def _framework(name: str) -> str:
    if _COMPOSER.fullmatch(name):
        return "composer"
    return "lightning" if name.endswith(".ckpt") else "file"


def _wanted(relative: PurePosixPath, patterns: Sequence[str]) -> bool:
    if relative.suffix in FILE_SUFFIXES or _COMPOSER.fullmatch(relative.name):
        return True
    return any(fnmatchcase(relative.name, glob) or fnmatchcase(str(relative), glob) for glob in patterns)


def _step(path: Path) -> int | None:
    """Of a file whose name claims none, its folder's."""
    step = step_in_name(path.name)
    return step if step is not None else step_in_words(path.parent.name)


def file_candidate(root: Path, path: Path, entry: Entry, patterns: Sequence[str]) -> Candidate | None:
    """The candidate that the file is, None when its name is of no interest.

    `patterns` are globs of the user, matched against the name and against the path relative to `root`.
    """
    if not _wanted(PurePosixPath(path.relative_to(root).as_posix()), patterns):
        return None
    if is_temporary(path.name):
        reason = "it has a temporary name"
    elif not entry.size:
        reason = "it is empty"
    else:
        problem = file_problem(path, entry)
        reason = f"it {problem}" if problem else ""
    return Candidate(
        path=path,
        step=_step(path),
        framework=_framework(path.name),
        complete=not reason,
        reason=reason,
        files=(FileStamp(path.name, entry.size, entry.mtime_ns),),
        changed_ns=entry.changed_ns,
    )
