"""Small JSON files of this machine, one for each organisation: read whole, changed under a lock, replaced whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from holdfast.errors import FailedError
from holdfast.homes import state_home

__all__ = ["KeptFile"]

T = TypeVar("T")


class KeptFile(Generic[T]):
    """`$XDG_STATE_HOME/holdfast/<folder>/<organisation>.json`. What it says may be lost at any time: it is measured or
    asked for anew. So a file that cannot be read counts as empty, and that is noted.
    """

    def __init__(
        self,
        folder: str,
        organisation: str,
        kind: type[T],
        empty: Callable[[], T],
        environment: Mapping[str, str],
        note: Callable[[str], None],
    ) -> None:
        home = state_home(environment)
        self.path: Path | None = None if home is None else home / "holdfast" / folder / f"{organisation}.json"
        self._kind, self._empty, self._note = kind, empty, note

    def read(self) -> T:
        if self.path is None:
            return self._empty()
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return self._empty()
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._note(f"{self.path} cannot be read ({error}): it counts as empty")
            return self._empty()

    def change(self, change: Callable[[T], T]) -> T:
        """What it says then. Raises FailedError where it cannot be written."""
        path = self.path
        if path is None:
            raise FailedError("there is no home folder to keep it in", hint="set XDG_STATE_HOME")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                changed = change(self.read())
                temporary = path.with_suffix(f".{os.getpid()}")
                temporary.write_bytes(msgspec.json.format(msgspec.json.encode(changed, order="sorted")))
                temporary.replace(path)
                return changed
        except OSError as error:
            raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
