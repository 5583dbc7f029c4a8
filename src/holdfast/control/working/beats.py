"""Which workers are alive: each says so in a table, and the others watch whether it goes on saying so.

No clocks are compared: a watcher counts how long, by its own monotonic clock, a worker's number of beats has stood
still while the database answered. A process of this machine that is gone is seen at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from holdfast.control.workflows import WorkerState
from holdfast.control.working.database import WorkDatabase
from holdfast.control.working.processes import machine_of, process_of
from holdfast.control.working.tables import WORKERS

__all__ = ["Beating", "Seen", "Watch", "known_workers", "machine_of", "process_of"]


class Seen(NamedTuple):
    """A worker's row."""

    name: str
    machine: str
    process: str
    beats: int
    leaving: bool


class Watch:
    """Who is dead, by what was seen one time after the other. Pure but for looking at this machine's processes."""

    def __init__(self, own: str, dead_after_s: float) -> None:
        self._own, self._dead_after = own, dead_after_s
        self._machine = machine_of()
        self._since: dict[str, tuple[int, float]] = {}  # of whom: the beats, and when they were seen first

    def forget(self) -> None:
        """The database did not answer: nobody could beat, so nobody's silence counts."""
        self._since.clear()

    def dead(self, rows: Sequence[Seen], working: Collection[str], now: float) -> list[str]:
        """Names of workers that are gone. `working`: who has work; one of them without a row is gone, too, when that
        stays so. `now`: seconds on a monotonic clock.
        """
        beats = dict.fromkeys(working, -1) | {row.name: row.beats for row in rows}
        self._since = {name: one for name, one in self._since.items() if name in beats}
        gone = []
        here = {row.name: row for row in rows if row.machine and row.machine == self._machine}
        for name, count in beats.items():
            if name == self._own:
                continue
            if name not in self._since or self._since[name][0] != count:
                self._since[name] = (count, now)
            row = here.get(name)
            ended = row is not None and process_of(int(row.process.partition("/")[0])) != row.process
            if ended or now - self._since[name][1] > self._dead_after:
                gone.append(name)
        left = [row.name for row in rows if row.leaving and row.name not in gone and row.name != self._own]
        return gone + left


class Beating:
    """This worker's row, and what it sees of the others."""

    def __init__(self, database: WorkDatabase, name: str, slots: int) -> None:
        self._database, self.name, self._slots = database, name, slots
        self._beats = 0

    def beat(self, now_ns: int, *, leaving: bool = False) -> bool:
        """Say that it is there. False when its row had been taken away: others took it for dead."""
        self._beats += 1
        values = {"beats": self._beats, "beat_ns": now_ns, "leaving": leaving}
        with self._database.transaction() as connection:
            done = connection.execute(update(WORKERS).where(WORKERS.c.name == self.name).values(**values))
            if done.rowcount:
                return True
            connection.execute(
                insert(WORKERS).values(
                    name=self.name,
                    host=socket.gethostname()[:200],
                    machine=machine_of()[:200],
                    process=process_of(os.getpid()),
                    pid=os.getpid(),
                    slots=self._slots,
                    started_ns=now_ns,
                    **values,
                )
            )
        return self._beats == 1

    def rows(self) -> list[Seen]:
        """Of all workers."""
        columns = (WORKERS.c.name, WORKERS.c.machine, WORKERS.c.process, WORKERS.c.beats, WORKERS.c.leaving)
        with self._database.transaction() as connection:
            return [Seen(*row) for row in connection.execute(select(*columns))]

    def bury(self, names: Sequence[str]) -> None:
        """Take rows away."""
        if names:
            with self._database.transaction() as connection:
                connection.execute(delete(WORKERS).where(WORKERS.c.name.in_(names)))


def known_workers(database: WorkDatabase, running: Mapping[str, Sequence[str]]) -> list[WorkerState]:
    """By name. `running`: keys of the work that each has."""
    with database.transaction() as connection:
        rows = connection.execute(select(WORKERS).order_by(WORKERS.c.started_ns, WORKERS.c.name)).mappings().all()
    return [
        WorkerState(
            name=row["name"],
            host=row["host"],
            pid=row["pid"],
            started_ns=row["started_ns"],
            beat_ns=row["beat_ns"],
            slots=row["slots"],
            leaving=row["leaving"],
            running=tuple(running.get(row["name"], ())),
        )
        for row in rows
    ]
