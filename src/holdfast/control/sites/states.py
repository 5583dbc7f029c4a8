"""What became of sites since `holdfast.yaml` was written: failed, draining, being rebuilt.

A file of this machine beside its other state. The file of declarations says how it should be; this one, how it is for
now. Every change is recorded in the audit log, too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import msgspec

from holdfast.errors import DamageError, FailedError
from holdfast.homes import state_home

__all__ = ["Change", "Condition", "SiteState", "SiteStates"]


class Change(Enum):
    """`FAIL`: it is lost. `DRAIN`: it is given up in good order. `ADD`: it is new. `REBUILD`: it comes back."""

    FAIL = "fail"
    DRAIN = "drain"
    ADD = "add"
    REBUILD = "rebuild"


class Condition(Enum):
    """`FAILED`: it gives and gets nothing, and is nobody's home. `DRAINING`: it gives, gets nothing, and is nobody's
    home. `REBUILDING`: it gives and gets, and is nobody's home yet.
    """

    FAILED = "failed"
    DRAINING = "draining"
    REBUILDING = "rebuilding"


class SiteState(msgspec.Struct, frozen=True):
    """Since `at` (ns since the epoch), because of `reason`."""

    condition: Condition
    at: int
    reason: str


class SiteStates:
    """The states of the sites of one organisation, on this machine. A site that is not in it is as declared."""

    def __init__(self, organisation: str, environment: Mapping[str, str]) -> None:
        home = state_home(environment)
        self._path = None if home is None else home / "holdfast" / "sites" / f"{organisation}.json"

    @property
    def path(self) -> Path:
        """Raises FailedError for a user without a home."""
        if self._path is None:
            raise FailedError("there is no home folder to keep states of sites in", hint="set XDG_STATE_HOME")
        return self._path

    def read(self) -> dict[str, SiteState]:
        """Raises DamageError: to take a failed site for a sound one could cost data."""
        if self._path is None:
            return {}
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, SiteState])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DamageError(
                f"{self._path} cannot be read: which sites have failed is not known",
                hint="mend it, or remove it and say again which sites have failed",
                object_name=str(self._path),
            ) from error

    def set(self, site: str, state: SiteState) -> None:
        """Durable when it returns."""
        self._change(lambda states: states.update({site: state}))

    def clear(self, site: str) -> None:
        """The site is as declared again."""
        self._change(lambda states: states.pop(site, None))

    def _change(self, change: Callable[[dict[str, SiteState]], object]) -> None:
        path = self.path
        with self._alone(path):
            states = self.read()
            change(states)
            temporary = path.with_suffix(f".{os.getpid()}")
            with temporary.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(states, order="sorted")))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
