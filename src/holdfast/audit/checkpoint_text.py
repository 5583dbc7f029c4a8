"""The text of a checkpoint (C2SP tlog-checkpoint): origin, size and root of a log, a line each."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from holdfast.audit.merkle import EMPTY_ROOT, HASH_SIZE
from holdfast.errors import DamageError

__all__ = ["SIZE_MAX", "Checkpoint", "parse_checkpoint_text", "parse_decimal", "parse_hash"]

SIZE_MAX = (1 << 63) - 1
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """A log at one moment. `extensions`: further lines, about which nothing is known; we write none."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint_text(text: str, name: str) -> Checkpoint:
    """Raises DamageError; `name` is for its message."""
    if not text.endswith("\n"):
        raise _malformed(name)
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise _malformed(name)
    size, root = parse_decimal(lines[1]), parse_hash(lines[2])
    if size is None or root is None or (size == 0 and root != EMPTY_ROOT):
        raise _malformed(name)
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))


def parse_decimal(text: str) -> int | None:
    """A number below 2**63 without leading zeros, or None."""
    value = int(text) if _DECIMAL.fullmatch(text) and text.isascii() else SIZE_MAX + 1
    return value if value <= SIZE_MAX else None


def parse_hash(text: str) -> bytes | None:
    """32 bytes in base 64, or None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == HASH_SIZE and base64.b64encode(data).decode() == text else None


def _malformed(name: str) -> DamageError:
    return DamageError(f"{name} is not a checkpoint of a log", object_name=name)
