"""What comes again, by the file of declarations; submitted when it is due, by whichever worker looks first."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from holdfast.config.effective import effective
from holdfast.config.model import Config
from holdfast.config.workers_model import Again
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Schedule, Value, Workflows, WorkState
from holdfast.control.working.database import WorkDatabase
from holdfast.control.working.scheduling import EVERY_MIN_S, Rhythm, due, next_window
from holdfast.control.working.tables import PERIODS, SCHEDULES
from holdfast.errors import ConflictError, HoldfastError

__all__ = ["Coming", "Scheduler", "declared_schedules", "known_schedules"]

_KEPT: Final = 400
_DAY_S: Final = 86_400.0
_CHECK: Final = Again(every=_DAY_S, at=120)
_CATALOG: Final = Again(every=900.0)


class Coming(NamedTuple):
    """A schedule without what only the database knows. `name` changes with what it does, and how often."""

    name: str
    kind: str
    arguments: dict[str, Value]
    every: float
    at: float = 0.0
    within: float = 0.0

    def rhythm(self, seed: bytes) -> Rhythm:
        return Rhythm(self.name, self.every, self.at, self.within, seed)


def declared_schedules(config: Config) -> list[Coming]:
    """All of them. Those that cannot be (a surprise longer than its period) are cut to what can."""
    found = [
        *(_again("recover.check", name, {"name": name}, config.work.check or _CHECK) for name in config.recoveries),
        *(_drill(name, one.every, one.surprise_within or 0.0) for name, one in config.drills.items()),
    ]
    sync = config.work.sync or _sync_of(config)
    if sync is not None:
        found.append(_again("site.sync", "", {}, sync))
    if config.assets:
        found.append(_again("catalog.update", "", {}, config.work.catalog or _CATALOG))
    return [one for one in found if one.kind not in config.work.without]


def _again(kind: str, subject: str, arguments: dict[str, Value], rhythm: Again) -> Coming:
    every = max(rhythm.every, EVERY_MIN_S)
    at = min(rhythm.at * 60.0, every)
    name = "/".join(part for part in (kind, subject, f"{every:g}s") if part)
    return Coming(name, kind, arguments, every, at)


def _drill(drill: str, every: float, within: float) -> Coming:
    every = max(every, EVERY_MIN_S)
    return Coming(f"drill.run/{drill}/{every:g}s", "drill.run", {"name": drill}, every, 0.0, min(within, every))


def _sync_of(config: Config) -> Again | None:
    """As often as the most demanding asset with copies elsewhere says."""
    asked = [
        owed.replicate_every.value
        for name in config.assets
        if (owed := effective(config, name)) and (config.assets[name].place.asynchronous or _has_stripes(config, name))
    ]
    return Again(every=min(asked)) if asked else None


def _has_stripes(config: Config, name: str) -> bool:
    return config.assets[name].place.stripes is not None


def _known(connection: Connection, name: str, now_ns: int, *, make: bool) -> tuple[int, bytes] | None:
    found = connection.execute(select(SCHEDULES.c.since_ns, SCHEDULES.c.seed).where(SCHEDULES.c.name == name)).first()
    if found is not None and found[0] > now_ns:  # it was seen first while the clock was wrong
        if make:
            connection.execute(update(SCHEDULES).where(SCHEDULES.c.name == name).values(since_ns=now_ns))
        return now_ns, bytes.fromhex(found[1])
    if found is not None:
        return found[0], bytes.fromhex(found[1])
    if not make:
        return None
    seed = secrets.token_bytes(32)
    connection.execute(insert(SCHEDULES).values(name=name, since_ns=now_ns, seed=seed.hex()))
    return now_ns, seed


def _done(connection: Connection, name: str) -> dict[int, int]:
    """Periods that were submitted → when."""
    rows = connection.execute(select(PERIODS.c.period, PERIODS.c.at_ns).where(PERIODS.c.name == name)).all()
    return {row.period: row.at_ns for row in rows}


def known_schedules(database: WorkDatabase, sites: DeclaredSites) -> list[Schedule]:
    """In the order of the file, with the times of the next."""
    now, found = sites.clock.now_ns(), []
    with database.transaction() as connection:
        for one in declared_schedules(sites.config):
            known = _known(connection, one.name, now, make=False) or (now, b"")
            done = _done(connection, one.name)
            begin, end = next_window(one.rhythm(known[1]), now, known[0], done)
            found.append(
                Schedule(
                    name=one.name,
                    kind=one.kind,
                    arguments=one.arguments,
                    every_s=one.every,
                    at_s=one.at,
                    within_s=one.within,
                    next_from_ns=begin,
                    next_until_ns=end,
                    last_ns=max(done.values(), default=None),
                )
            )
    return found


class Scheduler:
    """Submits what is due. Several workers may do it at the same time: the key of a period is submitted once."""

    def __init__(self, database: WorkDatabase, workflows: Workflows, told: Callable[[str], None]) -> None:
        self._database, self._workflows, self._told = database, workflows, told

    def submit_due(self, config: Config, now_ns: int) -> list[WorkState]:
        """What was submitted now. Raises as the database does."""
        submitted = []
        for one in declared_schedules(config):
            try:
                found = self._submit(one, now_ns)
            except ConflictError:
                continue  # another worker is about to submit it
            except HoldfastError as error:
                if error.retry:
                    raise
                self._told(f"{one.name} is not submitted: {error.message}")
                continue
            if found is not None:
                submitted.append(found)
        return submitted

    def _submit(self, one: Coming, now_ns: int) -> WorkState | None:
        with self._database.transaction() as connection:
            first = _known(connection, one.name, now_ns, make=True)
            assert first is not None
            since, rhythm = first[0], one.rhythm(first[1])
            rhythm.require()
            period = due(rhythm, now_ns, since, _done(connection, one.name))
        if period is None:
            return None
        key = f"schedule/{one.name}/{period}"
        known = self._workflows.look(key)  # whoever submitted it may have died before `_mark`
        state = known or self._workflows.submit(one.kind, one.arguments, key=key, by="schedule")
        self._mark(one, period, now_ns)
        return None if known else state

    def _mark(self, one: Coming, period: int, now_ns: int) -> None:
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    insert(PERIODS).values(name=one.name, period=period, at_ns=now_ns, every_s=one.every)
                )
                count = connection.scalar(select(func.count()).where(PERIODS.c.name == one.name)) or 0
                if count > _KEPT:
                    oldest = (
                        select(PERIODS.c.period)
                        .where(PERIODS.c.name == one.name)
                        .order_by(PERIODS.c.at_ns)
                        .limit(count - _KEPT)
                    )
                    old = PERIODS.c.period.in_(oldest.scalar_subquery())
                    connection.execute(delete(PERIODS).where(PERIODS.c.name == one.name, old))
        except ConflictError:
            return  # another worker has marked it
