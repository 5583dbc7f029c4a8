"""From a URL to a store. Credentials never come from here: each cloud's own environment variables and files hold them.

====================================  =============================================================
`/a/folder`, `file:///a/folder`       `LocalStore`
`memory://name`                       one `MemoryStore` of that name per process
`s3://bucket/prefix`                  Amazon S3 and everything that speaks its protocol (`endpoint=`)
`gs://bucket/prefix`                  Google Cloud Storage
`az://container/prefix`               Azure Blob Storage (`account_name=`)
====================================  =============================================================
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.stores.urls import FOLDER, MEMORY, parse_store_url

__all__ = ["open_store"]

_memories: dict[str, MemoryStore] = {}
_memories_lock = threading.Lock()


def open_store(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    note: Callable[[str], None] | None = None,
) -> Store:
    """The store at `url`; nothing is read or written yet.

    `options` are obstore's configuration keys for that cloud (`endpoint`, `region`, `allow_http`, …; see
    `holdfast.stores.cloud_options`), except those that hold secrets. Those may be in `credentials`, in place of what
    the environment says: so each of several sites can have its own. `note` is told of each retry, one line each. Raises
    UsageError, whose message never repeats a secret, nor a URL that may hold a password.
    """
    given = dict(options or {})
    parsed = parse_store_url(url)
    if parsed.kind == FOLDER:
        _refuse_options("folder", given)
        return LocalStore(parsed.place)
    if parsed.kind == MEMORY:
        _refuse_options("memory store", given)
        with _memories_lock:
            return _memories.setdefault(parsed.place, MemoryStore(clock, name=parsed.place))
    # obstore takes 20 ms and much memory to load: only those who use a cloud pay for it.
    from holdfast.stores.cloud import connect
    from holdfast.stores.retrying import RetryingStore

    cloud = connect(parsed.kind, parsed.place, parsed.prefix, given, credentials or {})
    return RetryingStore(cloud, clock=clock, note=note)


def _refuse_options(kind: str, options: Mapping[str, str]) -> None:
    if options:
        raise UsageError(f"a {kind} has no option {min(options)!r}", hint="remove the options")
