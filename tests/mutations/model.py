"""What a guard is: code without which something in docs/threat-model.md would no longer hold."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Edit", "Guard"]

ROOT = Path(__file__).parents[2]
"""The checkout."""


class Edit(NamedTuple):
    """`old` occurs exactly once in `file` (below src/holdfast) and becomes `new`."""

    file: str
    old: str
    new: str


class Guard(NamedTuple):
    """`row`: of the threat model. `edits` take the guard away; then `test` (`path::name`) must fail."""

    row: str
    name: str
    test: str
    edits: tuple[Edit, ...]
