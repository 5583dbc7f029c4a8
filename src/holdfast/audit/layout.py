"""Names of the objects of a log, below `audit/` of the store. `docs/format/audit-1.md`, "Objects".

The tiles, the bundles and `checkpoint` have the names that C2SP tlog-tiles gives them, with `audit/` as the prefix of
the log; the others are our own.
"""

from __future__ import annotations

import re

from holdfast.errors import AlreadyExistsError
from holdfast.stores.protocol import Store

__all__ = [
    "ROOT",
    "CHECKPOINT",
    "CHECKPOINTS",
    "DECLARATIONS",
    "BATCHES",
    "COSIGNATURES",
    "PENDING",
    "TILES",
    "generation_key",
    "generation_in",
    "pending_prefix",
    "pending_key",
    "create_same",
]

ROOT = "audit/"
CHECKPOINT = "audit/checkpoint"
CHECKPOINTS = "audit/checkpoints/"
DECLARATIONS = "audit/log/"
BATCHES = "audit/batches/"
COSIGNATURES = "audit/cosignatures/"
PENDING = "audit/pending/"
TILES = "audit/tile/"

_GENERATION = re.compile(r"[0-9]{10}")


def generation_key(prefix: str, generation: int) -> str:
    return f"{prefix}{generation:010d}"


def generation_in(key: str, prefix: str) -> int:
    """The number at the end of a key; 0 for a key that is none of the series."""
    last = key[len(prefix) :]
    return int(last) if key.startswith(prefix) and _GENERATION.fullmatch(last) and last.isascii() else 0


def pending_prefix(member: str) -> str:
    return f"{PENDING}{member}/"


def pending_key(member: str, number: int) -> str:
    return generation_key(pending_prefix(member), number)


def create_same(store: Store, key: str, data: bytes) -> bool:
    """Create the object; True too when it is there with the same bytes already, which a lost answer looks like."""
    try:
        store.create(key, data)
    except AlreadyExistsError:
        return store.get(key) == data
    return True
