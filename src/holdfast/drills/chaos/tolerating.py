"""Whether what a probe returned is within its tolerance. Pure, but for the kind `probe`, which the caller asks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from holdfast.drills.chaos.calling import as_json
from holdfast.drills.chaos.model import Activity, Http, Process, Tolerance

__all__ = ["within"]


def within(tolerance: Tolerance, found: Any, activity: Activity, ask: Callable[[Activity], Any]) -> bool:
    """As the specification has it: a plain number is the status of HTTP, or of a process, where that was asked."""
    match tolerance.kind:
        case "equal":
            return bool(_plain(found, tolerance.value, activity) == tolerance.value) and _same_kind(
                _plain(found, tolerance.value, activity), tolerance.value
            )
        case "any of":
            return any(_plain(found, value, activity) == value for value in tolerance.values)
        case "range":
            value = _target(found, tolerance.target, activity)
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and tolerance.lower <= value <= tolerance.upper
            )
        case "regex":
            value = _target(found, tolerance.target, activity)
            text = value if isinstance(value, str) else json.dumps(value)
            return re.search(tolerance.pattern, text) is not None
        case "jsonpath":
            return _by_path(_target(found, tolerance.target or "body", activity), tolerance)
        case "probe":
            assert tolerance.probe is not None
            return ask(tolerance.probe) is True


def _same_kind(found: Any, wanted: Any) -> bool:
    return isinstance(found, bool) == isinstance(wanted, bool)


def _plain(found: Any, wanted: Any, activity: Activity) -> Any:
    """The status, where a number is wanted of something that has one."""
    number = isinstance(wanted, int) and not isinstance(wanted, bool)
    if number and isinstance(activity.provider, Process | Http) and isinstance(found, dict):
        return found["status"]
    return found


def _target(found: Any, target: str, activity: Activity) -> Any:
    if not isinstance(found, dict) or not isinstance(activity.provider, Process | Http):
        return found
    usual = "stdout" if isinstance(activity.provider, Process) else "body"
    value = found.get(target or usual)
    if isinstance(activity.provider, Process) and isinstance(value, str):
        return as_json(value.encode(errors="replace"))
    return value


def _by_path(tree: Any, tolerance: Tolerance) -> bool:
    for name, number in re.findall(r"\.([A-Za-z0-9_-]+)|\[([0-9]+)\]", tolerance.pattern):
        try:
            tree = tree[int(number)] if number else tree[name]
        except (KeyError, IndexError, TypeError):
            return False
    if tolerance.value is None:
        return True
    return bool(tree in tolerance.value if isinstance(tolerance.value, list) else tree == tolerance.value)
