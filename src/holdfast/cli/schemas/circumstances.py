"""What commands say of circumstances: those of a snapshot, and how two differ."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["CircumstanceFacts", "CircumstanceChange", "Matters"]

Matters = Annotated[
    str,
    msgspec.Meta(description="`results` (the run goes on as another one), `maybe` (last bits, order) or `harmless`"),
]


class CircumstanceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One circumstance of a snapshot. `area`: `code`, `package`, `environment`, `setting`, `variable`, `layout`,
    `dataset`, `hyperparameter`, `resume` or `missing`.
    """

    area: str
    name: str
    value: str


class CircumstanceChange(msgspec.Struct, frozen=True, kw_only=True):
    """One circumstance that differs. A side that does not have it is empty."""

    area: str
    name: str
    before: str
    after: str
    matters: Matters
