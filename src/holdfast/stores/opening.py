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

import re
import threading
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import UsageError
from holdfast.stores.keys import is_key
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store

__all__ = ["open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_FORMS = "a folder, file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_CLOUDS = ("s3", "gs", "az")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")

_memories: dict[str, MemoryStore] = {}
_memories_lock = threading.Lock()


def open_store(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    note: Callable[[str], None] | None = None,
) -> Store:
    """The store at `url`; nothing is read or written yet.

    `options` are obstore's configuration keys for that cloud (`endpoint`, `region`, `allow_http`, …; see
    `holdfast.stores.cloud_options`), except those that hold secrets. `note` is told of each retry, one line each.
    Raises UsageError, whose message never repeats a URL that may hold a password.
    """
    given = dict(options or {})
    if not url:
        raise UsageError("the URL of a store is empty", hint=f"write {_FORMS}")
    match = _SCHEME.fullmatch(url)
    if match is None:
        return _open_folder(url, given)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return _open_folder(_folder_of(rest), given)
    _refuse_secrets(scheme, rest)
    if scheme == "memory":
        return _open_memory(rest, given, clock)
    if scheme in _CLOUDS:
        return _open_cloud(scheme, rest, given, clock, note)
    raise UsageError(f"there are no stores of the kind {scheme}://", hint=f"write {_FORMS}")


def _open_folder(path: str, options: Mapping[str, str]) -> Store:
    for cloud in (*_CLOUDS, "memory", "file"):
        if path.startswith(f"{cloud}:"):
            raise UsageError(f"a store's URL begins with {cloud}:, not with {cloud}://", hint=f"write {_FORMS}")
    if "\0" in path:
        raise UsageError("the path of a store holds a zero byte")
    _refuse_options("folder", options)
    return LocalStore(path)


def _folder_of(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError("a file:// URL needs an absolute path on this machine", hint="write file:///folder")
    return unquote(slash + path)


def _open_memory(name: str, options: Mapping[str, str], clock: Clock) -> Store:
    _refuse_options("memory store", options)
    if not _NAME.fullmatch(name):
        raise UsageError("a memory store needs a name of letters, digits, `-`, `_` and `.`", hint="write memory://name")
    with _memories_lock:
        return _memories.setdefault(name, MemoryStore(clock, name=name))


def _open_cloud(
    scheme: str, rest: str, options: Mapping[str, str], clock: Clock, note: Callable[[str], None] | None
) -> Store:
    container, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if not _CONTAINER.fullmatch(container):
        raise UsageError(f"a {scheme}:// URL names no bucket or container", hint=f"write {_FORMS}")
    if prefix and not is_key(prefix):
        raise UsageError(
            f"the prefix in {scheme}://{container}/… cannot begin the name of an object",
            hint="use letters, digits, `-`, `_`, `.` and single slashes",
        )
    # obstore takes 20 ms and much memory to load: only those who use a cloud pay for it.
    from holdfast.stores.cloud import connect
    from holdfast.stores.retrying import RetryingStore

    return RetryingStore(connect(scheme, container, prefix, options), clock=clock, note=note)


def _refuse_options(kind: str, options: Mapping[str, str]) -> None:
    if options:
        raise UsageError(f"a {kind} has no option {min(options)!r}", hint="remove the options")


def _refuse_secrets(scheme: str, rest: str) -> None:
    place = rest.partition("/")[0]
    if "@" in place or ":" in place or "?" in rest or "#" in rest:
        raise UsageError(
            f"the {scheme}:// URL holds a user, a password, a port or parameters, which it may not",
            hint="credentials come from the environment of the cloud's own tools, an endpoint from the options",
        )
