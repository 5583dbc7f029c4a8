"""Our own tables beside those of DBOS: whose queue it is, which workers are there, what schedules have submitted.

They are made when a queue is first opened. `VERSION` counts their changes; a queue of a newer version is refused, and
one that cannot be used any more may be deleted: nothing of it is needed to go on with a run.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, String, Table, insert, select

from holdfast.control.working.database import WorkDatabase
from holdfast.errors import ConflictError, DamageError, RefusedError, UnsupportedFormatError

__all__ = ["PERIODS", "SCHEDULES", "WORKERS", "prepare_tables"]

VERSION: Final = 1

_META: Final = MetaData()
_INFO: Final = Table(
    "holdfast_work",
    _META,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("organisation", String(200), nullable=False),
)
WORKERS: Final = Table(
    "holdfast_workers",
    _META,
    Column("name", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("machine", String(200), nullable=False),  # this start of the machine, and whose pids these are
    Column("process", String(200), nullable=False),  # pid, and when it started
    Column("pid", Integer, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("beat_ns", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("leaving", Boolean, nullable=False),
)
SCHEDULES: Final = Table(
    "holdfast_schedules",
    _META,
    Column("name", String(300), primary_key=True),
    Column("since_ns", BigInteger, nullable=False),
    Column("seed", String(64), nullable=False),
)
PERIODS: Final = Table(
    "holdfast_schedule_periods",
    _META,
    Column("name", String(300), primary_key=True),
    Column("period", BigInteger, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("every_s", Double, nullable=False),
)


def prepare_tables(database: WorkDatabase, organisation: str) -> None:
    """Make what is not there. Raises RefusedError for another organisation's queue, UnsupportedFormatError, and as
    `in_words` says.
    """
    for _ in range(3):
        try:
            with database.speaking():
                _META.create_all(database.engine, checkfirst=True)
                with database.engine.begin() as connection:
                    found = connection.execute(select(_INFO.c.version, _INFO.c.organisation)).all()
                    if not found:
                        connection.execute(insert(_INFO).values(id=1, version=VERSION, organisation=organisation))
                        return
        except ConflictError:  # two that make them at the same moment: the second finds them
            continue
        break
    else:
        raise ConflictError(f"others make the tables of {database.shown} at this moment", object_name=database.shown)
    version, whose = found[0]
    if version > VERSION:
        raise UnsupportedFormatError(
            f"the queue of work at {database.shown} was made by a newer Holdfast (version {version} of its tables)",
            object_name=database.shown,
        )
    if len(found) > 1 or not whose:
        raise DamageError(f"the queue of work at {database.shown} does not say whose it is", object_name=database.shown)
    if whose != organisation:
        raise RefusedError(
            f"the queue of work at {database.shown} is of {whose!r}, and this is {organisation!r}",
            hint="name another place: each organisation has its own",
            object_name=database.shown,
        )
