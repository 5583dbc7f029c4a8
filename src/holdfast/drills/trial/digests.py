"""One digest of all that lies in a folder: names, kinds, contents, link targets. Times and owners do not count."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import FailedError

__all__ = ["TreeDigest", "digest_tree"]

_BLOCK = 1 << 20


class TreeDigest(NamedTuple):
    """SHA-256 (hex) over the sorted entries `kind name size digest`, NUL between all: no name can look like an entry
    of its own; how many files, and of how many bytes.
    """

    sha256: str
    files: int
    bytes: int


def digest_tree(folder: Path) -> TreeDigest:
    """Of a folder, or of one file. Raises FailedError for what cannot be read."""
    lines: list[bytes] = []
    files = size = 0
    try:
        for path in sorted([folder, *folder.rglob("*")] if folder.is_dir() else [folder]):
            name = os.fsencode(path.relative_to(folder)) if path != folder else b"."
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                lines.append(b"link\0%s\0%s" % (name, os.fsencode(path.readlink())))
            elif stat.S_ISDIR(mode):
                lines.append(b"folder\0%s" % name)
            else:
                found, length = _digest(path)
                lines.append(b"file\0%s\0%d\0%s" % (name, length, found.encode()))
                files, size = files + 1, size + length
    except OSError as error:
        raise FailedError(f"{folder} cannot be read ({error.strerror})", object_name=str(folder)) from error
    return TreeDigest(hashlib.sha256(b"\0\0".join(lines)).hexdigest(), files, size)


def _digest(path: Path) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            length += len(block)
    return digest.hexdigest(), length
