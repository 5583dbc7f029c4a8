"""Announcements of saves whose leases are over: the snapshot is there, or will never be. `docs/format/vault-1.md`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from holdfast.errors import CredentialError, DamageError, FailedError, NotFoundError
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.documents import read_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import SAVES
from holdfast.vault.format.records import Announcement, decode_record
from holdfast.vault.handle import Handle

__all__ = ["remove_announcements"]


def remove_announcements(handle: Handle, active: Collection[str], before_ns: int, hold: Callable[[], None]) -> int:
    """Remove them, and return how many. `active`: sessions of leases that go on. `before_ns`: only what is older, by
    the store's time; so whoever has read them all finds their leases over, too. `hold` is called before each deletion.

    What cannot be read has no lease, and goes when it is old enough. Raises what the store and `hold` raise.
    """
    saves: dict[str, list[ObjectInfo]] = {}
    for info in handle.store.list(SAVES):
        saves.setdefault(info.key[len(SAVES) :].partition("/")[0], []).append(info)
    removed = 0
    for infos in saves.values():
        if any(info.modified_ns >= before_ns for info in infos):
            continue
        if any(_lease_of(handle, info.key) in active for info in infos):
            continue
        for info in sorted(infos, reverse=True):  # the first rank's last: without it the others mean nothing
            hold()
            handle.store.delete(info.key)
            removed += 1
    return removed


def _lease_of(handle: Handle, key: str) -> str:
    try:
        opened = read_document(handle.keys, Kind.ANNOUNCEMENT, key, handle.store.get(key))
        return decode_record(opened.body, Announcement, key).lease
    except (DamageError, CredentialError, FailedError, NotFoundError):
        return ""
