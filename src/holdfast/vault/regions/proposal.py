"""What one format's parser hands back, and the two ways in which it declines."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import FailedError
from holdfast.vault.regions.model import Region, Tensor

__all__ = ["Proposal", "Malformed", "Foreign"]


class Proposal(NamedTuple):
    """Spans of elements in any order, not yet merged or completed to a cover; tensors and findings likewise raw.

    A span's length is a multiple of its element's width. Spans do not overlap; tensors may (tied weights, views).
    """

    format: str
    spans: list[Region]
    tensors: list[Tensor]
    problems: list[str]


class Malformed(FailedError):
    """The file claims a format and breaks its rules: a finding. Its message completes "not a sound … file: "."""

    code = "malformed-file"


class Foreign(FailedError):
    """The file may well be sound; it uses something that the parser does not read. Not a finding."""

    code = "foreign-file"
