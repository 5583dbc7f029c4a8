"""Index objects without the packs that go. The index is told before anything is deleted."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from holdfast.errors import DamageError, FailedError, NotFoundError, UntrustedError, WrongKeyError
from holdfast.trust.signing import fingerprint
from holdfast.vault.format.names import INDEX
from holdfast.vault.format.records import IndexedPack
from holdfast.vault.handle import Handle
from holdfast.vault.index import read_index, write_index

__all__ = ["Invalidated", "invalidate", "MERGE_FROM"]

MERGE_FROM = 64  # so many index objects of one signer are put together: each is read once by every new machine
_PACKS_AT_ONCE = 512
_SMALL = 1 << 20  # bytes of an index object that is worth putting together with others


class Invalidated(NamedTuple):
    """How many index objects were written and removed."""

    written: int
    removed: int


def invalidate(handle: Handle, gone: Collection[bytes], *, merge: bool = False) -> Invalidated:
    """Replace every index object that lists one of these packs (ids of 32 bytes) by one that does not; new ones first.

    With `merge`, small ones are put together, too. A keeper writes them, and says whose word they are: nobody's claims
    gain weight by being collected. What cannot be read is left alone: it counts for nothing, or is `repair`'s.
    """
    if not gone and not merge:
        return Invalidated(0, 0)
    said = _Said(handle)
    for info in handle.store.list(INDEX):
        said.take(info.key, info.size)
    written = removed = 0
    for signer, objects in said.by_signer.items():
        replaced = [one for one in objects if any(pack.id in gone for pack in one.packs)]
        if merge and sum(one.size < _SMALL for one in objects) >= MERGE_FROM:
            replaced = [one for one in objects if one in replaced or one.size < _SMALL]
        if not replaced:
            continue
        staying = list({pack.id: pack for one in replaced for pack in one.packs if pack.id not in gone}.values())
        for start in range(0, len(staying), _PACKS_AT_ONCE):
            key, data = write_index(
                handle.keys, staying[start : start + _PACKS_AT_ONCE], handle.clock.now_ns(), by=signer
            )
            handle.store.put(key, data)
            written += 1
        for one in replaced:
            handle.store.delete(one.key)
            removed += 1
    return Invalidated(written, removed)


class _Object(NamedTuple):
    key: str
    size: int
    packs: tuple[IndexedPack, ...]


class _Said:
    """What index objects say, by the fingerprint of whose word it is."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.by_signer: dict[str, list[_Object]] = {}

    def take(self, key: str, size: int) -> None:
        handle = self._handle
        try:
            said, signer = read_index(handle.store, handle.keys, key)
        except NotFoundError:
            return
        except (DamageError, UntrustedError, WrongKeyError, FailedError) as error:
            handle.progress.note(f"left alone: {error.message}")
            return
        objects = self.by_signer.setdefault(fingerprint(signer.public), [])
        objects.append(_Object(key, size, tuple(said.packs)))
