"""`identity` of `holdfast.yaml`."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import FilePath

__all__ = ["Identity"]


class Identity(Section, frozen=True, kw_only=True):
    """Files of the installation's own authority (docs/authority.md). Nothing acts on it yet."""

    settings: FilePath = ""
    policies: FilePath = ""
