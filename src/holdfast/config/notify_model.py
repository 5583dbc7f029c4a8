"""`notify` of `holdfast.yaml`: who is told."""

from __future__ import annotations

from holdfast.config.section import Section
from holdfast.config.words import Reference

__all__ = ["Notify", "Pagerduty"]


class Pagerduty(Section, frozen=True, kw_only=True):
    """An integration of PagerDuty."""

    routing_key: Reference


class Notify(Section, frozen=True, kw_only=True):
    """Who is told. Nothing acts on it yet."""

    pagerduty: Pagerduty | None = None
    slack: Reference | None = None
