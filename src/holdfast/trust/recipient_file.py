"""Recipient files: the public half of a recipient's key, as text that may be sent by any way.

A keeper lets the recipient in by it; nobody opens anything with it. What it does need is to arrive unchanged: whoever
swaps the file on its way becomes the recipient. Its id is short enough to be compared by telephone.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from holdfast.errors import (
    DamageError,
    FailedError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
    UnsupportedFormatError,
)
from holdfast.trust.credentials import is_label
from holdfast.trust.recipients import recipient_id
from holdfast.trust.sealing import sealing_suite

__all__ = [
    "RecipientFile",
    "encode_recipient_file",
    "decode_recipient_file",
    "read_recipient_file",
    "write_recipient_file",
]

_VERSION = 1
_SIZE_MAX = 16 << 10  # bytes; one has about two thousand
_VAULT_ID = re.compile(r"[0-9a-f]{32}")


class RecipientFile(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing in it is secret. `public`: 1216 or 1665 bytes; `id`: what `recipient_id` makes of it."""

    holdfast_recipient: int = _VERSION
    vault: str
    label: str
    id: str
    public: bytes


class _Version(msgspec.Struct):
    holdfast_recipient: int


def encode_recipient_file(vault_id: str, label: str, public: bytes) -> bytes:
    """The file's text, UTF-8. Raises DamageError for a public key of a length that no suite has."""
    sealing_suite(public)
    record = RecipientFile(vault=vault_id, label=label, id=recipient_id(public), public=public)
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def decode_recipient_file(text: bytes, name: str) -> RecipientFile:
    """The recipient in a file's text; `name` is for messages. Raises DamageError, UnsupportedFormatError."""
    try:
        if msgspec.json.decode(text, type=_Version).holdfast_recipient > _VERSION:
            raise UnsupportedFormatError(f"{name} was written by a newer version of holdfast", object_name=name)
        record = msgspec.json.decode(text, type=RecipientFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamageError(
            f"{name} is not a holdfast recipient file", hint="make one with `holdfast key create`", object_name=name
        ) from error
    sealing_suite(record.public)
    if (
        record.holdfast_recipient != _VERSION
        or not _VAULT_ID.fullmatch(record.vault)
        or not record.label
        or not is_label(record.label)
        or record.id != recipient_id(record.public)
    ):
        raise DamageError(
            f"{name} contradicts itself: it was damaged or altered", hint="ask for it again", object_name=name
        )
    return record


def read_recipient_file(path: Path) -> RecipientFile:
    """Raises NotFoundError, PermissionDeniedError, and what `decode_recipient_file` raises."""
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_MAX)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(f"there is no recipient file {path}", object_name=str(path)) from error
    except OSError as error:
        raise PermissionDeniedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
    return decode_recipient_file(text, str(path))


def write_recipient_file(path: Path, text: bytes) -> None:
    """A new file. Raises RefusedError when the name is taken, FailedError when it cannot be written."""
    made = False
    try:
        with path.open("xb") as file:
            made = True
            file.write(text)
    except FileExistsError as error:
        raise RefusedError(
            f"{path} exists, and is not overwritten", hint="name another", object_name=str(path)
        ) from error
    except OSError as error:
        if made:  # half a file would be in the way
            path.unlink(missing_ok=True)
        raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
