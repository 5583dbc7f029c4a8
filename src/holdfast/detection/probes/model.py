"""What every probe gives: whether it was good, what was seen, and what was measured."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.detection.looks import State

__all__ = ["Answer", "bad", "good", "unknown"]

_TEXT_MAX = 200


class Answer(NamedTuple):
    """`value`: in the probe's unit: seconds, but steps of a heartbeat."""

    state: State
    text: str
    value: float | None = None


def good(text: str, value: float | None = None) -> Answer:
    return Answer(State.GOOD, _line(text), value)


def bad(text: str, value: float | None = None) -> Answer:
    return Answer(State.BAD, _line(text), value)


def unknown(text: str) -> Answer:
    """It could not be looked at; that is no trouble of the thing itself."""
    return Answer(State.UNKNOWN, _line(text))


def _line(text: str) -> str:
    line = "".join(one if one.isprintable() else " " for one in text)
    return line if len(line) <= _TEXT_MAX else f"{line[: _TEXT_MAX - 1]}…"
