"""Nothing is signed on top of a log that was put back: a store could else have the log's own key sign a fork."""

from __future__ import annotations

from pathlib import Path

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.reading import LogReader
from holdfast.audit.writing import LogWriter
from holdfast.errors import DamageError, ObjectNotFoundError

__all__ = ["require_continued"]


def require_continued(seen: Checkpoint, reader: LogReader, writer: LogWriter, memory: Path) -> None:
    """That the log, as it is now, goes on from `seen`, which this machine saw before. Raises DamageError.

    `memory`: the file that says what was seen, for who put the log back on purpose.
    """
    hint = (
        "`holdfast audit verify`; get the log back from another site, and keep this one as evidence. "
        f"If it was put back on purpose (`lock recover`), delete {memory}"
    )
    newest = reader.newest()
    newest = reader.followed(newest) if newest is not None else None
    if newest is None or newest.checkpoint.size < seen.size:
        raise DamageError(
            f"this machine saw {seen.size} entries of the log {reader.origin}, and now there are "
            f"{newest.checkpoint.size if newest is not None else 0}: nothing is signed on top of that",
            hint=hint,
            object_name=reader.store.url,
        )
    try:
        reader.check_extends(seen, newest.checkpoint)
    except (ObjectNotFoundError, DamageError):
        writer.heads()  # completes the tiles that a writer who died has not written
        try:
            reader.check_extends(seen, newest.checkpoint)
        except DamageError as error:
            raise DamageError(error.message, hint=hint, object_name=reader.store.url) from error
