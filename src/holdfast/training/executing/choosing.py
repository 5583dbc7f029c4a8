"""From which checkpoint to go on: pure.

Newest is what was written last, here or in the vault; of equal age the one that lies here already, then the higher
step. Steps alone would not do: whoever starts a run anew, or goes on from an older state, counts from a lower one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from holdfast.training.executing.asks import Checkpoint
from holdfast.training.executing.attempts import Span

__all__ = ["Options", "ranked", "reason_for", "to_move_aside"]

_SAME_NS = 2 * 10**9


class Options(NamedTuple):
    """Complete checkpoints in the folder, and good ones of the vault."""

    here: Sequence[Checkpoint]
    vault: Sequence[Checkpoint]


def ranked(options: Options, spans: Iterable[Span] = ()) -> list[Checkpoint]:
    """The best first, without those that led into a loop (`spans`)."""
    spans = list(spans)
    vault = [one for one in options.vault if not any(_are_same(one, local) for local in options.here)]
    offered = (*options.here, *vault)
    allowed = [one for one in offered if not any(span.begin <= one.written < span.end for span in spans)]
    return sorted(allowed, key=lambda one: (one.written, not one.snapshot, _step(one)), reverse=True)


def reason_for(chosen: Checkpoint, options: Options) -> str:
    """Why it, in a phrase: compared with the newest of the other side."""
    others = options.here if chosen.snapshot else options.vault
    if not others:
        return "there is no complete checkpoint here" if chosen.snapshot else "the vault has no good snapshot"
    other = max(others, key=lambda one: (one.written, _step(one)))
    where = "here" if chosen.snapshot else "in the vault"
    named = f"step {other.step}" if other.step is not None else other.place
    if _are_same(other, chosen):
        return f"the newest {where}, {named}, is the same"
    relation = "older" if other.written < chosen.written else "newer, but was passed over"
    warning = ""
    if other.written < chosen.written and _step(other) > _step(chosen) >= 0:
        warning = ", though its step is higher: it was written earlier"
    return f"the newest {where}, {named}, is {relation}{warning}"


def to_move_aside(
    chosen: Checkpoint | None, complete: Sequence[Checkpoint], broken: Sequence[Checkpoint]
) -> list[Checkpoint]:
    """What a framework would pick up instead, as it takes the highest step or the newest file, complete or not.

    Nothing where nothing is chosen: what no known layout calls complete may be all that a loop of one's own has.
    """
    if chosen is None:
        return []
    newer = [one for one in complete if one.place != chosen.place and one.written > chosen.written]
    torn = [one for one in broken if one.written > chosen.written or _step(one) >= _step(chosen) >= 0]
    return newer + [one for one in torn if one not in newer]


def _are_same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether both are of one moment. A folder's own time, which counts in some snapshots, is a bit later than that of
    the files in it.
    """
    apart = abs(one.written - other.written)
    return one.place == other.place and one.step == other.step and apart <= _SAME_NS


def _step(checkpoint: Checkpoint) -> int:
    return -1 if checkpoint.step is None else checkpoint.step
