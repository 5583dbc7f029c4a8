"""Whether a service is good: one look, and what is the matter in words."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.config.compute_model import Health
from holdfast.errors import FailedError
from holdfast.infra.calling.commands import run_command, scrubbed
from holdfast.outgoing import NoRedirects

__all__ = ["Filled", "Heartbeat", "filled", "health_problem", "status_of"]

_ASK_SECONDS = 10.0


class Heartbeat:
    """A file that changes as long as somebody works. It has to change while it is looked at: what lies there from
    before, or was restored, says nothing.
    """

    def __init__(self, path: Path, fresh: float) -> None:
        """`fresh`: seconds for which a change counts."""
        self._path, self._fresh = path, fresh
        self._seen: tuple[int, int, int] | None = None
        self._changed: float | None = None

    def problem(self) -> str | None:
        try:
            status = self._path.stat()
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        now, stamp = time.monotonic(), (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._seen is not None and stamp != self._seen:
            self._changed = now
        self._seen = stamp
        if self._changed is None:
            return f"{self._path} has not changed since it is looked at"
        age = now - self._changed
        return None if age <= self._fresh else f"{self._path} changed {age:.0f} s ago last"


class Filled(NamedTuple):
    """A `Health` whose places are filled in."""

    url: str
    command: tuple[str, ...]
    heartbeat: Heartbeat | None


def filled(health: Health, fill: Callable[[str], str]) -> Filled:
    beat = health.heartbeat
    path = Path(fill("{target}"), fill(beat)) if beat else None
    heartbeat = Heartbeat(path, health.fresh) if path is not None else None
    return Filled(fill(health.url), tuple(map(fill, health.command)), heartbeat)


def health_problem(health: Filled, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why it is not good now; None: it is."""
    if health.url:
        said = status_of(health.url)
        return None if said == 200 else f"{health.url} says {said}"
    if health.command:
        try:
            ran = run_command(health.command, environment, _ASK_SECONDS)
        except FailedError as error:
            return error.message
        return None if ran.code == 0 else f"{health.command[0]}: exit code {ran.code}: {ran.said}"
    return health.heartbeat.problem() if health.heartbeat is not None else None


def status_of(url: str, seconds: float = _ASK_SECONDS) -> int | str:
    """The status of a GET of it, no redirect followed; or in words why there is none."""
    try:
        with urllib.request.build_opener(NoRedirects).open(url, timeout=seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError) as error:
        return f"nothing ({scrubbed(str(error))})"
