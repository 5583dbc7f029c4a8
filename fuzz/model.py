"""What a target is, and what may come out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

__all__ = ["Broken", "Finding", "Outcome", "Target", "MEMORY_BYTES", "MEMORY_FACTOR", "SECONDS"]

SECONDS = 2.0  # of processor time, for one input
MEMORY_BYTES = 64 << 20  # that one input may claim, beside
MEMORY_FACTOR = 64  # times its own size


class Broken(AssertionError):
    """A property does not hold: the answer is wrong although nothing was raised."""


class Outcome(Enum):
    """What may happen to an input. Everything else is a finding."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # by an error of `holdfast.errors`


class Finding(NamedTuple):
    """What must not happen. `kind`: the class of what was raised, or `hang`; `text` ends with a traceback."""

    kind: str
    text: str


@dataclass(frozen=True)
class Target:
    """One parser. `run` raises HoldfastError for what it refuses, `Broken` where an accepted answer is wrong.

    `hits`: the functions that it reaches, for the page. `seeds` gives inputs that are sound, the first of them always
    accepted. `tokens`: byte strings of the format. `memory`: bytes that an input may claim beside `MEMORY_FACTOR` times
    its size; more than `MEMORY_BYTES` only where the format itself promises more (`why_memory`). `weight`: one run
    costs as much as so many of others, and so tests try as many fewer.
    """

    name: str
    hits: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()
    memory: int = MEMORY_BYTES
    why_memory: str = ""
    max_bytes: int = 16 << 10
    weight: int = 1
