"""Thinned snapshots at two sites: what either gave up is not copied; the target knows it before it has the root."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from holdfast.errors import ConflictError
from holdfast.ids import PartId
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.names import THINNED, generation_of, part_key
from holdfast.vault.format.records import PartLink, Root
from holdfast.vault.format.series import series_of
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.thinning import Thinnings, give_up

__all__ = ["ThinnedSides", "mirror_thinned", "link_keys"]


class ThinnedSides:
    """What the source and the target gave up, each listed once, before anything is copied."""

    def __init__(
        self, source: Handle, target: Handle, asset: str | None = None, *, settling: Handle | None = None
    ) -> None:
        """`settling`: the target as it is now, where `target` answers from memory."""
        self._source, self._target, self._settling = source, target, settling or target
        self._here, self._there = Thinnings(source, asset), Thinnings(target, asset)
        self._brought: set[str] = set()

    def links(self, root: Root) -> list[PartLink]:
        """The parts of the snapshot that neither site gave up."""
        kept = {link.id for link in self._there.links(root)}
        return [link for link in self._here.links(root) if link.id in kept]

    def missing(self, root: Root) -> list[str]:
        """The source's generations that the target lacks, if they say something new and follow on what it has."""
        if not self._says_more(root):
            return []
        here, there = self._here.keys(root), self._there.keys(root)
        if here[: len(there)] != there:
            return []
        if there and self._source.store.get(there[-1]) != self._target.store.get(there[-1]):
            return []
        return here[len(there) :]

    def bring(self, copier: ObjectCopier, root: Root) -> None:
        """Let the target know what the source gave up. Where both sites thinned the snapshot by themselves, a keeper's
        key writes the sum of both; without one, a note says that the target keeps more.
        """
        if not self._says_more(root):
            return
        missing = self.missing(root)
        if missing:
            with suppress(ConflictError):  # somebody wrote there just now: it is settled like an older difference
                copier.copy(missing)
                self._brought.add(root.id)
                return
        self._settle(copier, root)
        self._brought.add(root.id)

    def _says_more(self, root: Root) -> bool:
        here, there = self._here.of(root), self._there.of(root)
        if here is None or root.id in self._brought:
            return False
        return there is None or not set(here.parts) <= set(there.parts)

    def _settle(self, copier: ObjectCopier, root: Root) -> None:
        components = self._here.components(root)
        if self._target.keys.role == "keeper" and self._target.keys.can_write:
            give_up(self._settling, root, components, "retention at another site (replicated)")
        else:
            copier.notes.append(
                f"{self._target.store.url} keeps {', '.join(components)} of {root.id}, which the source gave up: both "
                "sites thinned it, and only a keeper's key can settle that"
            )


def link_keys(links: Iterable[PartLink]) -> list[str]:
    """The keys of the manifests."""
    return [part_key(PartId(link.id.hex())) for link in links]


def mirror_thinned(copier: ObjectCopier, listed: Iterable[ObjectInfo]) -> None:
    """These records, without any key. A series that the target wrote by itself stays as it is there."""
    series: dict[str, list[str]] = {}
    for info in listed:
        if generation_of(info.key) is not None:
            series.setdefault(info.key[:-10], []).append(info.key)
    for prefix, keys in series.items():
        generations = series_of(keys, prefix).keys
        there = [key for key in generations if key in copier.there(THINNED)]
        missing = [key for key in generations if key not in copier.there(THINNED)]
        if not missing:
            continue
        try:
            if not there or copier.source.get(there[-1]) == copier.target.get(there[-1]):
                copier.copy(missing)
                continue
        except ConflictError:
            pass
        copier.notes.append(f"{generations[-1]} was written at both sites; replicate with a keeper's key")
