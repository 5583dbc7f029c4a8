"""Whether a snapshot is whole at the target: found out there, not from what should have been copied."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.errors import CredentialError, DamageError, NotFoundError, PermissionDeniedError
from holdfast.fanout.beside import for_each
from holdfast.ids import PartId
from holdfast.replication.copying.needing import packs_of
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.thinned import ThinnedSides, link_keys
from holdfast.vault.format.names import PACKS, PARTS, SNAPSHOTS, pack_key
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import read_part, read_root

__all__ = ["Arrivals"]


class Arrivals:
    """Reads roots and parts at the target, each once; packs by their names and sizes, as no pack's bytes are read."""

    def __init__(self, target: Handle, copier: ObjectCopier, thinned: ThinnedSides) -> None:
        self._target = target
        self._thinned = thinned
        self._copier = copier
        self._sound_parts: set[str] = set()

    def look_again(self) -> None:
        """Forget what was found: it may have been collected since."""
        self._sound_parts.clear()

    def is_whole(self, key: str, root: Root) -> bool:
        """Whether root, parts and packs of the snapshot are there, and the first two can be read; and whether the
        target knows what the source gave up of it.
        """
        links = self._thinned.links(root)
        if self._thinned.missing(root) or not self.has_root(key, root) or self.missing_parts(link_keys(links)):
            return False
        try:
            packs = packs_of(self._target, root, self._copier.there(PACKS).keys(), links)
        except (DamageError, NotFoundError, CredentialError) as error:
            _pass_refusal(error)
            return False
        return all(self._copier.has(pack_key(pack), size) for pack, size in packs.items())

    def has_root(self, key: str, root: Root) -> bool:
        """Whether the target's root is the source's."""
        if key not in self._copier.there(SNAPSHOTS):
            return False
        try:
            return read_root(self._target, key) == root
        except (DamageError, NotFoundError, CredentialError) as error:
            _pass_refusal(error)
            return False

    def missing_parts(self, keys: Iterable[str]) -> list[str]:
        """Those of the parts that the target lacks, or that cannot be read there."""
        keys = list(keys)
        return [key for key, there in zip(keys, for_each(self.has_part, keys), strict=True) if not there]

    def has_part(self, key: str) -> bool:
        """Whether the target has the part, and it can be read."""
        if key not in self._sound_parts:
            if key not in self._copier.there(PARTS):
                return False
            try:
                read_part(self._target, PartId(key.removeprefix(PARTS)))
            except (DamageError, NotFoundError, CredentialError) as error:
                _pass_refusal(error)
                return False
            self._sound_parts.add(key)
        return True


def _pass_refusal(error: Exception) -> None:
    """That one may not look is no damage."""
    if isinstance(error, PermissionDeniedError):
        raise error
