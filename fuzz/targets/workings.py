"""What lies in the queue of work: whoever can write to its database may have written it."""

from __future__ import annotations

import json

from fuzz.model import Broken, Target
from holdfast.control.workflows import require_key
from holdfast.control.working.kinds import KINDS
from holdfast.control.working.sayings import read_arguments, read_said
from holdfast.errors import UsageError

__all__ = ["TARGETS"]

_DONE = b'{"facts": {"run": "9f3c", "verdict": "PASSED", "steps": 12, "settled": true, "seconds": 1.5}}'
_FAILED = b'{"error": {"code": "refused", "message": "no", "hint": "ask"}, "again": true}'
_ARGUMENTS = b'{"args": [{"run": "9f3c", "target": "/back"}], "kwargs": {}}'


def _loaded(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("no JSON: DBOS hands nothing on") from error


def _said(data: bytes) -> None:
    said = read_said(_loaded(data))
    if any(not isinstance(value, str | int | float | bool) for value in said.facts.values()):
        raise Broken("a fact is neither text nor number")


def _arguments(data: bytes) -> None:
    arguments = read_arguments(_loaded(data))
    taken = 0
    for kind in KINDS.values():
        try:
            given = kind.require(arguments)
        except UsageError:
            continue
        taken += 1
        if not set(kind.needs) <= set(given) <= set(kind.needs) | set(kind.takes):
            raise Broken(f"{kind.name} was given {sorted(given)}")
        require_key(kind.lane_of(given, "")[:1])
    if not taken:
        raise UsageError("no kind takes these arguments")


_HINTS = (b"null", b"[]", b"{}", b"1e999", b"-1", b"true", b'"' + b"x" * 40 + b'"', b"[" * 30, b"9" * 30)
TARGETS = [
    Target("work-said", "`read_said`", _said, lambda: [_DONE, _FAILED], _HINTS),
    Target("work-arguments", "`read_arguments`, `Kind.require`", _arguments, lambda: [_ARGUMENTS], _HINTS),
]
