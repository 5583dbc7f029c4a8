"""Which names an object may have, on every kind of store alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.errors import UsageError

__all__ = ["KEY_LENGTH_MAX", "SEGMENT_LENGTH_MAX", "is_key", "is_segment", "check_key", "folders_of"]

# File systems allow 255 bytes in a name, S3 and Azure 1,024 in a whole key; the rest is left to the prefix in the URL.
KEY_LENGTH_MAX = 512
SEGMENT_LENGTH_MAX = 200

# Azure drops a dot at the end of a segment, so no segment ends with one; that also rules out `.` and `..`.
_SEGMENT = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]")


def is_segment(name: str) -> bool:
    """Whether `name` may stand between two slashes of a key."""
    return len(name) <= SEGMENT_LENGTH_MAX and _SEGMENT.fullmatch(name) is not None


def is_key(text: str) -> bool:
    """Whether `text` may name an object."""
    return len(text) <= KEY_LENGTH_MAX and all(map(is_segment, text.split("/")))


def check_key(key: str) -> None:
    """Raise UsageError unless `key` may name an object."""
    if not is_key(key):
        raise UsageError(
            f"{key[:80]!r} cannot name an object of a store",
            hint=(
                f"keys are at most {KEY_LENGTH_MAX} letters, digits, `-`, `_`, `.` and `/`; no segment is empty, "
                f"ends with a dot or is longer than {SEGMENT_LENGTH_MAX}"
            ),
            object_name=key[:KEY_LENGTH_MAX],
        )


def folders_of(keys: Iterable[str], prefix: str) -> list[str]:
    """The folders directly below `prefix`, which all the keys begin with, in order and each with its slash."""
    if prefix and not prefix.endswith("/"):
        return []
    ends = ((key, key.find("/", len(prefix))) for key in keys)
    return sorted({key[: end + 1] for key, end in ends if end >= 0})
