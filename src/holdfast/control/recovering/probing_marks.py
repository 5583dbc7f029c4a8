"""Which snapshots people (or failed restores) have set aside, at each of the stores of a recovery."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.control.recovering.trying import PATIENCE_SECONDS, each_at_once
from holdfast.errors import HoldfastError
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.quarantine import marks_of

__all__ = ["Marks", "marks_at"]

Marks = dict[tuple[str, str], "set[str] | HoldfastError"]
"""Asset and store → the snapshots that are set aside there, or why that is not known."""


def marks_at(handles: Mapping[tuple[str, str], Handle]) -> Marks:
    """Asked at once, whatever the stores have; who says nothing within 15 s is not waited for."""
    asked = {f"{store}: {asset}": (asset, handle) for (asset, store), handle in handles.items()}
    found, problems = each_at_once(asked, lambda one: set(marks_of(one[1], one[0])), PATIENCE_SECONDS)
    marks: Marks = {}
    for asset, store in handles:
        name = f"{store}: {asset}"
        marks[asset, store] = found[name] if name in found else problems[name]
    return marks
