"""Calls one function: `python run_python.py RESULT MODULE FUNCTION [--check]`, JSON of its arguments on stdin.

The function gets them by name. What it returns (None, or a mapping of names to texts, numbers and yes or no) is written
to RESULT as JSON; what it prints goes where everything goes. With --check it is only looked for, and may have a face of
its own: an attribute `check`, called with the same arguments, which returns why it could not be done now.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def main(arguments: list[str]) -> int:
    """0: done; 1: it raised, or is not there."""
    result, module, name, *more = arguments
    sys.path.insert(0, "")
    given = json.load(sys.stdin)
    try:
        function: Any = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        if more:
            check = getattr(function, "check", None)
            said = check(**given) if check is not None else None
            found = {} if said is None else {"problem": str(said)}
        else:
            found = function(**given) or {}
        text = json.dumps(found, allow_nan=False)
        if not isinstance(found, dict) or not all(_is_plain(key, value) for key, value in found.items()):
            raise TypeError("it returned something else than None or a mapping of names to plain values")
    except BaseException as error:  # noqa: BLE001 - whatever somebody else's function raises is an answer
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    return 0


def _is_plain(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, str | int | float | bool)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
