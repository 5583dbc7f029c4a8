"""Inputs from inputs: bits, numbers, stretches, tokens, and halves of two inputs put together."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["mutated"]

_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4096, 32767, 65535, 65536, 1 << 20)
_LARGE = ((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_ENDS = 64  # bytes at either end, where most structure is


def mutated(chance: random.Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], most: int) -> bytes:
    """`data`, changed in one to eight places; at most `most` bytes. The same `chance` gives the same bytes."""
    changed = bytearray(data)
    for _ in range(1 << chance.randrange(4)):
        _change(chance, changed, others, tokens)
    return bytes(changed[:most])


def _change(chance: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    place = _place(chance, len(data))
    match chance.randrange(12):
        case 0 | 1 if data:
            data[place] ^= 1 << chance.randrange(8)
        case 2 if data:
            data[place] = chance.randrange(256)
        case 3 | 4:
            number = _packed(chance)
            data[place : place + chance.choice((0, len(number), len(number), len(number)))] = number
        case 5 if data:
            _count(chance, data, place)
        case 6:
            del data[place:]
        case 7:
            del data[place : place + 1 + chance.randrange(1 + min(256, len(data)))]
        case 8:
            piece = data[place : place + 1 + chance.randrange(64)]
            data[place:place] = piece * chance.choice((1, 1, 2, 16, 100))
        case 9 if tokens:
            token = chance.choice(tokens)
            data[place : place + chance.choice((0, len(token)))] = token
        case 10 if others:
            other = chance.choice(others)
            data[place:] = other[_place(chance, len(other)) :]
        case 11 if others:
            other = chance.choice(others)
            start = _place(chance, len(other))
            data[place:place] = other[start : start + 1 + chance.randrange(128)]
        case _:
            data[place:place] = chance.randbytes(1 + chance.randrange(8))


def _place(chance: random.Random, size: int) -> int:
    if not size:
        return 0
    match chance.randrange(4):
        case 0:
            return chance.randrange(min(size, _ENDS))
        case 1:
            return size - 1 - chance.randrange(min(size, _ENDS))
        case _:
            return chance.randrange(size)


def _packed(chance: random.Random) -> bytes:
    width = chance.choice((1, 2, 4, 8))
    value = chance.choice(_NUMBERS + _LARGE) & ((1 << 8 * width) - 1)
    return value.to_bytes(width, chance.choice(("little", "big")))


def _count(chance: random.Random, data: bytearray, place: int) -> None:
    """A number that stands there becomes a little more or less: what a length that is off by one is."""
    width, order = chance.choice((1, 2, 4, 8)), chance.choice(("little", "big"))
    field = data[place : place + width]
    value = int.from_bytes(field, order) + chance.choice((-16, -4, -2, -1, 1, 2, 4, 16))
    data[place : place + width] = (value % (1 << 8 * len(field))).to_bytes(len(field), order)
