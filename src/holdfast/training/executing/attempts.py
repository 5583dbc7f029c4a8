"""Attempts to train, and whether they lead anywhere.

An attempt is *stuck* when the next one would begin from the very checkpoint from which it began itself: the step did
not advance over a restart. After `STUCK_MAX` of them in a row the run falls back by one checkpoint, once; when that
leads nowhere, or no further than the loop that it was to break, it gives up (NVIDIA's resiliency extension draws the
line at three restarts without progress as well). An attempt that was ended from outside (SIGTERM of a scheduler) says
nothing about the checkpoint, and is passed over; one whose end nobody recorded (the node was lost) counts.

They are kept twice: in the watched folder, where they can be written while no store answers and with a key that cannot
read; and as generations of the ref `!attempts` of the asset in the vault, because after a requeue on another node the
folder may be empty. What is known of either is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

__all__ = ["Attempt", "Judgement", "Span", "STUCK_MAX", "judge", "merged", "skipped_spans", "encode", "decode"]

STUCK_MAX = 3
ATTEMPTS_KEPT = 200
_TEXT_MAX = 200


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One start of the command. Times in ns since the epoch; `id`: 16 hex digits.

    `step`, `written`, `place`, `snapshot`: the checkpoint from which it began; `written` 0: from nothing. `fell_back`:
    it was an older one because of a loop, and what was written from `span_from` on until `at` is not taken any more;
    `span_step`: the step at which the loop was. `end`: kind of death, `DONE`, or empty while it runs or when nobody
    saw; `asked`: somebody ended it. `anew`: earlier attempts do not count.
    """

    id: str
    at: int
    host: str = ""
    job: str = ""
    step: int | None = None
    written: int = 0
    place: str = ""
    snapshot: str = ""
    fell_back: bool = False
    span_from: int = 0
    span_step: int | None = None
    end: str = ""
    code: int | None = None
    asked: bool = False
    anew: bool = False


class Span(NamedTuple):
    """Checkpoints written from `begin` on and before `end` (ns) led into a loop."""

    begin: int
    end: int


class Judgement(NamedTuple):
    """`verdict`: `go`, `fall-back` or `give-up`. `stuck`: attempts in a row that began where the next one would."""

    verdict: str
    stuck: int
    reason: str


def merged(*sources: Iterable[Attempt]) -> list[Attempt]:
    """All of them in order of time, each once: as far as anybody knows how it ended."""
    known: dict[str, Attempt] = {}
    for attempt in (one for source in sources for one in source):
        before = known.get(attempt.id)
        if before is None or (attempt.end and not before.end):
            known[attempt.id] = attempt
    return sorted(known.values(), key=lambda one: (one.at, one.id))[-ATTEMPTS_KEPT:]


def judge(attempts: Sequence[Attempt], step: int | None, written: int) -> Judgement:
    """Whether to begin from the checkpoint of that step and time (0: from nothing) once more."""
    current = _since_success(attempts)
    streak = []
    for attempt in reversed(current):
        if attempt.asked:
            continue
        if attempt.written != written:
            break
        streak.append(attempt)
    if len(streak) < STUCK_MAX:
        return Judgement("go", len(streak), "")
    stuck = f"{len(streak)} attempts began at {_named(step, written)} and got no further"
    if any(attempt.fell_back for attempt in streak):
        return Judgement("give-up", len(streak), f"{stuck}, after falling back once")
    if not written:
        return Judgement("give-up", len(streak), stuck)
    falls = [attempt for attempt in current if attempt.fell_back]
    if falls and not _beyond(step, falls[-1].span_step):
        return Judgement(
            "give-up", len(streak), f"{stuck}, which is not beyond the loop before, after falling back once"
        )
    return Judgement("fall-back", len(streak), stuck)


def skipped_spans(attempts: Iterable[Attempt]) -> list[Span]:
    """The times of what was passed over when a run fell back."""
    spans: list[Span] = []
    for one in attempts:
        if one.anew:
            spans = []
        if one.fell_back:  # a clock that is behind that of the files must not bring back what led into the loop
            spans.append(Span(one.span_from, max(one.at, one.span_from + 1)))
    return spans


def _since_success(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those after the last that ended well, or from the one on before which nothing counts."""
    current: list[Attempt] = []
    for attempt in attempts:
        if attempt.anew:
            current = []
        current.append(attempt)
        if attempt.end == "DONE" and not attempt.asked:
            current = []
    return current


def _beyond(step: int | None, other: int | None) -> bool:
    return step is not None and other is not None and step > other


def _named(step: int | None, written: int) -> str:
    if not written:
        return "the very beginning"
    return f"step {step}" if step is not None else "the same checkpoint"


def encode(attempt: Attempt) -> str:
    """As one line of JSON."""
    cut = {name: value[:_TEXT_MAX] for name in ("host", "job", "place") if (value := getattr(attempt, name))}
    return msgspec.json.encode(msgspec.structs.replace(attempt, **cut)).decode()


def decode(text: str | bytes) -> Attempt | None:
    """The attempt in a line of JSON; None for anything else: what cannot be read was not recorded."""
    try:
        return msgspec.json.decode(text, type=Attempt)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
