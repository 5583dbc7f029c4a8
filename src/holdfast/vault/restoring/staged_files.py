"""What lies in a staging place, and need not be ours: it is looked at before it is believed, and removed whole."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["clear_strangers", "remove_whole", "is_private", "is_real_folder"]


def is_real_folder(path: Path) -> bool:
    """A folder, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def is_private(found: os.stat_result) -> bool:
    """Nobody else may write it, or reach it by another name. (A folder's names are always several.)"""
    return not found.st_mode & 0o022 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1)


def clear_strangers(top: Path, expected: Mapping[Path, str]) -> None:
    """Below `top`, leave only what an earlier restore of the same files may have made.

    `expected`: path → file, folder or link. Files with a second name, links, and all that nobody expects are removed;
    folders are made ours to write. `top` must be ours alone. Raises OSError.
    """
    folders = [top]
    while folders:
        with os.scandir(folders.pop()) as found:
            entries = list(found)
        for entry in entries:
            path, info = Path(entry.path), entry.stat(follow_symlinks=False)
            ours, kind = info.st_uid == os.geteuid(), expected.get(path)
            if ours and kind == "folder" and stat.S_ISDIR(info.st_mode):
                path.chmod(0o700)  # an interrupted restore may have come to the modes already
                folders.append(path)
            elif not (ours and kind == "file" and stat.S_ISREG(info.st_mode) and info.st_nlink == 1):
                remove_whole(path)


def remove_whole(path: Path) -> None:
    """Remove a file, a link, or a folder with read-only folders in it. Raises OSError."""
    if not is_real_folder(path):
        path.unlink(missing_ok=True)
        return
    with suppress(PermissionError):  # not our folder; it may be writable all the same
        path.chmod(0o700)
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = Path(folder, name)
            if is_real_folder(inner):
                with suppress(PermissionError):
                    inner.chmod(0o700)
    shutil.rmtree(path)
