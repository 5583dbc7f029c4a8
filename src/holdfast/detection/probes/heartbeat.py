"""Whether a trainer goes on: a file that it touches, with the step that it is at if it says so.

A file that is JSON with a number `step`, or whose last line is, has to show a growing step; a loop that only touches
its file while it hangs is found out so. Any other file has to be changed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from holdfast.detection.probes.model import Answer, bad, good, unknown

__all__ = ["Beat", "heartbeat_probe", "step_in"]

_READ_MAX: Final = 64 << 10
_NS: Final = 1_000_000_000
_AHEAD_NS: Final = 60 * _NS


class Beat(NamedTuple):
    """The last step that was seen, and since when it is that one (ns)."""

    step: float
    since: int


class _Step(msgspec.Struct):
    step: int | float


def heartbeat_probe(path: Path, older_than_s: float, now_ns: int, last: Beat | None) -> tuple[Answer, Beat | None]:
    """`last`: what this gave the time before. Never waits: what is no plain file is not opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return bad(f"there is no {path}"), last
    except OSError as error:
        return unknown(f"{path} cannot be read ({error.strerror})"), last
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return unknown(f"{path} is no file"), last
        os.lseek(descriptor, max(0, status.st_size - _READ_MAX), os.SEEK_SET)
        step = step_in(os.read(descriptor, _READ_MAX))
    except OSError as error:
        return unknown(f"{path} cannot be read ({error.strerror})"), last
    finally:
        os.close(descriptor)
    age = max(0.0, (now_ns - status.st_mtime_ns) / _NS)
    if age > older_than_s:
        return bad(f"it was touched {age:.0f} s ago, and {older_than_s:.0f} s are the limit", age), last
    if step is None and status.st_mtime_ns <= now_ns + _AHEAD_NS:
        return good(f"it was touched {age:.0f} s ago", age), None
    if step is None:  # whose clock is ahead has no age: it has to be touched while it is looked at
        return _touched(float(status.st_mtime_ns), older_than_s, now_ns, last)
    if last is None or step != last.step:
        return good(f"it is at step {step:g}", step), Beat(step, now_ns)
    stuck = max(0.0, (now_ns - last.since) / _NS)
    if stuck > older_than_s:
        return bad(
            f"it has been at step {step:g} for {stuck:.0f} s, and {older_than_s:.0f} s are the limit", step
        ), last
    return good(f"it is at step {step:g}", step), last


def _touched(at: float, older_than_s: float, now_ns: int, last: Beat | None) -> tuple[Answer, Beat | None]:
    if last is None or at != last.step:
        return good("it was touched, by a clock that is ahead", 0.0), Beat(at, now_ns)
    age = max(0.0, (now_ns - last.since) / _NS)
    if age > older_than_s:
        return bad(f"it was not touched for {age:.0f} s, and {older_than_s:.0f} s are the limit", age), last
    return good(f"it was touched {age:.0f} s ago, by a clock that is ahead", age), last


def step_in(data: bytes) -> float | None:
    """The number `step` of a JSON object, or of the last whole line that is one; None: it says none."""
    for text in (data, *reversed(data.splitlines()[-2:])):
        try:
            step = float(msgspec.json.decode(text, type=_Step).step)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError, OverflowError):
            continue
        return step
    return None
