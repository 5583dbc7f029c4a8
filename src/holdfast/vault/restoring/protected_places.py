"""Places that a restore leaves alone: the store that it reads from, keys, and where the user lives and stands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import CredentialError, RefusedError, UsageError
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder

__all__ = ["absolute_target", "refuse_protected"]


class _Place(NamedTuple):
    what: str
    path: Path
    closed: bool  # nothing may be restored into it either


def absolute_target(target: Path) -> Path:
    """The target from the root on, without `..`. Raises UsageError for what can be no name of a file."""
    try:
        if b"\0" in os.fsencode(target):
            raise UsageError("the target's name holds a zero byte", hint="name another place")
    except UnicodeEncodeError as error:
        raise UsageError(
            "the target's name cannot be written in this system's encoding", hint="name another place"
        ) from error
    target = target.absolute()
    if target.name in ("", ".."):
        return Path(os.path.realpath(target))
    # As the kernel sees it: behind a link, `..` is not what it looks like.
    return Path(os.path.realpath(target.parent), target.name) if ".." in target.parts else target


def refuse_protected(
    target: Path, store_url: str, *, overwrite: bool, environment: Mapping[str, str] = os.environ
) -> None:
    """Raises RefusedError when writing `target` would change, or replacing it would lose, one of these places.

    `target` is absolute. Links are looked through on both sides, and what is named through a link counts as well.
    """
    targets = {target, Path(os.path.realpath(target.parent), target.name), Path(os.path.realpath(target))}
    if Path("/") in targets:
        raise _refusal(target, "is", _Place("the root of the file system", Path("/"), closed=True))
    for place in _places(store_url, environment):
        own = {Path(os.path.normpath(place.path.absolute())), Path(os.path.realpath(place.path))}
        if place.closed and any(path in (one, *one.parents) for one in targets for path in own):
            raise _refusal(target, "is" if targets & own else "lies in", place)
        if overwrite and any(one in (path, *path.parents) for one in targets for path in own):
            raise _refusal(target, "is" if targets & own else "holds", place)


def _places(store_url: str, environment: Mapping[str, str]) -> Iterator[_Place]:
    if store_url.startswith("/"):
        yield _Place("the vault's own store", Path(store_url), closed=True)
    with suppress(CredentialError):  # no HOME, no folder for keys
        yield _Place("the key folder", key_folder(environment), closed=True)
    named = environment.get(KEY_FILE_VARIABLE, "")
    if named:
        yield _Place("the key file", Path(named), closed=True)
    home = environment.get("HOME", "")
    if home.startswith("/"):
        yield _Place("the home folder", Path(home), closed=False)
    with suppress(OSError):  # it was removed
        yield _Place("the current folder", Path.cwd(), closed=False)


def _refusal(target: Path, how: str, place: _Place) -> RefusedError:
    there = "" if target == place.path else f", {place.path}"
    return RefusedError(
        f"{target} {how} {place.what}{there}",
        hint="restore to a new folder elsewhere, and move from there what you want",
        object_name=str(target),
    )
