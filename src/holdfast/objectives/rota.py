"""In which order snapshots are to be proven again: what is worth most, was proven longest ago, and has fewest copies.

::

    score = worth × seconds since the last proof ÷ sound copies

What was never proven counts as proven `NEVER_SECONDS` ago. The score rises with the worth and the age of the proof,
and falls with the number of copies; of equal scores the newer snapshot comes first.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast.errors import UsageError

__all__ = ["Candidate", "Due", "NEVER_SECONDS", "order", "score"]

NEVER_SECONDS = 10 * 365 * 86_400.0  # longer than proofs are remembered: nothing that was proven once outranks it alone


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that could be verified.

    `proven_seconds`: since it was last read back whole, None for never. `copies`: sites that are known to hold it, this
    one included. `worth` is relative to other assets: 1 unless somebody said otherwise.
    """

    snapshot: str
    asset: str
    worth: float = 1.0
    proven_seconds: float | None = None
    copies: int = 1

    def __post_init__(self) -> None:
        """Raises UsageError for facts that cannot be."""
        if not 0 <= self.worth < float("inf"):
            raise UsageError(f"the worth of {self.asset!r} is not a number from 0 on")
        if self.copies < 1:
            raise UsageError(f"snapshot {self.snapshot} has at least the copy that is to be proven")


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in its place in the order, and why it is there."""

    candidate: Candidate
    score: float
    reason: str


def score(candidate: Candidate) -> float:
    """How much it would tell to prove this one now. A proof from the future (clocks differ) has age 0."""
    seconds = NEVER_SECONDS if candidate.proven_seconds is None else max(0.0, candidate.proven_seconds)
    return candidate.worth * seconds / candidate.copies


def order(candidates: Iterable[Candidate]) -> list[Due]:
    """All candidates, the one that most needs proving first."""
    found = [Due(candidate=one, score=score(one), reason=_reason(one)) for one in candidates]
    # Ids sort by time. Two stable sorts: the newest first, then by falling score.
    found.sort(key=lambda due: due.candidate.snapshot, reverse=True)
    return sorted(found, key=lambda due: due.score, reverse=True)


def _reason(candidate: Candidate) -> str:
    proven = "never proven" if candidate.proven_seconds is None else f"proven {_ago(candidate.proven_seconds)} ago"
    copies = "1 copy" if candidate.copies == 1 else f"{candidate.copies} copies"
    worth = "" if candidate.worth == 1 else f", worth {candidate.worth:g}"
    return f"{proven}, {copies}{worth}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
