"""Which lines follow which in the package while an input runs: how an input shows that it found something new.

Slow (three to ten times the run), and enough: parsers of headers are short. Needs nothing but the interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import holdfast

__all__ = ["Coverage"]

_PACKAGE = str(Path(holdfast.__file__).parent)


class Coverage:
    """The edges of one run, as numbers that mean the same within one process."""

    def __init__(self) -> None:
        self._numbers: dict[CodeType, int | None] = {}
        self.edges: set[tuple[int, int, int]] = set()

    def of(self, run: Callable[[], Any]) -> Any:
        """The result of `run`; `edges` are then those of this run."""
        self.edges = set()
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            return run()
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        number = self._numbers.get(code, -1)  # -1: not seen yet; None: not of the package
        if number == -1:
            number = len(self._numbers) if code.co_filename.startswith(_PACKAGE) else None
            self._numbers[code] = number
        if number is None:
            return None
        last, add, known = 0, self.edges.add, number

        def step(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            if event == "line":
                add((known, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step
