"""A plan of tiers: what is to be done, in order, and why; what is not done, and why not."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.replication.tiering.facts import Tier

__all__ = ["Verb", "Move", "Decision", "Refusal", "TierPlan", "explain"]


class Verb(StrEnum):
    """What is done with a snapshot at a store."""

    COPY = "copy"  # and read it back there
    VERIFY = "verify"  # it is there, and was not read back
    DROP = "drop"  # after all that it needs


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `source`: the store that a copy is read from. `needs`: for a drop, the stores at which the snapshot has
    to be whole and verified before. `bytes`, `objects`: of packs that a copy brings, or that a drop leaves unneeded.
    """

    verb: Verb
    snapshot: str
    asset: str
    store: str
    reason: str
    source: str = ""
    needs: tuple[str, ...] = ()
    bytes: int = 0
    objects: int = 0

    def __str__(self) -> str:
        way = {Verb.COPY: f"from {self.source} to", Verb.VERIFY: "at", Verb.DROP: "from"}[self.verb]
        return f"{self.verb} {self.snapshot} of {self.asset!r} {way} {self.store}: {self.reason}"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. `wanted`: store → why it belongs there. `held`: moves that were thought of and not made, and why.
    `problems`: what its class owes and it does not get, whatever is moved.
    """

    snapshot: str
    asset: str
    tier: Tier
    why: str
    wanted: dict[str, str]
    lies_at: tuple[str, ...]
    moves: tuple[Move, ...] = ()
    held: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An asset of which nothing is moved, because its placement would break a rule of jurisdiction."""

    asset: str
    reason: str


class TierPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`moves` in the order in which they are to be done: of each snapshot copies and checks before drops."""

    made_ns: int
    moves: tuple[Move, ...]
    decisions: tuple[Decision, ...]
    refused: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    def decision(self, snapshot: str) -> Decision | None:
        """What was decided of a snapshot; None for one of a refused asset, or one that is not known."""
        return next((one for one in self.decisions if one.snapshot == snapshot), None)


def explain(decision: Decision) -> list[str]:
    """Everything about a snapshot, in sentences: why it moves, and why it does not."""
    lines = [f"{decision.snapshot} of {decision.asset!r} is {decision.tier}: {decision.why}."]
    lines += [f"It belongs on {store}: {why}." for store, why in decision.wanted.items()]
    lines += [f"Move: {move}." for move in decision.moves]
    if not decision.moves:
        lines.append(f"Nothing moves: it lies at {', '.join(decision.lies_at) or 'no store'}.")
    lines += [f"Not done: {reason}." for reason in decision.held]
    lines += [f"PROBLEM: {problem}." for problem in decision.problems]
    return lines
