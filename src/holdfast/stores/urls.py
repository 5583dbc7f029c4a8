"""Which store a URL means, before anything is opened.

====================================  =============================================================
`/a/folder`, `file:///a/folder`       a folder
`memory://name`                       memory of this process
`s3://bucket/prefix`                  Amazon S3 and everything that speaks its protocol
`gs://bucket/prefix`                  Google Cloud Storage
`az://container/prefix`               Azure Blob Storage
====================================  =============================================================
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from holdfast.errors import UsageError
from holdfast.stores.keys import is_key

__all__ = ["StoreUrl", "parse_store_url", "CLOUDS", "FOLDER", "MEMORY", "FORMS"]

CLOUDS: Final = ("s3", "gs", "az")
FOLDER: Final = "folder"
MEMORY: Final = "memory"
FORMS: Final = (
    "a folder, file:///folder, memory://name, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class StoreUrl(NamedTuple):
    """`kind`: one of `CLOUDS`, `FOLDER`, `MEMORY`. `place`: the bucket or container, the folder, the name."""

    kind: str
    place: str
    prefix: str = ""


def parse_store_url(url: str) -> StoreUrl:
    """Raises UsageError, whose message never repeats a URL that may hold a password."""
    if not url:
        raise UsageError("the URL of a store is empty", hint=f"write {FORMS}")
    match = _SCHEME.fullmatch(url)
    if match is None:
        return _folder(url)
    scheme, rest = match[1].lower(), match[2]
    if scheme == "file":
        return _folder(_folder_of(rest))
    _refuse_secrets(scheme, rest)
    if scheme == "memory":
        if not _NAME.fullmatch(rest):
            hint = "write memory://name"
            raise UsageError("a memory store needs a name of letters, digits, `-`, `_` and `.`", hint=hint)
        return StoreUrl(MEMORY, rest)
    if scheme in CLOUDS:
        return _cloud(scheme, rest)
    raise UsageError(f"there are no stores of the kind {scheme}://", hint=f"write {FORMS}")


def _folder(path: str) -> StoreUrl:
    for scheme in (*CLOUDS, "memory", "file"):
        if path.startswith(f"{scheme}:"):
            raise UsageError(f"a store's URL begins with {scheme}:, not with {scheme}://", hint=f"write {FORMS}")
    if "\0" in path:
        raise UsageError("the path of a store holds a zero byte")
    return StoreUrl(FOLDER, path)


def _folder_of(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError("a file:// URL needs an absolute path on this machine", hint="write file:///folder")
    return unquote(slash + path)


def _cloud(scheme: str, rest: str) -> StoreUrl:
    container, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if not _CONTAINER.fullmatch(container):
        raise UsageError(f"a {scheme}:// URL names no bucket or container", hint=f"write {FORMS}")
    if prefix and not is_key(prefix):
        raise UsageError(
            f"the prefix in {scheme}://{container}/… cannot begin the name of an object",
            hint="use letters, digits, `-`, `_`, `.` and single slashes",
        )
    return StoreUrl(scheme, container, prefix)


def _refuse_secrets(scheme: str, rest: str) -> None:
    place = rest.partition("/")[0]
    if "@" in place or ":" in place or "?" in rest or "#" in rest:
        raise UsageError(
            f"the {scheme}:// URL holds a user, a password, a port or parameters, which it may not",
            hint="credentials come from the environment of the cloud's own tools, an endpoint from the options",
        )
