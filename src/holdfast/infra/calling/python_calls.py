"""A Python function as a process of its own, of the same interpreter: JSON in, JSON out, no keys."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.errors import FailedError
from holdfast.infra.calling import run_python
from holdfast.infra.calling.commands import AgainError, run_command

__all__ = ["Told", "call_function", "decode_told"]

Told = dict[str, str | int | float | bool]

_BYTES_MAX: Final = 64 << 10
_TEXT_MAX: Final = 500
_NAMES_MAX: Final = 32


def call_function(
    call: str,
    given: Mapping[str, str],
    environment: Mapping[str, str],
    seconds: float,
    folder: Path,
    *,
    check: bool = False,
    over: Callable[[], bool] | None = None,
) -> Told:
    """What `package.module:function` returns when it is called with `given`; modules are looked for in `folder` first.

    It is ended when `over` says so. Raises FailedError: it raised, took too long, or returned what cannot be told.
    """
    module, _, name = call.partition(":")
    with tempfile.TemporaryDirectory(prefix="holdfast-call-") as place:
        result = Path(place, "result")
        command = (sys.executable, run_python.__file__, str(result), module, name, *(["--check"] if check else []))
        ran = run_command(command, environment, seconds, str(folder), given=msgspec.json.encode(dict(given)), over=over)
        if ran.code != 0:
            raise AgainError(f"{call}: {ran.said or f'exit code {ran.code}'}", object_name=call)
        try:
            data = result.read_bytes()
        except OSError as error:
            raise FailedError(f"{call} ended without a result", object_name=call) from error
    return decode_told(data, call)


def decode_told(data: bytes, call: str) -> Told:
    """What a function returned, as facts: few, and short. Raises FailedError."""
    try:
        told = msgspec.json.decode(data, type=Told) if len(data) <= _BYTES_MAX else None
    except (msgspec.MsgspecError, RecursionError, ValueError):
        told = None
    if told is None or len(told) > _NAMES_MAX:
        raise FailedError(f"{call} returned what cannot be kept: a few names with plain values", object_name=call)
    from holdfast.infra.calling.commands import scrubbed

    return {
        name[:100]: scrubbed(value)[:_TEXT_MAX] if isinstance(value, str) else value for name, value in told.items()
    }
