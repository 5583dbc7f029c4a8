"""One drill at a time on this machine: a lock that the kernel takes back from whoever dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from holdfast.drills.lever import drills_home
from holdfast.errors import ConflictError, FailedError

__all__ = ["is_taken", "taken"]


@contextmanager
def taken(environment: Mapping[str, str]) -> Iterator[None]:
    """Raises ConflictError where another drill is under way, FailedError."""
    home = drills_home(environment)
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (home / "lock").open("ab")
    except OSError as error:
        raise FailedError(f"{home} cannot be used ({error.strerror})", object_name=str(home)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                "another drill is under way on this machine", hint="`holdfast drill status` shows it"
            ) from error
        yield


def is_taken(environment: Mapping[str, str]) -> bool:
    """Whether a drill is under way on this machine."""
    try:
        with taken(environment):
            return False
    except ConflictError:
        return True
