"""Conditions over verdicts: true, false or unknown, with the tree of why. Three-valued, as S. C. Kleene's strong logic
has it (Introduction to Metamathematics, 1952, § 64): what is unknown decides only where it cannot matter. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.config.conditions import AtLeast, Condition, Lasting, Not, Probed, shown_condition
from holdfast.detection.looks import State
from holdfast.detection.quorum import Verdict

__all__ = ["Because", "Since", "Truth", "evaluate"]

_NS: Final = 1_000_000_000


class Truth(StrEnum):
    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the explanation. `text`: the part of the condition; `why`: what made it so."""

    text: str
    truth: Truth
    why: str
    parts: tuple[Because, ...] = ()

    def lines(self, depth: int = 0) -> list[str]:
        """To be read by people."""
        own = f"{'  ' * depth}{self.text}: {self.truth.value} ({self.why})"
        return [own, *(line for part in self.parts for line in part.lines(depth + 1))]


Since = dict[str, int]
"""Part of a condition → since when it has been true without a break (ns), for `FOR`."""

_OF: Final = {State.BAD: Truth.TRUE, State.GOOD: Truth.FALSE, State.UNKNOWN: Truth.UNKNOWN}
_INVERSE: Final = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}


def evaluate(
    condition: Condition, verdicts: Mapping[str, Verdict], now_ns: int, since: Since, suspended: bool = False
) -> tuple[Because, Since]:
    """The truth now, and since when parts of it hold, to be handed in the next time. Nothing handed in is changed.

    Who begins anew hands in nothing, and waits for the whole of each `FOR` again. A clock that goes back does not make
    waiting shorter. `suspended`: nobody looked for a while: what was true before does not count as without a break.
    """
    made: Since = {}
    because = _judged(condition, verdicts, now_ns, {} if suspended else since, made)
    return because, made


def _judged(condition: Condition, verdicts: Mapping[str, Verdict], now_ns: int, since: Since, made: Since) -> Because:
    text = shown_condition(condition)
    match condition:
        case Probed(name):
            verdict = verdicts.get(name)
            if verdict is None:
                return Because(text=text, truth=Truth.UNKNOWN, why="nobody looked")
            return Because(text=text, truth=_OF[verdict.state], why=f"{verdict.state.value}: {verdict.why}")
        case Not(of):
            part = _judged(of, verdicts, now_ns, since, made)
            return Because(text=text, truth=_INVERSE[part.truth], why=f"it is {part.truth.value}", parts=(part,))
        case AtLeast(number, of_all, _):
            parts = tuple(_judged(one, verdicts, now_ns, since, made) for one in of_all)
            return _counted(text, number, parts)
        case Lasting(of, seconds):
            part = _judged(of, verdicts, now_ns, since, made)
            return _lasting(text, part, seconds, now_ns, since, made)


def _counted(text: str, number: int, parts: tuple[Because, ...]) -> Because:
    true = sum(part.truth is Truth.TRUE for part in parts)
    unknown = sum(part.truth is Truth.UNKNOWN for part in parts)
    truth = Truth.TRUE if true >= number else Truth.UNKNOWN if true + unknown >= number else Truth.FALSE
    why = f"{true} true, {unknown} unknown, {len(parts) - true - unknown} false; {number} are needed"
    return Because(text=text, truth=truth, why=why, parts=parts)


def _lasting(text: str, part: Because, seconds: float, now_ns: int, since: Since, made: Since) -> Because:
    if part.truth is not Truth.TRUE:
        return Because(text=text, truth=part.truth, why=f"it is {part.truth.value}", parts=(part,))
    began = since.get(text, now_ns)
    made[text] = began = min(began, now_ns)
    lasted = (now_ns - began) / _NS
    truth = Truth.TRUE if lasted >= seconds else Truth.FALSE
    return Because(text=text, truth=truth, why=f"true for {lasted:.0f} s of {seconds:.0f} s", parts=(part,))
