"""Files of this machine that are replaced whole: whoever reads one finds what it said before or what it says now."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["replace_file", "sync_folder"]

_UNSYNCABLE = (errno.EINVAL, errno.ENOTSUP)


def replace_file(path: Path, data: bytes, *, mode: int = 0o666, synced: bool = True) -> None:
    """Put `data` in the place of what `path` says, with that mode (less the umask). Raises OSError and leaves nothing.

    Durable when it returns: content and name have reached the disk. `synced=False` is for what may be lost with the
    machine's power (a cache, a log of samples): it costs no wait for the disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    temporary.unlink(missing_ok=True)  # of a process of this number that was killed: in a container they are few
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # also a Ctrl-C: nobody would remove it later
        with suppress(OSError):
            temporary.unlink()
        raise
    if synced:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in it durable, as far as its file system knows what that means. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # POSIX: EINVAL says that this kind of file has no synchronised I/O (some network and FUSE file systems).
        if error.errno not in _UNSYNCABLE:
            raise
    finally:
        os.close(descriptor)
