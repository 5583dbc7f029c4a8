"""`compute` of a site in `holdfast.yaml`: what computes there."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import Text

__all__ = ["Compute"]


class Compute(Section, frozen=True, kw_only=True):
    """What computes at a site."""

    kind: Text
    partition: Text = ""
    shape: Text = ""
