"""Small JSON files of this machine, one for each organisation: read whole, changed under a lock, replaced whole."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import FailedError
from holdfast.homes import state_home

__all__ = ["KeptFile", "counts_as"]

T = TypeVar("T")


class KeptFile(Generic[T]):
    """`$XDG_STATE_HOME/holdfast/<folder>/<organisation>.json`. A change is durable when it returns.

    `damaged`: what a file that cannot be read means: it gets the reason, and returns what counts instead, or raises.
    """

    def __init__(
        self,
        folder: str,
        organisation: str,
        kind: type[T],
        empty: Callable[[], T],
        environment: Mapping[str, str],
        damaged: Callable[[Path, Exception], T],
    ) -> None:
        home = state_home(environment)
        self.path: Path | None = None if home is None else home / "holdfast" / folder / f"{organisation}.json"
        self._kind, self._empty, self._damaged = kind, empty, damaged

    def read(self) -> T:
        if self.path is None:
            return self._empty()
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return self._empty()
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            return self._damaged(self.path, error)

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
                replace_file(path, msgspec.json.format(msgspec.json.encode(changed, order="sorted")))
                return changed
        except OSError as error:
            raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error


def counts_as(empty: Callable[[], T], note: Callable[[str], None]) -> Callable[[Path, Exception], T]:
    """For what is measured or asked for anew: a file that cannot be read counts as empty, and that is noted."""

    def damaged(path: Path, error: Exception) -> T:
        note(f"{path} cannot be read ({error}): it counts as empty")
        return empty()

    return damaged
