"""Ways to damage what is stored, in the words of a test: `Flip(key, 17).apply(store)`.

They work on any store and know nothing of keys or caches. `put_back` undoes whatever was done to a store since
`contents_of` looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from blake3 import blake3

from holdfast.errors import ObjectNotFoundError
from holdfast.stores.protocol import Store
from holdfast.vault.format.header import FORMAT_VERSION, HEADER_BYTES

__all__ = [
    "ended_otherwise",
    "DamageDone",
    "Flip",
    "Truncate",
    "Delete",
    "Append",
    "Replace",
    "Swap",
    "ZeroPage",
    "Duplicate",
    "KINDS",
    "random_damage",
    "FutureVersion",
    "Resealed",
    "contents_of",
    "put_back",
]

_CHECKSUM_BYTES = 32
_VERSION_AT = 9


class DamageDone(Protocol):
    """One way to damage one or two objects."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The objects concerned."""
        ...

    def apply(self, store: Store) -> None:
        """Do it. Raises ObjectNotFoundError when there is nothing to damage."""
        ...


@dataclass(frozen=True)
class _OfOne:
    key: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)


@dataclass(frozen=True)
class Flip(_OfOne):
    """Byte number `offset` (modulo the size) is changed by the bits in `mask`."""

    offset: int
    mask: int = 1

    def apply(self, store: Store) -> None:
        data = bytearray(store.get(self.key))
        data[self.offset % len(data)] ^= self.mask
        _overwrite(store, self.key, bytes(data))


@dataclass(frozen=True)
class Truncate(_OfOne):
    """Only the first `size` bytes are left; 0 makes an empty object."""

    size: int

    def apply(self, store: Store) -> None:
        _overwrite(store, self.key, store.get(self.key)[: self.size])


@dataclass(frozen=True)
class Delete(_OfOne):
    """The object is gone."""

    def apply(self, store: Store) -> None:
        store.head(self.key)
        store.delete(self.key)


@dataclass(frozen=True)
class Append(_OfOne):
    """More bytes follow."""

    data: bytes

    def apply(self, store: Store) -> None:
        _overwrite(store, self.key, store.get(self.key) + self.data)


@dataclass(frozen=True)
class Replace(_OfOne):
    """Other bytes stand there: those of another vault's object, say."""

    data: bytes

    def apply(self, store: Store) -> None:
        store.head(self.key)
        _overwrite(store, self.key, self.data)


@dataclass(frozen=True)
class Swap:
    """Two objects changed places."""

    first: str
    second: str

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.first, self.second)

    def apply(self, store: Store) -> None:
        first, second = store.get(self.first), store.get(self.second)
        _overwrite(store, self.first, second)
        _overwrite(store, self.second, first)


@dataclass(frozen=True)
class ZeroPage(_OfOne):
    """A page of zeros stands where `offset` (modulo the size) lies: what a file system leaves after a power cut."""

    offset: int
    size: int = 4096

    def apply(self, store: Store) -> None:
        data = bytearray(store.get(self.key))
        start = self.offset % len(data) // self.size * self.size
        end = min(len(data), start + self.size)
        data[start:end] = bytes(end - start)
        _overwrite(store, self.key, bytes(data))


@dataclass(frozen=True)
class Duplicate(_OfOne):
    """The bytes of `original` stand under `key`, too, whatever was there before."""

    original: str

    def apply(self, store: Store) -> None:
        _overwrite(store, self.key, store.get(self.original))


@dataclass(frozen=True)
class FutureVersion(_OfOne):
    """A later format's version in the header, with the checksum that a document of that format would have."""

    version: int = FORMAT_VERSION + 1

    def apply(self, store: Store) -> None:
        data = bytearray(store.get(self.key))
        data[_VERSION_AT] = self.version
        _overwrite(store, self.key, _with_checksum(data))


@dataclass(frozen=True)
class Resealed(_OfOne):
    """Byte number `offset` is changed and the checksum made right again: what somebody does on purpose."""

    offset: int
    mask: int = 1

    def apply(self, store: Store) -> None:
        data = bytearray(store.get(self.key))
        data[self.offset % (len(data) - _CHECKSUM_BYTES)] ^= self.mask
        _overwrite(store, self.key, _with_checksum(data))


KINDS = ("flip", "truncate", "zero page", "delete", "swap", "stale", "duplicate", "append")


def random_damage(random: Random, kind: str, keys: Sequence[str], contents: Mapping[str, bytes]) -> DamageDone:
    """A damage of that kind to one of `keys`, of objects with these `contents`.

    *Stale*: another object of the same kind (of a series: an earlier generation) stands in its place. *Duplicate*: the
    object is there once more, under a name that nothing has.
    """
    key = random.choice(keys)
    size = len(contents[key])
    like = [other for other in contents if other != key and other.partition("/")[0] == key.partition("/")[0]]
    if kind == "flip":
        return Flip(key, random.randrange(size), 1 << random.randrange(8))
    if kind == "truncate":
        return Truncate(key, random.randrange(size))
    if kind == "zero page":
        return ZeroPage(key, random.randrange(size))
    if kind == "delete":
        return Delete(key)
    if kind == "swap":
        return Swap(key, random.choice(like or [other for other in contents if other != key]))
    if kind == "stale":
        earlier = [other for other in like if other[:-10] == key[:-10] and other < key]
        return Duplicate(key, random.choice(earlier or like or [next(other for other in contents if other != key)]))
    if kind == "duplicate":
        return Duplicate(_another_name(random, key), key)
    if kind == "append":
        return Append(key, random.randbytes(1 + random.randrange(64)))
    raise ValueError(f"{kind!r} is not a kind of damage")


def _another_name(random: Random, key: str) -> str:
    """A key of the same form that nothing has."""
    folder, _, name = key.rpartition("/")
    if len(name) == 10:  # a generation
        return f"{folder}/{int(name) + random.randrange(10, 100):010d}"
    if len(name) == 26:  # a snapshot id
        return f"{folder}/{name[:10]}{''.join(random.choice('0123456789abcdefghjkmnpqrstvwxyz') for _ in range(16))}"
    other = random.randbytes(32).hex()
    return f"packs/{other[:2]}/{other}" if key.startswith("packs/") else f"{folder}/{other}"


def contents_of(store: Store) -> dict[str, bytes]:
    """Every object of a (small) store."""
    return {info.key: store.get(info.key) for info in store.list("")}


def put_back(store: Store, contents: Mapping[str, bytes]) -> None:
    """Make the store hold exactly these objects again."""
    for info in list(store.list("")):
        if info.key not in contents:
            store.delete(info.key)
    for key, data in contents.items():
        with suppress(ObjectNotFoundError):
            if store.get(key) == data:
                continue
        _overwrite(store, key, data)


def _with_checksum(data: bytearray) -> bytes:
    if len(data) < HEADER_BYTES + _CHECKSUM_BYTES:
        return bytes(data)
    data[-_CHECKSUM_BYTES:] = blake3(bytes(data[:-_CHECKSUM_BYTES])).digest()
    return bytes(data)


def _overwrite(store: Store, key: str, data: bytes) -> None:
    # `put` is for names derived from content, and may take an object of that name for granted.
    store.delete(key)
    store.put(key, data)


def ended_otherwise(data: bytes) -> bytes:
    """The same bytes, but the last one."""
    return data[:-1] + bytes([data[-1] ^ 1])
