"""Memory that two processes share, and that nobody has to clean up: it is gone when both have closed it or died.

An anonymous file (`memfd_create`): it has no name in /dev/shm, so nothing is left there by a process that was killed,
and the small /dev/shm of a container does not limit it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from contextlib import suppress

from holdfast.errors import FailedError, StorageFullError
from holdfast.training.saving.room import available_bytes
from holdfast.units import format_size

__all__ = ["StagingMemory", "map_received"]

_GRAIN = 2 << 20  # a huge page
_SPARED = 64 << 20  # for everything else: allocating up to the last page gets somebody killed


class StagingMemory:
    """Grows as it is asked to, is used again and again. `generation` changes when it grows: it is to be shared anew."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self.size = 0
        self.generation = 0

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def view(self) -> memoryview:
        """All of it, writable. To be let go before the memory grows or closes."""
        assert self._map is not None
        return memoryview(self._map)

    def ensure(self, size: int) -> None:
        """Room for so many bytes, every page of it there already: who writes later waits for none.

        What it held is lost when it grows. Raises StorageFullError when this machine has no such memory.
        """
        if size <= self.size:
            return
        self.close()
        room = -(-size // _GRAIN) * _GRAIN
        if room + _SPARED > available_bytes():
            raise _no_memory(size)
        try:
            self._descriptor = os.memfd_create("holdfast-staging", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.posix_fallocate(self._descriptor, 0, room)  # else a machine without memory kills who writes (SIGBUS)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            self._map = mmap.mmap(self._descriptor, room, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        except (OSError, ValueError, OverflowError) as error:
            self.close()
            code = getattr(error, "errno", None)
            if code in (errno.ENOSPC, errno.ENOMEM):
                raise _no_memory(size) from error
            raise FailedError(f"memory to stage a state cannot be had ({error})") from error
        for advice in ("MADV_HUGEPAGE", "MADV_DONTFORK"):  # what this kernel does not know is no loss
            with suppress(OSError, AttributeError):
                self._map.madvise(getattr(mmap, advice))
        self.size = room
        self.generation += 1

    def close(self) -> None:
        """Give the memory back. What a view of it still uses goes with that view."""
        if self._map is not None:
            with suppress(BufferError):
                self._map.close()
            self._map = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.size = 0


def _no_memory(size: int) -> StorageFullError:
    return StorageFullError(
        f"there is no memory to stage a state of {format_size(size)}",
        hint="a save needs one more copy of the state in this machine's memory; save it in parts",
    )


def map_received(descriptor: int, size: int) -> mmap.mmap:
    """The other side's memory, for reading. The descriptor is closed. Raises FailedError."""
    try:
        return mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
    except (OSError, ValueError) as error:
        raise FailedError(f"the shared memory cannot be mapped ({error})") from error
    finally:
        os.close(descriptor)
