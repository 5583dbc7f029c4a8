"""From a sealed chunk to its plaintext: opened, decoded, and compared with its id."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.ids import ChunkId
from holdfast.vault.codecs import decode
from holdfast.vault.format.names import Names, pack_key
from holdfast.vault.restoring.fetching import Sealed

__all__ = ["decode_sealed"]


def decode_sealed(names: Names, sealed: Sealed, bases: Mapping[ChunkId, bytes | bytearray]) -> bytes | bytearray:
    """The chunk's plaintext in memory of its own. `bases` holds that of its base, if it is a delta.

    Raises DamageError naming the pack, WrongKeyError.
    """
    chunk, located = sealed.chunk, sealed.located
    payload = sealed.opener.open_blob(located.place.number, chunk, sealed.data)
    name, place = pack_key(located.pack), located.place
    base = bases[place.base] if place.base else None
    try:
        if base is not None and len(base) != place.raw:
            raise DamageError("the base of a delta has another length")
        data = decode(place.codec, place.element, payload, place.raw, base)
    except UnsupportedFormatError as error:
        raise UnsupportedFormatError(f"{name}, blob {place.number}: {error.message}", object_name=name) from error
    except DamageError as error:
        raise DamageError(f"{name} is damaged: blob {place.number} ({error.message})", object_name=name) from error
    if names.chunk_id(data) != chunk:
        raise DamageError(f"{name} is damaged: blob {place.number} does not hash to its chunk id", object_name=name)
    return data
