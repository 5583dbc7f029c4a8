"""Symbolic links whose target is not in the snapshot: restored elsewhere, they would lead to nothing, or astray."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from holdfast.vault.format.records import Entry, Finding

__all__ = ["examine_links"]

_FOLLOWED_MAX = 40  # as many as Linux follows


def examine_links(entries: Iterable[Entry]) -> Iterator[Finding]:
    """A finding for each link that a restored snapshot could not follow. `entries`: all of the snapshot."""
    targets: dict[bytes, bytes] = {}
    known: set[bytes] = set()
    for entry in entries:
        known.add(entry.path)
        if entry.type == "link":
            targets[entry.path] = entry.target
    for path, target in targets.items():
        problem = _problem(path, targets, known)
        if problem:
            yield Finding("outside-link", _shown(path), f"the link to {_shown(target)!r} {problem}")


def _problem(path: bytes, targets: dict[bytes, bytes], known: set[bytes]) -> str:
    at = path.split(b"/")[:-1]
    left = [path.rpartition(b"/")[2]]  # names still to be walked, the next one last
    followed = 0
    while left:
        name = left.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            if not at:
                return "leads out of what is saved"
            at.pop()
            continue
        here = b"/".join([*at, name])
        if here not in targets:
            at.append(name)
            if here not in known:
                return "leads to nothing that is saved"
            continue
        followed += 1
        if followed > _FOLLOWED_MAX:
            return "leads in circles"
        if targets[here].startswith(b"/"):
            return "leads out of what is saved"
        left.extend(reversed(targets[here].split(b"/")))
    return ""


def _shown(path: bytes) -> str:
    return os.fsdecode(path).encode("utf-8", "replace").decode()
