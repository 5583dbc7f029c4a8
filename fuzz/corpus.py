"""Inputs that are kept: `fuzz/corpus/<target>/<hash>`, and those that broke something: `fuzz/crashes/`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from fuzz.model import Finding

__all__ = ["CORPUS", "CRASHES", "kept", "keep", "keep_crash", "replace_kept"]

CORPUS = Path(__file__).parent / "corpus"
CRASHES = Path(__file__).parent / "crashes"


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def kept(target: str, root: Path = CORPUS) -> list[bytes]:
    """The inputs kept for a target, in order of their names."""
    folder = root / target
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def keep(target: str, data: bytes, root: Path = CORPUS) -> None:
    """Keep one more."""
    (root / target).mkdir(parents=True, exist_ok=True)
    (root / target / _name(data)).write_bytes(data)


def replace_kept(target: str, inputs: Iterable[bytes], root: Path = CORPUS) -> None:
    """Keep exactly these."""
    names = set()
    for data in inputs:
        keep(target, data, root)
        names.add(_name(data))
    for path in (root / target).iterdir() if (root / target).is_dir() else ():
        if path.name not in names:
            path.unlink()


def keep_crash(target: str, data: bytes, finding: Finding) -> Path:
    """Keep what broke something, and how, beside it."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{target}-{finding.kind}-{_name(data)}"
    path.write_bytes(data)
    path.with_name(f"{path.name}.txt").write_text(f"{finding.text}\npid {os.getpid()}\n", "utf-8")
    return path
