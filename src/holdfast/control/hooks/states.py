"""How receivers are: since when each is told, what it took last, since when it takes nothing, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from holdfast.clock import NANOSECONDS
from holdfast.control.workflows import HookState
from holdfast.control.working.database import WorkDatabase
from holdfast.control.working.tables import HOOKS, LOOKS
from holdfast.errors import ConflictError

__all__ = ["KIND", "known_hooks", "note_outcome", "note_since", "takes_turn"]

KIND: Final = "webhook.send"
_PROBLEM_MAX: Final = 400
_CLOCKS_NS: Final = 600 * NANOSECONDS  # clocks of workers may differ by so much


def known_hooks(database: WorkDatabase, names: Sequence[str], waiting: Mapping[str, int]) -> list[HookState]:
    """In the order of `names`. `waiting`: how many messages to each have not ended."""
    with database.transaction() as connection:
        rows = {str(row["name"]): dict(row) for row in connection.execute(select(HOOKS)).mappings()}
    return [_state(name, waiting.get(name, 0), rows.get(name)) for name in names]


def _state(name: str, waiting: int, row: Mapping[Any, Any] | None) -> HookState:
    if row is None:
        return HookState(name=name, waiting=waiting)

    return HookState(
        name=name,
        waiting=waiting,
        since_ns=row["since_ns"],
        delivered=row["delivered"],
        delivered_ns=row["delivered_ns"] or None,
        given_up=row["given_up"],
        failing_since_ns=row["failing_since_ns"] or None,
        problem=row["problem"],
    )


def note_since(database: WorkDatabase, names: Sequence[str], now_ns: int) -> dict[str, int]:
    """Since when each is told: from now on, where it is new. What is known of others stays: workers may have read the
    file at different times. One of the future was written by a wrong clock, and would keep everything from being told.
    """
    with database.transaction() as connection:
        known = {row.name: row.since_ns for row in connection.execute(select(HOOKS.c.name, HOOKS.c.since_ns))}
        for name in names:
            if name not in known:
                _add(connection, name, now_ns)
            elif known[name] > now_ns + _CLOCKS_NS:
                connection.execute(update(HOOKS).where(HOOKS.c.name == name).values(since_ns=now_ns))
                known[name] = now_ns
    return {name: known.get(name, now_ns) for name in names}


def _add(connection: Connection, name: str, now_ns: int) -> None:
    empty = {"delivered": 0, "delivered_ns": 0, "given_up": 0, "failing_since_ns": 0, "problem": ""}
    connection.execute(insert(HOOKS).values(name=name, since_ns=now_ns, **empty))


def note_outcome(database: WorkDatabase, name: str, now_ns: int, problem: str = "", *, given_up: bool = False) -> None:
    """After an attempt. Empty `problem`: it was taken."""
    at = HOOKS.c
    with database.transaction() as connection:
        mine = update(HOOKS).where(at.name == name)
        if not problem:
            taken = {"delivered": at.delivered + 1, "delivered_ns": now_ns, "failing_since_ns": 0, "problem": ""}
            connection.execute(mine.values(**taken))
            return
        connection.execute(mine.values(problem=problem[:_PROBLEM_MAX], given_up=at.given_up + int(given_up)))
        connection.execute(mine.where(at.failing_since_ns == 0).values(failing_since_ns=now_ns))


def takes_turn(database: WorkDatabase, now_ns: int, every_ns: int) -> bool:
    """Whether it is this worker's turn to look for events: nobody did within that time."""
    try:
        with database.transaction() as connection:
            last = connection.scalar(select(LOOKS.c.at_ns).where(LOOKS.c.id == 1))
            if last is None:
                connection.execute(insert(LOOKS).values(id=1, at_ns=now_ns))
                return True
            if now_ns - every_ns < last <= now_ns + every_ns:
                return False
            done = connection.execute(update(LOOKS).where(LOOKS.c.id == 1, LOOKS.c.at_ns == last).values(at_ns=now_ns))
            return done.rowcount == 1
    except ConflictError:
        return False
