"""`webhooks` of `holdfast.yaml`: which programs elsewhere are told of what happens, and which kinds of it."""

from __future__ import annotations

import fnmatch
import re
from typing import Final

from holdfast.config.section import Section
from holdfast.config.words import Duration, FilePath, Reference, Text

__all__ = ["EVENT_TYPES", "Webhook", "matches"]

_STEPS: Final = ("begun", "done", "failed", "dropped", "undoing", "undone", "skipped")
_RUNS: Final = ("planned", "asked", "approved", "taken", "paused", "resumed", "stopped", "without", "ended")
_INCIDENTS: Final = ("opened", "seen", "acknowledged", "repaired", "decided", "run", "resolved")

EVENT_TYPES: Final = (
    *(f"run.{one}" for one in _RUNS),
    *(f"run.step.{one}" for one in _STEPS),
    *(f"incident.{one}" for one in _INCIDENTS),
    "drill.finished",
    "evidence.sealed",
)
"""Everything that may be told. Words of runs and incidents are those of their entries (`Deed`)."""

_PATTERN: Final = re.compile(r"[a-z*]+(\.[a-z*]+){0,3}")
_PATTERN_MAX: Final = 100


class Webhook(Section, frozen=True, kw_only=True):
    """A receiver. `events`: their types, where `*` stands for anything: `run.*`, `*.failed`, `incident.opened`.

    `secret`: what signs, at least 24 bytes; two while one is replaced. `trying`: how long after it happened an event is
    sent again while nobody takes it. `ca`: a file of certificates beside those of the system.
    """

    url: Reference | Text
    secret: tuple[Reference, ...]
    events: tuple[Text, ...]
    trying: Duration = 86_400.0
    ca: FilePath = ""


def matches(pattern: str, kind: str) -> bool:
    """Whether an event of that type is meant. `*` also stands for several parts: `run.*` means `run.step.done`, too."""
    if len(pattern) > _PATTERN_MAX or not _PATTERN.fullmatch(pattern):
        return False
    return fnmatch.fnmatchcase(kind, pattern)  # it never tries again what a star took: many stars cost nothing
