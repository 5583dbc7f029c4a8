"""The record that says how a set of stripes is laid out: `stripes/layout/<generation>` at each site.

It counts when k sites hold the same: with fewer than k sites no pack can be read anyway, and one site that says
something else changes nothing. `docs/format/stripes.md`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import msgspec

from holdfast.errors import DamageError, UnsupportedFormatError
from holdfast.replication.striping.erasure import PARITY_MAX, SHARDS_MAX
from holdfast.stores.protocol import Store
from holdfast.vault.format.names import generation_of

__all__ = ["INTERNAL", "LAYOUT", "Layout", "counting", "highest", "layout_key", "parse_layout", "read_layouts"]

INTERNAL = "stripes/"  # what the set itself keeps at each site; not seen through it
LAYOUT = "stripes/layout/"
_VERSION = 1
_BYTES_MAX = 16 << 10
_NEWEST = 8  # generations that are read: later ones than that which count have not been written in between
_SET = re.compile(r"[0-9a-f]{32}")

_Small = Annotated[int, msgspec.Meta(ge=0, le=SHARDS_MAX)]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`set` names the set; `position` is that of the site which holds this record. `spares`: sites that may be lost
    after a write was acknowledged. `created`: ns since the epoch; `reason`: why this generation was written.
    """

    stripes: int
    set: str
    generation: int
    k: _Small
    n: _Small
    spares: _Small
    home: _Small
    position: _Small
    created: int
    reason: str

    def at(self, position: int) -> Layout:
        """The same, for another site."""
        return msgspec.structs.replace(self, position=position)

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


def layout_key(generation: int) -> str:
    return f"{LAYOUT}{generation:010d}"


def parse_layout(data: bytes, key: str) -> Layout:
    """Raises DamageError, UnsupportedFormatError."""
    if len(data) > _BYTES_MAX:
        raise DamageError(f"{key} is too long for a layout of stripes", object_name=key)
    try:
        version = msgspec.json.decode(data, type=_Versioned).stripes
        if version > _VERSION:
            raise UnsupportedFormatError(f"{key} is of version {version}", object_name=key)
        layout = msgspec.json.decode(data, type=Layout)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(f"{key} is damaged: {error}", object_name=key) from error
    coded = 2 <= layout.k < layout.n <= SHARDS_MAX and layout.n - layout.k <= PARITY_MAX
    placed = layout.home < layout.n and layout.position < layout.n and layout.spares <= layout.n - layout.k
    named = layout.stripes == _VERSION and _SET.fullmatch(layout.set) is not None
    if not (coded and placed and named) or layout_key(layout.generation) != key:
        raise DamageError(f"{key} is damaged: what it says does not fit together", object_name=key)
    return layout


class _Versioned(msgspec.Struct):
    stripes: int


def read_layouts(store: Store) -> dict[int, Layout]:
    """Generation → what a site says: the newest ones that are sound. Raises what the store does."""
    keys = [info.key for info in store.list(LAYOUT) if generation_of(info.key) is not None]
    found = {}
    for key in keys[-_NEWEST:]:
        try:
            layout = parse_layout(store.get(key), key)
        except DamageError:
            continue
        found[layout.generation] = layout
    return found


def counting(said: Mapping[int, Mapping[int, Layout]]) -> Layout | None:
    """Of what the sites say (position → generation → record), the newest that k of them agree on."""
    votes = Counter(layout.at(0) for records in said.values() for layout in records.values())
    counted = [layout for layout, sites in votes.items() if sites >= layout.k]
    return max(counted, key=lambda layout: layout.generation, default=None)


def highest(said: Mapping[int, Mapping[int, Layout]]) -> int:
    """The highest generation that any site knows, whether it counts or not."""
    return max((generation for records in said.values() for generation in records), default=0)
