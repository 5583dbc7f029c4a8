"""What a piece of work said at its end, as it lies in the queue: JSON of one of two forms, read back without trust."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from holdfast.control.workflows import Problem, Value
from holdfast.errors import HoldfastError

__all__ = ["Said", "read_arguments", "read_said", "said_done", "said_failed"]

_TEXT_MAX: Final = 4000
_FACTS_MAX: Final = 100


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`facts` of work that is done; `error` of work that failed. `again`: another attempt may help."""

    facts: dict[str, Value] = {}
    error: Problem | None = None
    again: bool = False


def said_done(facts: dict[str, Value]) -> dict[str, object]:
    """As JSON takes it."""
    kept = {name[:100]: _plain(value) for name, value in list(facts.items())[:_FACTS_MAX]}
    return {"facts": {name: value for name, value in kept.items() if value is not None}}


def said_failed(error: HoldfastError | Exception) -> dict[str, object]:
    """As JSON takes it. Of an error that is none of ours only its kind and words."""
    if isinstance(error, HoldfastError):
        found = {"code": error.code, "message": error.message[:_TEXT_MAX], "hint": error.hint[:_TEXT_MAX]}
        return {"error": found, "again": error.retry}
    return {"error": {"code": "unexpected", "message": f"{type(error).__name__}: {error}"[:_TEXT_MAX], "hint": ""}}


def read_said(value: object) -> Said:
    """What was said. Anything else is said to be damage: it never raises."""
    try:
        said = msgspec.convert(value, Said)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        what = "the queue holds nothing readable of how it ended"
        return Said(error=Problem(code="damage", message=what, hint="what a run did is in its journal"))
    return said


def read_arguments(value: object) -> dict[str, Value]:
    """Arguments as they were submitted; empty for what cannot be read."""
    try:
        first = value["args"][0] if isinstance(value, dict) else None
        return msgspec.convert(first, dict[str, Value])
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError, LookupError, TypeError):
        return {}


def _plain(value: object) -> Value | None:
    if isinstance(value, bool | int | str):
        return value[:_TEXT_MAX] if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None
