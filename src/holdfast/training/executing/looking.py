"""The checkpoints that lie in the watched folder, as this program calls them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import scan
from holdfast.checkpoints.ledger import Ledger
from holdfast.training.executing.asks import Checkpoint

__all__ = ["Here", "look", "place_of", "checkpoint_of"]

_TEMPORARY = "it has a temporary name"  # frameworks pass over these, too


class Here(NamedTuple):
    """`broken`: what is not complete, or was being overwritten, with the reason; not what has a temporary name.

    `unsaved`: those of the complete that the vault does not have as they are, the newest first.
    """

    complete: list[Checkpoint]
    broken: list[tuple[Checkpoint, str]]
    unsaved: list[Checkpoint]
    candidates: dict[str, Candidate]


def look(folder: Path, ledger_file: Path, patterns: tuple[str, ...] | list[str] = ()) -> Here:
    """Look once. Nobody writes there, or what is being written looks incomplete. Raises what `scan` raises."""
    root = Path(os.path.realpath(folder))
    ledger = Ledger(ledger_file)
    here = Here([], [], [], {})
    for candidate in scan(root, patterns).candidates:
        place = place_of(root, candidate)
        one = checkpoint_of(place, candidate)
        if ledger.is_torn(place, candidate):
            here.broken.append((one, "its data changed and its marker did not: an overwrite was cut short"))
        elif candidate.complete:
            here.complete.append(one)
            here.candidates[place] = candidate
            if not ledger.holds(place, candidate):
                here.unsaved.append(one)
        elif candidate.reason != _TEMPORARY:
            here.broken.append((one, candidate.reason))
    here.unsaved.sort(key=lambda one: (one.written, -1 if one.step is None else one.step), reverse=True)
    return here


def place_of(root: Path, candidate: Candidate) -> str:
    """Its path relative to the folder (a real path), as text that JSON can hold; its name where it is that folder."""
    relative = candidate.name if candidate.path == root else str(candidate.path.relative_to(root))
    return os.fsencode(relative).decode(errors="backslashreplace")


def checkpoint_of(place: str, candidate: Candidate) -> Checkpoint:
    """The same in the words of this package."""
    return Checkpoint(
        place=place,
        step=candidate.step,
        written=candidate.written_ns,
        framework=candidate.framework,
        bytes=candidate.size,
        fingerprint=candidate.fingerprint,
    )
