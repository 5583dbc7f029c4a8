"""The tables of a server's own file, and how a file of an earlier version becomes one of this version.

`PRAGMA user_version` says which version a file has. Alembic, as the catalog has it, would need SQLAlchemy over four
tables that nothing else joins; a step here is a function in a list, done in one transaction by whoever opens the file
first. A file of a newer version is refused and left as it is. Columns are only added, with defaults, so that the
version before can still be started on the file; it does not see claims, and two servers of it may do one request twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from holdfast.errors import UnsupportedFormatError

__all__ = ["VERSION", "prepare", "require_known"]

VERSION: Final = 2
_SESSIONS: Final = """CREATE TABLE {new} sessions (digest BLOB PRIMARY KEY, csrf TEXT NOT NULL, who BLOB NOT NULL,
  begun INTEGER NOT NULL, seen INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID"""
_TOKENS: Final = """CREATE TABLE {new} tokens (digest BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
  who BLOB NOT NULL, scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID"""
_DEVICES: Final = """CREATE TABLE {new} devices (digest BLOB PRIMARY KEY, code TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL, scopes TEXT, begun INTEGER NOT NULL, until INTEGER NOT NULL, polled INTEGER NOT NULL,
  answer TEXT NOT NULL, who BLOB) WITHOUT ROWID"""
_ANSWERS: Final = """CREATE TABLE {new} answers (key BLOB PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL,
  memo BLOB, status INTEGER, headers BLOB, content BLOB) WITHOUT ROWID"""


def _first(database: sqlite3.Connection) -> None:
    for table in (_SESSIONS, _TOKENS, _DEVICES, _ANSWERS):
        database.execute(table.format(new="IF NOT EXISTS")).close()


def _claims(database: sqlite3.Connection) -> None:
    """Who does a request at this moment: `claim` is drawn for each attempt, `process` names who made it, and until
    `lease` (ns) it counts without a word from there.
    """
    there = {row[1] for row in database.execute("PRAGMA table_info(answers)").fetchall()}
    for column, kind in (("claim", "TEXT"), ("process", "TEXT"), ("lease", "INTEGER")):
        if column not in there:  # an earlier version was started on the file since, and says that it is its own
            empty = "''" if kind == "TEXT" else "0"
            database.execute(f"ALTER TABLE answers ADD COLUMN {column} {kind} NOT NULL DEFAULT {empty}").close()


_STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_first, _claims)


def require_known(database: sqlite3.Connection, shown: str) -> int:
    """The version of its tables. Raises UnsupportedFormatError, sqlite3.Error. Nothing is changed."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise UnsupportedFormatError(
            f"{shown} was made by a newer Holdfast (version {version} of its tables)",
            hint="update Holdfast here, too; or move the file away: people sign in anew then",
            object_name=shown,
        )
    return int(version)


def prepare(database: sqlite3.Connection, shown: str) -> None:
    """Make the tables, or bring them up to date: all of it or nothing. Raises UnsupportedFormatError, sqlite3.Error."""
    database.execute("BEGIN IMMEDIATE").close()
    try:
        version = require_known(database, shown)
        for step in _STEPS[version:]:
            step(database)
        database.execute(f"PRAGMA user_version = {VERSION}").close()
        database.execute("COMMIT").close()
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK").close()
        raise
