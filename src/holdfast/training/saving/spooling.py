"""What waits for a store: spooled states, and folders that frameworks wrote. Which goes first, which has to give way.

The order of worth (design/008): the newest step, then what has tags, then the others, newest first. The spool is
bounded: what is worth least gives way, but never the newest for an older one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import FailedError, HoldfastError, StorageFullError
from holdfast.training.saving.messages import SaveOrder
from holdfast.training.saving.spool_files import SUFFIX, SpoolReader, spooled_size, write_spool_file
from holdfast.units import format_size
from holdfast.vault.format.keys import VaultKeys

__all__ = ["Waiting", "Backlog", "in_order_of_worth"]

_FOLDERS_MAX = 64
Age = tuple[int, int]
_NOTHING: Age = (-2, 0)


class Waiting(NamedTuple):
    """A save that waits. `file`: its spool file, None for a folder. `ticket` 0: an earlier run's."""

    order: SaveOrder
    file: Path | None
    bytes: int
    ticket: int


def in_order_of_worth(waiting: list[Waiting], durable: Age = _NOTHING) -> list[Waiting]:
    """Worth most first. `durable`: of the newest state that is; what is older than that is never the newest."""
    newest = max((one for one in waiting if age(one.order) > durable), key=lambda one: age(one.order), default=None)
    return sorted(waiting, key=lambda one: (one is newest, bool(one.order.tags), age(one.order)), reverse=True)


def age(order: SaveOrder) -> Age:
    """Step and content time: the larger, the newer."""
    return (order.step if order.step is not None else -1, order.content_ns)


class Backlog:
    """The states that wait, of this run and of earlier ones for the same vault and asset.

    `folder`: of the spool; None where nothing may be spooled, and only folders wait.
    """

    def __init__(
        self, folder: Path | None, bytes_max: int, keys: VaultKeys, asset: str, dropped: Callable[[Waiting], None]
    ) -> None:
        self._keys = keys
        self._bytes_max = bytes_max
        self._dropped = dropped
        self._waiting: list[Waiting] = []
        self._locks: list[int] = []
        self._newest_durable = _NOTHING
        self._folder = None
        if folder is not None:
            self._folder = self._open_folder(folder / keys.vault.hex() / keys.names.asset_key(asset))

    @property
    def left_by_others(self) -> int:
        """How many were found here."""
        return sum(one.ticket == 0 for one in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def spool(self, order: SaveOrder, data: memoryview) -> int:
        """Keep a staged state; returns its bytes on the disk.

        Raises FailedError (there is no spool), StorageFullError (it is worth less than what fills it, or the disk is
        full).
        """
        if self._folder is None:
            raise FailedError("there is no spool", hint="give the saver one: Saver(…, spool=FOLDER)")
        size = spooled_size(order, data.nbytes)
        path = self._folder / f"{order.content_ns:020d}-{secrets.token_hex(4)}{SUFFIX}"
        mine = Waiting(order, path, size, order.ticket)
        self._make_room(mine)
        while True:
            try:
                written = write_spool_file(path, self._keys, order, data)
                break
            except StorageFullError:
                if not self._give_way(mine):
                    raise
        self._waiting.append(mine._replace(bytes=written))
        return written

    def wait_for(self, order: SaveOrder) -> None:
        """A folder that is to be tried again."""
        self._waiting.append(Waiting(order, None, 0, order.ticket))

    def next(self) -> Waiting | None:
        """What is worth most."""
        return next(iter(in_order_of_worth(self._waiting, self._newest_durable)), None)

    def durable(self, order: SaveOrder) -> None:
        """It is durable."""
        self._newest_durable = max(self._newest_durable, age(order))

    def sent(self, waiting: Waiting) -> None:
        """The same for what waited here."""
        self.durable(waiting.order)
        self.remove(waiting)

    def reader(self, waiting: Waiting) -> SpoolReader:
        """Its spool file. Raises DamageError, FailedError."""
        assert waiting.file is not None
        return SpoolReader(waiting.file, self._keys)

    def remove(self, waiting: Waiting) -> None:
        """It will never be sent, or was."""
        self._waiting.remove(waiting)
        if waiting.file is not None:
            waiting.file.unlink(missing_ok=True)

    def set_aside(self, waiting: Waiting) -> None:
        """It cannot be read: it is kept under another name, for people."""
        self._waiting.remove(waiting)
        if waiting.file is not None:
            with suppress(OSError):
                waiting.file.rename(waiting.file.with_suffix(".damaged"))

    def release(self) -> None:
        """Let others have what is left."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _make_room(self, mine: Waiting) -> None:
        if mine.bytes > self._bytes_max:
            raise StorageFullError(
                f"the spool may hold {format_size(self._bytes_max)}, this state alone has {format_size(mine.bytes)}"
            )
        while sum(one.bytes for one in self._waiting) + mine.bytes > self._bytes_max:
            if not self._give_way(mine):
                raise StorageFullError("the spool is full of states that are worth more")

    def _give_way(self, mine: Waiting) -> bool:
        """Whether something that is worth less than `mine` was removed."""
        spooled = [one for one in self._waiting if one.file is not None]
        least = in_order_of_worth([*spooled, mine], self._newest_durable)[-1]
        if least is mine:
            return False
        self.remove(least)
        self._dropped(least)
        return True

    def _open_folder(self, base: Path) -> Path:
        """Whoever locks a folder uses it; savers for one asset at the same time have one each. What an earlier run left
        in any of them that is not in use is taken over.
        """
        mine = None
        for number in range(1, _FOLDERS_MAX):
            folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
            if mine is not None and not folder.is_dir():
                continue
            if not self._lock(folder):
                continue
            mine = mine or folder
            self._adopt(folder)
        if mine is None:
            raise FailedError(f"{_FOLDERS_MAX} savers use the spool at {base}")
        return mine

    def _lock(self, folder: Path) -> bool:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FailedError(
                f"the spool at {folder} cannot be used ({error.strerror})", object_name=str(folder)
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks.append(lock)  # until the process ends
        return True

    def _adopt(self, folder: Path) -> None:
        for left in folder.glob("*.unfinished"):
            left.unlink(missing_ok=True)
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                reader = SpoolReader(path, self._keys)
            except HoldfastError:
                with suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
                continue
            reader.close()
            self._waiting.append(Waiting(reader.order, path, path.stat().st_size, 0))
