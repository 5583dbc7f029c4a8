"""What lies on disk where a framework expects a checkpoint: a short file that says which save is meant.

A token made when the save was asked for, as a snapshot's id is known only later; the snapshot has it in its metadata.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import DamageError, NotFoundError

__all__ = ["Pointer", "POINTER_BYTES_MAX", "new_save", "parse_pointer", "read_pointer", "write_pointer"]

POINTER_BYTES_MAX = 4096
_FORMAT = 1


class Pointer(msgspec.Struct, frozen=True, rename={"format": "holdfast-pointer"}):
    """One JSON object. `save`: 32 hex digits."""

    asset: str
    step: int
    save: str
    format: int = _FORMAT


def new_save() -> str:
    """A token for one save."""
    return secrets.token_hex(16)


def write_pointer(path: Path, pointer: Pointer) -> None:
    """In place of the old one at once: a crash leaves one or the other. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, msgspec.json.encode(pointer) + b"\n", synced=False)  # the loop waits for no disk


def read_pointer(path: Path) -> Pointer | None:
    """None for a file that is something else. Raises NotFoundError, DamageError (it begins like one)."""
    try:
        with path.open("rb") as file:
            data = file.read(POINTER_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no checkpoint {path}",
            hint="`newest()` loads from the vault without any file",
            object_name=str(path),
        ) from error
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
    return parse_pointer(data, str(path))


def parse_pointer(data: bytes, name: str) -> Pointer | None:
    """The same from the first bytes of a file. Checkpoints begin with a byte of ZIP or of a pickle, never with `{`."""
    if not data.startswith(b"{"):
        return None
    try:
        pointer = msgspec.json.decode(data, type=Pointer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(f"{name} is no pointer to a snapshot, nor a checkpoint", object_name=name) from error
    if pointer.format != _FORMAT or len(data) > POINTER_BYTES_MAX:
        raise DamageError(f"{name} is a pointer that this version does not know", object_name=name)
    return pointer
