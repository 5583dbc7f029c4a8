"""Keeping the files of a checkpoint while they are saved in the background, whatever the framework deletes meanwhile.

Frameworks rotate their checkpoints, and may delete one that is still being read. Its files get second names (hard
links) in a hidden folder on the same file system: no byte is copied, and deleting the first names leaves them there.
A file that is *rewritten* in place changes under both names; the vault notices that while it reads, and the save
fails.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

__all__ = ["FOLDER", "hold", "release", "release_abandoned"]

FOLDER = ".holdfast"
_ABANDONED_SECONDS = 900.0
_RELEASED = ".released"
_numbers = count()


def hold(folder: Path, beside: Path) -> Path | None:
    """Second names for all files of `folder`, below `beside/.holdfast`. Returns where, under the folder's own name.

    None where the file system knows no hard links or a file vanished meanwhile: then the folder itself is to be read.
    """
    mine = beside / FOLDER / f"{_host()}-{os.getpid()}-{next(_numbers)}"
    held = mine / folder.name
    try:
        shutil.copytree(folder, held, symlinks=True, copy_function=_link)
    except (OSError, shutil.Error):
        shutil.rmtree(mine, ignore_errors=True)
        return None
    return held


def release(held: Path) -> None:
    """Give the second names up, all at once: whoever dies in the midst of it must not leave half a checkpoint where the
    saving process may still read it. What cannot be removed is left for `release_abandoned`.
    """
    gone = held.parent.with_name(f"{held.parent.name}{_RELEASED}")
    with suppress(OSError):
        held.parent.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):  # others are in use
        gone.parent.rmdir()


def release_abandoned(beside: Path) -> None:
    """Remove what processes of this machine left that no longer live, and that was there for a quarter of an hour: the
    saving process of a training that was killed may go on for a while.
    """
    with suppress(OSError):
        for left in list((beside / FOLDER).iterdir()):
            released = left.name.endswith(_RELEASED)
            host, _, rest = left.name.rpartition("-")[0].rpartition("-")
            old = time.time() - left.stat().st_mtime > _ABANDONED_SECONDS
            if (old or released) and host == _host() and rest.isdecimal() and not _lives(int(rest)):
                shutil.rmtree(left, ignore_errors=True)
        (beside / FOLDER).rmdir()


def _link(source: str, target: str) -> str:
    os.link(source, target, follow_symlinks=False)
    return target


def _host() -> str:
    return socket.gethostname().replace("/", "_")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
