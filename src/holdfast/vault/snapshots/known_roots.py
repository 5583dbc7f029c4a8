"""Roots that this machine has read and whose signatures it has verified: a listing need not read them again.

A root never changes once it is written, so one that a listing shows with the same name, size and time of writing is
taken for the one that was read. That is good enough to list and to choose by; whoever uses a snapshot reads its root
from the store. Signers are judged anew each time: the configuration may have changed. Damaged roots are never kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from holdfast.errors import HoldfastError
from holdfast.stores.protocol import ObjectInfo
from holdfast.trust.signing import fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Root, encode_record
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.known import forgiving, known_cache

__all__ = ["VerifiedRoot", "known_roots", "keep_roots", "newest_known_key", "remember_root"]


class VerifiedRoot(NamedTuple):
    """A root as it was read: the epoch that it is sealed to, the fingerprint of its signer, and its record, encoded."""

    epoch: int
    signer: str
    record: bytes


def known_roots(handle: Handle, infos: Collection[ObjectInfo], below: str | None = None) -> dict[str, VerifiedRoot]:
    """Those of the listed roots that are known. Key → root. Only what this key could open.

    `below`: the listed ones are all that there are below that prefix; others are forgotten.
    """
    cache = known_cache(handle)
    if cache is None:
        return {}
    listed = {info.key: (info.size, info.modified_ns) for info in infos}
    found: dict[str, VerifiedRoot] = {}
    gone: list[tuple[str]] = []
    with forgiving(handle):
        with cache.reading() as database:
            for key, size, modified_ns, *root in _rows(database, listed, below):
                if listed.get(key) == (size, modified_ns):
                    found[key] = VerifiedRoot(*root)
                elif key not in listed:
                    gone.append((key,))
        if gone:
            with cache.writing() as database:
                database.executemany("DELETE FROM roots WHERE key = ?", gone)
    return {key: root for key, root in found.items() if _may_read(handle.keys, root.epoch)}


def _rows(database: sqlite3.Connection, keys: Collection[str], below: str | None) -> Iterator[tuple[Any, ...]]:
    query = "SELECT key, size, modified_ns, epoch, signer, record FROM roots WHERE"
    if below is not None:
        yield from database.execute(f"{query} key >= ? AND key < ?", (below, f"{below}~"))
        return
    for key in keys:
        yield from database.execute(f"{query} key = ?", (key,))


def keep_roots(handle: Handle, roots: Mapping[ObjectInfo, VerifiedRoot]) -> None:
    """Know them from now on, as the listing shows them."""
    cache = known_cache(handle)
    if cache is None or not roots:
        return
    rows = [(*info, *root) for info, root in roots.items() if _fits(info.size, info.modified_ns, root.epoch)]
    with forgiving(handle), cache.writing() as database:
        database.executemany("INSERT OR REPLACE INTO roots VALUES (?, ?, ?, ?, ?, ?)", rows)


def newest_known_key(handle: Handle, prefix: str) -> str | None:
    """The key of the newest root below `prefix` (an asset's folder) that was seen; it need not be there any more."""
    cache = known_cache(handle)
    if cache is not None:
        with forgiving(handle), cache.reading() as database:
            for (key,) in database.execute(
                "SELECT key FROM roots WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1", (prefix, f"{prefix}~")
            ):
                return str(key)
    return None


def remember_root(handle: Handle, key: str, root: Root) -> None:
    """Know a root that was just written with this key, and read back. Asks the store for its size and time.

    Nothing is kept for one who may not read. Nothing is raised: what is not known is read by the next listing.
    """
    keys = handle.keys
    if not keys.can_read or keys.signer is None or known_cache(handle) is None:
        return
    verified = VerifiedRoot(keys.header(Kind.ROOT).epoch, fingerprint(keys.signer.public), encode_record(root))
    with suppress(HoldfastError):
        keep_roots(handle, {handle.store.head(key): verified})


def _fits(*numbers: int) -> bool:
    """Whether SQLite has room for them. A clock that is wrong can set a time after the year 2262."""
    return all(-(1 << 63) <= number < 1 << 63 for number in numbers)


def _may_read(keys: VaultKeys, epoch: int) -> bool:
    return keys.suite is Suite.PLAIN or epoch in keys.private
