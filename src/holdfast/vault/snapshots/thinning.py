"""Thinned snapshots: parts that were given up by a keeper's record, while the root stays as it was signed.

`thinned/<asset key>/<snapshot id>/<generation>` is a create-only series. Each generation lists all that was given up
so far: the newest one that counts says everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from holdfast.clock import to_rfc3339
from holdfast.errors import DamageError, FailedError, NotFoundError, UnsupportedFormatError, UntrustedError, UsageError
from holdfast.ids import SnapshotId
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import THINNED
from holdfast.vault.format.records import PartLink, Root, Thinned, decode_record, encode_record
from holdfast.vault.format.series import Generations, append_after, series_at, series_of
from holdfast.vault.handle import Handle

__all__ = [
    "Thinnings",
    "dropped_components",
    "forget_thinned",
    "give_up",
    "kept_links",
    "links_without",
    "read_thinned",
    "read_thinned_generation",
    "tell_given_up",
]


def kept_links(handle: Handle, root: Root) -> list[PartLink]:
    """The parts that the snapshot still has. One listing; where many snapshots are read, see `Thinnings`."""
    return links_without(root, read_thinned(handle, root))


def dropped_components(handle: Handle, root: Root) -> tuple[str, ...]:
    """The components that were given up, by name; empty for nearly every snapshot."""
    thinned = read_thinned(handle, root)
    return () if thinned is None else tuple(sorted(thinned.components))


def tell_given_up(handle: Handle, root: Root) -> tuple[str, ...]:
    """`dropped_components`, said aloud: for whoever is about to use the snapshot."""
    thinned = read_thinned(handle, root)
    if thinned is None:
        return ()
    names = tuple(sorted(thinned.components))
    when = f"{to_rfc3339(thinned.created)[:10]}"
    handle.progress.note(
        f"snapshot {root.id} no longer has {', '.join(names)}: given up on {when} ({thinned.reason}); all else is there"
    )
    return names


def links_without(root: Root, thinned: Thinned | None) -> list[PartLink]:
    """The links of the root without those that the record gives up."""
    gone = frozenset(thinned.parts) if thinned is not None else frozenset[bytes]()
    return [link for link in root.parts if link.id not in gone]


def read_thinned(handle: Handle, root: Root) -> Thinned | None:
    """What the snapshot gave up, None for nothing.

    A generation that is damaged, or that no keeper signed, is passed over with a note: it must not hide anything.
    Raises UnsupportedFormatError.
    """
    prefix = _prefix(handle, root)
    return _newest(handle, series_at(handle.store, prefix).keys)


class Thinnings:
    """What all snapshots (of one asset) gave up: one listing, then one object for each snapshot that is thinned."""

    def __init__(self, handle: Handle, asset: str | None = None) -> None:
        prefix = THINNED if asset is None else f"{THINNED}{handle.keys.names.asset_key(asset)}/"
        self._handle = handle
        self._keys: dict[str, list[str]] = {}
        self._read: dict[str, Thinned | None] = {}
        for info in handle.store.list(prefix):
            self._keys.setdefault(info.key[: info.key.rfind("/") + 1], []).append(info.key)

    def __len__(self) -> int:
        """How many snapshots have such a series."""
        return len(self._keys)

    @property
    def prefixes(self) -> Collection[str]:
        """Where the series lie."""
        return self._keys.keys()

    def keys(self, root: Root) -> list[str]:
        """The keys of the generations of a snapshot, oldest first."""
        prefix = _prefix(self._handle, root)
        return series_of(self._keys.get(prefix, ()), prefix).keys

    def of(self, root: Root) -> Thinned | None:
        """As `read_thinned`, as it was when this was listed."""
        prefix = _prefix(self._handle, root)
        if prefix not in self._keys:
            return None
        if prefix not in self._read:
            self._read[prefix] = _newest(self._handle, series_of(self._keys[prefix], prefix).keys)
        return self._read[prefix]

    def links(self, root: Root) -> list[PartLink]:
        """As `kept_links`."""
        return links_without(root, self.of(root))

    def components(self, root: Root) -> tuple[str, ...]:
        """As `dropped_components`."""
        thinned = self.of(root)
        return () if thinned is None else tuple(sorted(thinned.components))


class _Given(NamedTuple):
    parts: frozenset[bytes]
    components: frozenset[str]


_NOTHING = _Given(frozenset(), frozenset())


def give_up(handle: Handle, root: Root, components: Collection[str], reason: str) -> Thinned | None:
    """Give up these components of a snapshot, for good; their packs stay until they are collected.

    Adds to what was given up before. Returns the record written, None when nothing was left to give up. Raises
    UsageError when nothing but folders would be left, or the snapshot has no such component; CredentialError for all
    but keepers; ConflictError.
    """
    handle.keys.require_keeper("giving up components of a snapshot")
    wanted = _chosen(root, components)
    prefix = _prefix(handle, root)
    written: list[Thinned] = []

    def make(before: Generations) -> bytes | None:
        written.clear()
        earlier = _newest(handle, reversed(list(before.keys())))
        had = _Given(frozenset(earlier.parts), frozenset(earlier.components)) if earlier is not None else _NOTHING
        if wanted.parts <= had.parts:
            return None
        parts, names = had.parts | wanted.parts, had.components | wanted.components
        if not any(link.files for link in root.parts if link.id not in parts):
            raise UsageError(
                f"nothing would be left of snapshot {root.id} without {', '.join(sorted(names))}",
                hint="drop the snapshot instead: `holdfast snapshot drop`",
                object_name=root.id,
            )
        record = Thinned(root.id, root.asset, sorted(parts), sorted(names), reason, handle.clock.now_ns())
        written.append(record)
        key = f"{prefix}{before.highest + 1:010d}"
        return write_document(handle.keys, Kind.THINNED, key, encode_record(record))

    append_after(handle.store, prefix, make)
    return written[0] if written else None


def forget_thinned(handle: Handle, asset: str, snapshot: SnapshotId) -> None:
    """Take the whole series away, the lowest generation first: for a snapshot whose root is gone."""
    for key in series_at(handle.store, handle.keys.names.thinned_prefix(asset, snapshot)).keys:
        handle.store.delete(key)


def read_thinned_generation(handle: Handle, key: str) -> Thinned:
    """One generation. Raises DamageError, UntrustedError, NotFoundError."""
    opened = read_document(handle.keys, Kind.THINNED, key, handle.store.get(key))
    record = decode_record(opened.body, Thinned, key)
    if handle.keys.names.thinned_prefix(record.asset, SnapshotId(record.snapshot)) != key[:-10]:
        raise DamageError(f"{key} is about another snapshot", object_name=key)
    if any(len(part) != 32 for part in record.parts):
        raise DamageError(f"{key} names an impossible part", object_name=key)
    signer = handle.keys.trusted_signer(Kind.THINNED, opened.signer, key)
    if signer.revoked is not None and record.created >= signer.revoked:
        raise UntrustedError(f"{key} was signed by {signer.label!r} after that key was revoked", object_name=key)
    return record


def _newest(handle: Handle, keys: Iterable[str]) -> Thinned | None:
    """The newest generation that counts; `keys` are given oldest first."""
    for key in reversed(list(keys)):
        try:
            return read_thinned_generation(handle, key)
        except UnsupportedFormatError:
            raise
        except (DamageError, UntrustedError, NotFoundError, FailedError) as error:
            handle.progress.note(f"passed over, nothing is given up by it: {error.message}")
    return None


def _chosen(root: Root, components: Collection[str]) -> _Given:
    known = {link.component for link in root.parts}
    for name in components:
        if name not in known:
            raise UsageError(f"snapshot {root.id} has no component {name!r}", object_name=root.id)
    # What a part is shared with must not go: the ids of all that stays are taken out.
    staying = {link.id for link in root.parts if link.component not in components}
    parts = frozenset(link.id for link in root.parts if link.component in components) - staying
    return _Given(parts, frozenset(components))


def _prefix(handle: Handle, root: Root) -> str:
    return handle.keys.names.thinned_prefix(root.asset, SnapshotId(root.id))
