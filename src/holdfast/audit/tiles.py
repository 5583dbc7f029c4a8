"""Tiles and entry bundles: how the tree and its entries lie on a store (C2SP tlog-tiles).

A tile is 256 hashes of one level of the tree, eight levels of which it stands for; the last one of a level may be
partial. A bundle is the entries below a tile of level 0, each after its length in two bytes, big endian.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from holdfast.audit.merkle import EMPTY_ROOT, HASH_SIZE, complete_subtrees, hash_children, root_of
from holdfast.errors import DamageError, UsageError

__all__ = [
    "TILE_WIDTH",
    "ENTRY_BYTES_MAX",
    "Tile",
    "Frontier",
    "tile_path",
    "bundle_path",
    "tiles_of",
    "parse_tile",
    "encode_bundle",
    "decode_bundle",
]

TILE_WIDTH = 256
ENTRY_BYTES_MAX = 0xFFFF


class Tile(NamedTuple):
    """`width` hashes at `level` (of tiles: eight levels of the tree each), the first for `index * 256`."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        return tile_path(self)


def tile_path(tile: Tile) -> str:
    """`tile/0/x001/234`, partial `tile/0/x001/234.p/5`."""
    return f"tile/{tile.level}/{_number(tile.number)}{_partial(tile.width)}"


def bundle_path(index: int, width: int) -> str:
    """`tile/entries/x001/234`, partial `tile/entries/x001/234.p/5`."""
    return f"tile/entries/{_number(index)}{_partial(width)}"


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of a tree of `size` leaves, level by level."""
    level, hashes = 0, size
    while hashes:
        yield from (Tile(level, index, TILE_WIDTH) for index in range(hashes // TILE_WIDTH))
        if hashes % TILE_WIDTH:
            yield Tile(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)
        level, hashes = level + 1, hashes // TILE_WIDTH


def parse_tile(data: bytes, width: int, name: str) -> list[bytes]:
    """Its hashes. Raises DamageError when it has not that many."""
    if len(data) != width * HASH_SIZE:
        raise DamageError(f"{name} has {len(data)} bytes instead of {width * HASH_SIZE}", object_name=name)
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries, each after its length. Raises UsageError for one above 65,535 bytes."""
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise UsageError(f"an entry of a log has at most {ENTRY_BYTES_MAX} bytes, not {len(entry)}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, count: int | None, name: str) -> list[bytes]:
    """The entries; `count`: how many there must be, or None. Raises DamageError."""
    entries = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise DamageError(f"{name} ends within an entry", object_name=name)
        entries.append(data[at + 2 : end])
        at = end
    if count is not None and len(entries) != count:
        raise DamageError(f"{name} holds {len(entries)} entries instead of {count}", object_name=name)
    return entries


class Frontier:
    """The right edge of a tree: of each level of tiles, the hashes of its last, partial tile.

    That is all one has to know to make the tree grow.
    """

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        """`levels`: hashes of the partial tiles of a tree of `size` leaves, from level 0 on."""
        self.size = size
        self._levels = [list(level) for level in levels]
        for number, level in enumerate(self._levels):
            if len(level) != (size >> 8 * number) % TILE_WIDTH:
                raise UsageError(f"the right edge of a tree of {size} leaves is not that")

    def copy(self) -> Frontier:
        return Frontier(self.size, self._levels)

    def grow(self, leaves: Iterable[bytes]) -> Iterator[tuple[Tile, bytes]]:
        """Add leaf hashes; yields each tile with its bytes as it gets full. To be exhausted."""
        for leaf in leaves:
            self.size += 1
            carried, level = leaf, 0
            while True:
                if level == len(self._levels):
                    self._levels.append([])
                hashes = self._levels[level]
                hashes.append(carried)
                if len(hashes) < TILE_WIDTH:
                    break
                yield Tile(level, (self.size >> 8 * (level + 1)) - 1, TILE_WIDTH), b"".join(hashes)
                carried = root_of(hashes)
                hashes.clear()
                level += 1

    def partial(self) -> Iterator[tuple[Tile, bytes]]:
        """The partial tiles of the tree as it is now, with their bytes."""
        for level, hashes in enumerate(self._levels):
            if hashes:
                yield Tile(level, self.size >> 8 * (level + 1), len(hashes)), b"".join(hashes)

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        reached: bytes | None = None
        for hashes in self._levels:
            for start, end in reversed(_complete(len(hashes))):
                left = root_of(hashes[start:end])
                reached = left if reached is None else hash_children(left, reached)
        return EMPTY_ROOT if reached is None else reached


def _complete(width: int) -> list[tuple[int, int]]:
    return [(index << level, (index + 1) << level) for level, index in complete_subtrees(0, width)]


def _number(index: int) -> str:
    if index < 0:
        raise UsageError(f"there is no tile {index}")
    text = f"{index % 1000:03d}"
    while index := index // 1000:
        text = f"x{index % 1000:03d}/{text}"
    return text


def _partial(width: int) -> str:
    if not 0 < width <= TILE_WIDTH:
        raise UsageError(f"a tile is 1 to {TILE_WIDTH} hashes wide, not {width}")
    return "" if width == TILE_WIDTH else f".p/{width}"
