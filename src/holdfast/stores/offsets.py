"""Where a cloud may be asked to begin a listing so that no store's own idea of order leaves anything out."""

from __future__ import annotations

__all__ = ["safe_offset"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def safe_offset(folder: str, after: str) -> str | None:
    """A string at or before `after`, or None where only a listing of the whole `folder` (empty or with a slash at its
    end) is safe.

    SeaweedFS lists by folders: it takes `a` before `a.b` although `a/c` comes after it, and skips the folder that has
    the name of the offset. So the offset is made of letters and digits alone, which no such name comes in between, and
    ends so that whatever lies in a folder of exactly that name is not asked for anyway.
    """
    if not after.startswith(folder):
        return None
    name = after[len(folder) :].rstrip("0")
    if not name or not set(name) <= set(_ALPHABET):
        return None
    return f"{folder}{name[:-1]}{_ALPHABET[_ALPHABET.index(name[-1]) - 1]}z"
