"""What one observer makes of its own looks at one thing: n of m bad ones open it, n good ones in a row close it.

So a single lost packet is nothing, and what flaps stays bad until it is calm. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

__all__ = ["Look", "State", "Terms", "Track", "after", "resumed"]


class State(StrEnum):
    """`UNKNOWN`: it was not looked at, or not often enough to say; it never starts anything."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look. `at`: ns since the epoch. `value`: what was measured, in the probe's unit. `text`: what was seen."""

    state: State
    at: int
    text: str = ""
    value: float | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Bad after `open_after` bad looks of the last `of`; good after `close_after` good ones in a row."""

    open_after: Annotated[int, msgspec.Meta(ge=1)] = 3
    of: Annotated[int, msgspec.Meta(ge=1)] = 5
    close_after: Annotated[int, msgspec.Meta(ge=1)] = 3


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the looks so far. `recent`: the last ones, the newest last, whether each was bad. `since`: when the
    state began. `last_good`, `at`: of the last good look, and of the last one; 0: none yet. Times are ns. `row`: so
    many good looks came last, without anything else in between.
    """

    state: State = State.UNKNOWN
    recent: tuple[bool, ...] = ()
    since: int = 0
    last_good: int = 0
    at: int = 0
    text: str = ""
    value: float | None = None
    row: int = 0


def after(track: Track, look: Look, terms: Terms) -> Track:
    """What a further look makes of it. One that says nothing (`UNKNOWN`) is neither good nor bad: it breaks a row of
    good looks, and what nobody could look at any more within a whole window is unknown.
    """
    if look.state is State.UNKNOWN:
        return _unseen(track, look)
    keep = max(terms.of, terms.close_after)
    recent = (*track.recent, look.state is State.BAD)[-keep:]
    row = track.row + 1 if look.state is State.GOOD else 0
    state = track.state
    if state is State.BAD:
        if row >= terms.close_after:
            state = State.GOOD
    elif sum(recent[-terms.of :]) >= terms.open_after:
        state = State.BAD
    elif state is State.UNKNOWN and not any(recent[-terms.of :]) and len(recent) >= min(terms.close_after, terms.of):
        state = State.GOOD
    changed = state is not track.state
    return Track(
        state=state,
        recent=recent,
        since=look.at if changed else track.since,
        last_good=look.at if look.state is State.GOOD else track.last_good,
        at=look.at,
        text=look.text,
        value=look.value,
        row=min(row, terms.close_after),
    )


def resumed(track: Track, now_ns: int, within_ns: int) -> Track:
    """What is left of it for who looks again: of looks that are longer ago than that, or of the future, nothing is
    known any more but when it was last seen good.
    """
    if not track.at or 0 <= now_ns - track.at <= within_ns:
        return track
    return Track(since=now_ns, last_good=min(track.last_good, now_ns), at=track.at, text=track.text)


def _unseen(track: Track, look: Look) -> Track:
    known = track.recent[1:] if track.recent else ()
    state = track.state if known else State.UNKNOWN
    since = track.since if state is track.state else look.at
    return msgspec.structs.replace(track, state=state, recent=known, since=since, at=look.at, text=look.text, row=0)
