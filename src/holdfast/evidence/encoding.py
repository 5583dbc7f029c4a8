"""The bytes of a record: written so that equal records are equal, read without believing them."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from holdfast.errors import DamageError, UnsupportedFormatError, UsageError
from holdfast.evidence.record import READ_VERSIONS, Evidence

__all__ = ["ASK_AGAIN", "decode_json", "decode_record", "encode_record", "require_version", "tidy"]

ASK_AGAIN = "get the evidence again from whoever ran it, or from another copy"
_WHOLE_MAX = (1 << 63) - 1

_T = TypeVar("_T")


class _Versioned(msgspec.Struct):
    schema_version: int


# Made here, once: two threads that decode a type for the first time at the same moment crash msgspec 0.22.
_RECORD: Final = msgspec.json.Decoder(Evidence)
_VERSION: Final = msgspec.json.Decoder(_Versioned)
_ANYTHING: Final = msgspec.json.Decoder(dict[str, object])


def tidy(value: object) -> bytes:
    """JSON that a person can read, the same for equal values."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def encode_record(record: Evidence) -> bytes:
    """The bytes of `evidence.json`: equal records give equal bytes. Raises UsageError for figures JSON cannot hold."""
    content = tidy(record)
    try:
        same = _RECORD.decode(content) == record
    except msgspec.MsgspecError:
        same = False
    if not same:
        raise UsageError("the record holds a figure that JSON cannot (infinite or not a number)")
    return content


def decode_record(content: bytes, name: str) -> Evidence:
    """The record in these bytes; `name` is for messages. Raises DamageError, UnsupportedFormatError."""
    require_version(content, name)
    record = decode_json(content, _RECORD, name)
    if not _are_figures(decode_json(content, _ANYTHING, name)):
        raise DamageError(f"{name} holds a number that no run can have", hint=ASK_AGAIN, object_name=name)
    return record


def require_version(content: bytes, name: str, versions: tuple[int, ...] = READ_VERSIONS) -> int:
    """The `schema_version` of a file. Raises UnsupportedFormatError for one that is not among `versions`."""
    version = decode_json(content, _VERSION, name).schema_version
    if version not in versions:
        raise UnsupportedFormatError(f"{name} has version {version} of the evidence format", object_name=name)
    return version


def decode_json(content: bytes, decoder: msgspec.json.Decoder[_T], name: str) -> _T:
    """`decoder`: made when its module is imported, and not by whoever comes first. Raises DamageError."""
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, UsageError, RecursionError) as error:
        raise DamageError(
            f"{name} is not evidence of this format: {error}", hint=ASK_AGAIN, object_name=name
        ) from error


def _are_figures(value: object) -> bool:
    """Whether all whole numbers have at most 64 bits: with larger ones no arithmetic of floats is possible."""
    if isinstance(value, dict):
        return all(map(_are_figures, value.values()))
    if isinstance(value, list):
        return all(map(_are_figures, value))
    return not isinstance(value, int) or abs(value) <= _WHOLE_MAX
