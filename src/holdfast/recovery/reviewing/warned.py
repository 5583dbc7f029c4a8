"""What the review warned of when a run began, as its journal has it: facts of the first entry that takes the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.reviewing.review import Finding

__all__ = ["Warned", "warned_facts", "warned_of"]

_FACT: Final = "warning"
_MOST: Final = 20
_TEXT_MAX: Final = 2000


class Warned(NamedTuple):
    """A warning, not a refusal: `code` is stable."""

    code: str
    about: str
    reason: str


def warned_facts(warnings: Sequence[Finding]) -> dict[str, str]:
    """`warning0`, `warning1`, …: `code: about: reason`. Of very many, the first, and how many more there were."""
    told = [f"{one.code}: {one.about}: {one.reason}"[:_TEXT_MAX] for one in warnings[:_MOST]]
    if len(warnings) > _MOST:
        told.append(f"MORE: the plan: the review warned of {len(warnings) - _MOST} things more")
    return {f"{_FACT}{number}": text for number, text in enumerate(told)}


def warned_of(entries: Iterable[Entry]) -> list[Warned]:
    """By the entry with which the run began."""
    first = next((one for one in entries if one.deed is Deed.TAKEN), None)
    found: list[Warned] = []
    while first is not None and (text := first.facts.get(f"{_FACT}{len(found)}")) is not None:
        code, _, rest = str(text).partition(": ")
        about, _, reason = rest.partition(": ")
        found.append(Warned(code, about, reason))
    return found
