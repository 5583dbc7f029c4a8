"""What is told by webhooks: an entry of a journal or of an incident, the end of a drill, evidence that was kept."""

from __future__ import annotations

import json
from typing import Final, NamedTuple, TypeAlias

from holdfast.clock import to_rfc3339

__all__ = ["Event", "Fact"]

Fact: TypeAlias = str | int | float | bool | list[str] | None
_BODY_MAX: Final = 3900  # characters: what an argument of work may hold
_TEXT_MAX: Final = 1000


class Event(NamedTuple):
    """`id`: the same whoever finds it, and whenever. `kind`: one of `EVENT_TYPES`. `at_ns`: when it happened, by the
    clock of who wrote it down. `data`: what is told; `text` in it is cut where there is too much of it. `order_ns`: the
    latest of it and those before it, where some were written down by clocks that differ.
    """

    id: str
    kind: str
    at_ns: int
    data: dict[str, Fact]
    order_ns: int = 0

    def body(self, organisation: str) -> str:
        """JSON as Standard Webhooks recommends it, in ASCII, of at most 3,900 characters."""
        data = {"organisation": organisation, **self.data}
        room = _TEXT_MAX
        while True:
            said = {name: _cut(value, room) for name, value in data.items()}
            told = {"type": self.kind, "timestamp": to_rfc3339(self.at_ns), "data": said}
            body = json.dumps(told, separators=(",", ":"), sort_keys=True)
            if len(body) <= _BODY_MAX:
                return body
            room //= 2


def _cut(value: Fact, room: int) -> Fact:
    if isinstance(value, list):
        return [one[:room] for one in value[: max(1, room // 50)]]
    return value[:room] if isinstance(value, str) else value
