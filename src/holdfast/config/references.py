"""Secrets, fetched from where a reference says when they are used. They never stand in errors, logs or `repr`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.config.model import Config
from holdfast.config.words import Reference
from holdfast.errors import CredentialError

__all__ = ["Secret", "resolve", "variables_of"]

_BYTES_MAX: Final = 64 << 10


class Secret:
    """A text that shows itself only to whoever calls `reveal`."""

    __slots__ = ("_reference", "_text")

    def __init__(self, text: str, reference: Reference) -> None:
        self._text = text
        self._reference = reference

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __repr__(self) -> str:
        return f"<secret of {self._reference}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise CredentialError(f"the secret of {self._reference} is never pickled or copied")


def resolve(reference: Reference, folder: Path, environment: Mapping[str, str] = os.environ) -> Secret:
    """What a reference means now. `folder`: from which relative paths count (`LoadedConfig.folder`).

    A file may end with one line break, which does not count, and nobody else may read it or write to it. Raises
    CredentialError.
    """
    if reference.kind == "environment":
        text = environment.get(reference.name, "")
        if not text:
            raise CredentialError(f"{reference} is not set, or empty", hint=f"set the variable {reference.name}")
    else:
        text = _read(reference, folder / reference.name)
    if not text.isprintable():
        raise CredentialError(f"what {reference} holds is no single line of text that can be printed")
    return Secret(text, reference)


def variables_of(config: Config) -> frozenset[str]:
    """The variables of the environment that hold secrets: all that the file refers to."""
    found: set[str] = set()
    waiting: list[Any] = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Reference):
            found |= {one.name} if one.kind == "environment" else set()
        elif isinstance(one, msgspec.Struct):
            waiting += [getattr(one, name) for name in one.__struct_fields__]
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, tuple | list):
            waiting += one
    return frozenset(found)


def _read(reference: Reference, path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no file"
        raise CredentialError(f"{reference} cannot be read: {why}", object_name=str(path)) from error
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise CredentialError(
            f"{reference}: others may read the file, or write to it", hint=f"chmod 600 {path}", object_name=str(path)
        )
    if len(data) > _BYTES_MAX:
        raise CredentialError(f"{reference} has more than {_BYTES_MAX >> 10} KiB, which no secret needs")
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:  # the error itself would hold a part of it
        raise CredentialError(f"{reference} holds no text in UTF-8", object_name=str(path)) from None
    if not text:
        raise CredentialError(f"{reference} is empty", object_name=str(path))
    return text
