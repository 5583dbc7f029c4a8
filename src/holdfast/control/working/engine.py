"""DBOS as this project uses it: JSON alone (its own default is pickle), warnings alone, our own engine.

Written against dbos 3.4. Rows of the database say how they are serialised, and DBOS would unpickle one that asks for
it: who can write to the database would run code in every worker. So its pickling is put out of order here, before
anything is read.
"""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn

from holdfast.errors import MissingExtraError, UnsupportedFormatError

if TYPE_CHECKING:
    from dbos import DBOSClient

    from holdfast.control.working.database import WorkDatabase

__all__ = ["APPLICATION", "VERSION", "open_client", "queue_name", "require_workers", "serializer"]

APPLICATION: Final = "holdfast"
VERSION: Final = "1"
"""Of what a workflow's steps are, in which order: work that another version began would not be gone on with."""
_SCHEMA: Final = "dbos"  # of PostgreSQL: DBOS's own default


def require_workers() -> None:
    """Raises MissingExtraError."""
    for name in ("dbos", "sqlalchemy"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"the queue of work needs {name}", hint="pip install 'holdfast[workers]'")


def queue_name(queue: str) -> str:
    """As DBOS knows it."""
    return f"holdfast-{queue}"


def serializer() -> Any:
    """JSON. Afterwards DBOS reads no pickle in this process any more."""
    from dbos import DBOSPortableJSONSerializer
    from dbos._serialization import DBOSDefaultSerializer

    def refuse(_serialised: str) -> NoReturn:
        raise TypeError("a pickled value lies in the queue of work, and is not read")

    DBOSDefaultSerializer.deserialize = refuse  # type: ignore[method-assign,assignment]
    return DBOSPortableJSONSerializer()


def open_client(database: WorkDatabase) -> DBOSClient:
    """Whoever submits and looks: its tables made, nothing run. Raises as `in_words` says."""
    quiet()
    from dbos import DBOSClient

    client = DBOSClient(
        system_database_engine=database.engine,
        serializer=serializer(),
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )
    with database.speaking():
        _require_known(database)
        client._sys_db.run_migrations()  # a client never does it by itself
    return client


def _require_known(database: WorkDatabase) -> None:
    """DBOS itself would work on tables of a version that it does not know. Raises UnsupportedFormatError."""
    from dbos._migration import get_dbos_migrations, sqlite_migrations
    from sqlalchemy import inspect, text

    schema = None if database.is_sqlite else _SCHEMA
    known = len(sqlite_migrations if database.is_sqlite else get_dbos_migrations(_SCHEMA, False, False))
    with database.transaction() as connection:
        if not inspect(connection).has_table("dbos_migrations", schema=schema):
            return
        table = "dbos_migrations" if schema is None else f"{schema}.dbos_migrations"
        version = connection.scalar(text(f"SELECT max(version) FROM {table}"))  # noqa: S608 - a name of our own
    if version is not None and int(version) > known:
        raise UnsupportedFormatError(
            f"the queue of work at {database.shown} was made by a newer DBOS (version {version} of its tables)",
            hint="update Holdfast here, too; or name another place with HOLDFAST_WORK_DB",
            object_name=database.shown,
        )


def quiet() -> None:
    """DBOS logs nothing by itself, unless a worker has set up where to (`logs.py`)."""
    log = logging.getLogger("dbos")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
        log.propagate = False
        log.setLevel(logging.WARNING)
