"""Checking stored bytes without any key: by their name or by the checksum at their end."""

from __future__ import annotations

from blake3 import blake3

from holdfast.errors import DamageError
from holdfast.vault.format.header import HEADER_BYTES, Header
from holdfast.vault.format.names import INDEX, PACKS

__all__ = ["scrub_object"]

_CHECKSUM_BYTES = 32


def scrub_object(key: str, data: bytes) -> None:
    """Raises DamageError unless the bytes are what was once written under this key (or under another one: the keys
    tell).
    """
    Header.parse(data, key)
    if key.startswith((PACKS, INDEX)):
        if blake3(data).hexdigest() != key.rsplit("/", 1)[-1]:
            raise DamageError(f"{key} is damaged: its bytes do not hash to its name", object_name=key)
    elif (
        len(data) < HEADER_BYTES + _CHECKSUM_BYTES
        or blake3(data[:-_CHECKSUM_BYTES]).digest() != data[-_CHECKSUM_BYTES:]
    ):
        raise DamageError(f"{key} is damaged: its checksum does not match", object_name=key)
