"""Our own tables beside those of DBOS: whose queue it is, which workers are there, what schedules have submitted, how
receivers of webhooks are.

They are made when a queue is first opened. `VERSION` counts their changes: an older queue is brought up to date by
whoever opens it first, a newer one is refused before anything of it is touched. Alembic would bring no more than that:
each version so far adds tables, and a queue that cannot be used any more may be deleted, as nothing of it is needed to
go on with a run.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    update,
)

from holdfast.control.working.database import WorkDatabase
from holdfast.errors import ConflictError, DamageError, RefusedError, UnsupportedFormatError

__all__ = ["HOOKS", "LOOKS", "PERIODS", "SCHEDULES", "WORKERS", "prepare_tables"]

VERSION: Final = 2

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
HOOKS: Final = Table(
    "holdfast_hooks",
    _META,
    Column("name", String(200), primary_key=True),
    Column("since_ns", BigInteger, nullable=False),  # what happened before is not told
    Column("delivered", BigInteger, nullable=False),
    Column("delivered_ns", BigInteger, nullable=False),
    Column("given_up", BigInteger, nullable=False),
    Column("failing_since_ns", BigInteger, nullable=False),  # 0: the last attempt got through
    Column("problem", String(400), nullable=False),
)
LOOKS: Final = Table(
    "holdfast_hook_looks",
    _META,
    Column("id", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),  # when somebody last looked for events
)
_ADDED: Final = {2: (HOOKS, LOOKS)}
"""Version → the tables that it added."""


def prepare_tables(database: WorkDatabase, organisation: str) -> None:
    """Make what is not there. Raises RefusedError for another organisation's queue, UnsupportedFormatError, and as
    `in_words` says.
    """
    for _ in range(3):
        try:
            with database.transaction() as connection:
                if database.is_sqlite:  # Python's own module begins a transaction only before rows are written
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                return _prepare(database, connection, organisation)
        except ConflictError:  # two that make them at the same moment: the second finds them
            continue
    raise ConflictError(f"others make the tables of {database.shown} at this moment", object_name=database.shown)


def _prepare(database: WorkDatabase, connection: Connection, organisation: str) -> None:
    if not inspect(connection).has_table(_INFO.name):
        _META.create_all(connection)
        connection.execute(insert(_INFO).values(id=1, version=VERSION, organisation=organisation))
        return
    found = connection.execute(select(_INFO.c.version, _INFO.c.organisation).with_for_update()).all()
    if not found:  # an earlier version may have died between making them and saying whose they are
        _META.create_all(connection, checkfirst=True)
        connection.execute(insert(_INFO).values(id=1, version=VERSION, organisation=organisation))
        return
    version, whose = found[0]
    if version > VERSION:
        raise UnsupportedFormatError(
            f"the queue of work at {database.shown} was made by a newer Holdfast (version {version} of its tables)",
            hint="update Holdfast here, too; or name another place with HOLDFAST_WORK_DB",
            object_name=database.shown,
        )
    if len(found) > 1 or not whose or version < 1:
        raise DamageError(f"the queue of work at {database.shown} does not say whose it is", object_name=database.shown)
    if whose != organisation:
        raise RefusedError(
            f"the queue of work at {database.shown} is of {whose!r}, and this is {organisation!r}",
            hint="name another place: each organisation has its own",
            object_name=database.shown,
        )
    for later in range(version + 1, VERSION + 1):
        _META.create_all(connection, tables=_ADDED[later])
        connection.execute(update(_INFO).values(version=later))
