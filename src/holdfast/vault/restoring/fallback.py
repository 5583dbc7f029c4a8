"""Replicas that stand in for what this store lost: a vault's handle that reads from them where its own store fails.

Two ways for two kinds of objects. Documents (roots, parts) are fetched whole, so the store is wrapped: bytes that are
missing, or whose checksum is wrong, are replaced by a replica's, and everything above stays as it is. Of packs only
ranges are fetched, which nobody can judge before they are decoded: that fallback is in `ChunkReader`, chunk by chunk.
Listings and pointers are this store's own: a replica that is ahead or behind does not change what a name means.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple

from holdfast.errors import (
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    RefusedError,
)
from holdfast.events import Progress
from holdfast.ids import SnapshotId
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo, Store, store_identity
from holdfast.vault.checking.judging import judge
from holdfast.vault.format.names import PARTS, SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import ChunkReader
from holdfast.vault.restoring.sites import Site
from holdfast.vault.snapshots.finding import resolve

__all__ = ["Replica", "Taken", "Replicas", "FallbackHandle", "find_anywhere", "with_replicas", "opened_replica"]


class Replica(NamedTuple):
    """Another place of the same vault, and what opens it: called at most once, when something is missing here.

    `options`: of its store, for whoever has to open it on another machine.
    """

    url: str
    open: Callable[[], Handle]
    options: Mapping[str, str] = {}


class Taken(NamedTuple):
    """What was read from a replica instead: chunks, and the bytes of chunks and documents."""

    chunks: int
    bytes: int


class Replicas:
    """The replicas of one vault, opened when they are first needed. Safe for several threads."""

    def __init__(
        self, vault: bytes, replicas: Sequence[Replica], progress: Progress, *, finding: bool = True, own: str = ""
    ) -> None:
        """`finding`: also snapshots that are not here at all are looked for there, not only what they lack here.

        `own`: identity of the vault's own store, which knows nothing better when it is named as a replica.
        `silent`: URL → why, of replicas that did not open, or did not answer once: what they have is not known.
        """
        self.finding = finding
        self._own = own
        self._vault = vault
        self._waiting = list(replicas)
        self._progress = progress
        self._opened: list[tuple[Handle, Site | None]] = []
        self._lock = threading.RLock()
        self._taken: dict[str, Taken] = {}
        self.silent: dict[str, str] = {}

    def handles(self) -> Iterator[Handle]:
        """Those that can be opened, in the order given. Others are noted and left out. Raises nothing."""
        number = 0
        while True:
            with self._lock:
                while number >= len(self._opened) and self._waiting:
                    self._open(self._waiting.pop(0))
                if number >= len(self._opened):
                    return
                handle = self._opened[number][0]
            yield handle
            number += 1

    def sites(self) -> Iterator[Site]:
        """The same, for reading chunks."""
        for handle in self.handles():
            try:
                site = self._site(handle)
            except HoldfastError as error:
                self._drop(handle, error)
                continue
            if site is not None:
                yield site

    def took(self, site: Site, size: int) -> None:
        """A chunk of that many bytes was read there."""
        self._count(site.store.url, 1, size)

    def took_document(self, url: str, size: int) -> None:
        """A root or part of that many bytes was read there."""
        self._count(url, 0, size)

    def taken(self) -> dict[str, Taken]:
        """URL → what was read there since this was asked last."""
        with self._lock:
            taken, self._taken = self._taken, {}
        return taken

    def unanswered(self, handle: Handle, error: HoldfastError) -> None:
        """It was asked for something. An error that says that it has no sound one is an answer, too."""
        if not isinstance(error, (DamageError, CredentialError, NotFoundError)):
            self.silent.setdefault(handle.store.url, error.message)

    def failed(self, site: Site, error: HoldfastError) -> None:
        """It does not answer any more: it is not asked again."""
        for handle, other in list(self._opened):
            if other is site:
                self._drop(handle, error)

    def _site(self, handle: Handle) -> Site | None:
        with self._lock:
            for number, (other, site) in enumerate(self._opened):
                if other is handle:
                    made = site or Site(handle.store, handle.keys, handle.index, self._progress)
                    self._opened[number] = handle, made
                    return made
        return None

    def _open(self, replica: Replica) -> None:
        try:
            handle = replica.open()
            handle.keys.require_reader(f"reading from {replica.url}")
            if handle.keys.vault != self._vault:
                raise RefusedError(f"{replica.url} holds another vault ({handle.keys.vault.hex()})")
        except HoldfastError as error:
            self.silent[replica.url] = error.message
            self._progress.note(f"{replica.url} cannot stand in for what is missing: {error.message}")
            return
        if self._own and store_identity(handle.store) == self._own:
            self._progress.note(f"{replica.url} is this vault's own place, and no replica of it")
            return
        self._opened.append((handle, None))

    def _drop(self, handle: Handle, error: HoldfastError) -> None:
        with self._lock:
            self.silent.setdefault(handle.store.url, error.message)
            before = len(self._opened)
            self._opened = [one for one in self._opened if one[0] is not handle]
            if len(self._opened) < before:
                self._progress.note(f"{handle.store.url} is not asked any more: {error.message}")

    def _count(self, url: str, chunks: int, size: int) -> None:
        with self._lock:
            before = self._taken.get(url, Taken(0, 0))
            self._taken[url] = Taken(before.chunks + chunks, before.bytes + size)


class FallbackHandle(Handle):
    """A handle for reading only, of a store whose gaps the replicas fill."""

    replicas: Replicas
    primary: Store
    primary_handle: Handle  # for what is written

    @property
    def own(self) -> Handle:
        return self.primary_handle

    def reader(self) -> ChunkReader:
        """Raises CredentialError for a writer."""
        self.keys.require_reader("reading")
        return ChunkReader(self.primary, self.keys, self.index, self.progress, self.replicas)


def with_replicas(handle: Handle, replicas: Replicas) -> FallbackHandle:
    """`handle` for reading, where `replicas` stand in for what cannot be read soundly."""
    given = {one.name: getattr(handle, one.name) for one in fields(Handle) if one.init}
    given["_index"] = handle.index
    given["store"] = _FallbackStore(handle, replicas)
    del given["_lock"]
    made = FallbackHandle(**given)
    made.replicas, made.primary, made.primary_handle = replicas, handle.store, handle
    return made


def find_anywhere(handle: FallbackHandle, reference: str) -> Root:
    """The snapshot that a reference means here; one that is not here at all, as the first replica has it that does.

    Whose signature counts is known here, not there: a replica's configuration may be older. Raises what `resolve`
    raises here.
    """
    try:
        return resolve(handle, reference)
    except NotFoundError:
        if not handle.replicas.finding:
            raise
        for replica in handle.replicas.handles():
            try:
                judging = Handle(replica.store, handle.keys, handle.clock, handle.progress, handle.workers)
                root = resolve(judging, reference)
                size = replica.store.head(handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))).size
            except HoldfastError:
                continue
            handle.replicas.took_document(replica.store.url, size)
            handle.progress.note(f"{reference!r} is not in {handle.store.url}, but in {replica.store.url}")
            return root
        raise


def opened_replica(handle: Handle) -> Replica:
    """A replica that is open already."""
    return Replica(handle.store.url, lambda: handle)


class _FallbackStore:
    """Reads roots and parts from a replica where the vault's own store has no sound ones. Writes nothing."""

    def __init__(self, handle: Handle, replicas: Replicas) -> None:
        self._store = handle.store
        self._keys = handle.keys
        self._replicas = replicas
        self._progress = handle.progress

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def identity(self) -> str:
        return store_identity(self._store)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def get(self, key: str) -> bytes:
        if not key.startswith((PARTS, SNAPSHOTS)):
            return self._store.get(key)
        data: bytes | None = None
        wrong: HoldfastError | None = None
        try:
            data = self._store.get(key)
            judge(self._keys, key, data)
        except (DamageError, CredentialError, FailedError, ObjectNotFoundError) as error:
            wrong = error
        if wrong is not None:
            found = self._from_replica(key)
            if found is not None:
                url, there = found
                self._replicas.took_document(url, len(there))
                self._progress.note(f"{wrong.message}; {url} has it, and was used")
                return there
        if data is None:
            raise wrong or ObjectNotFoundError(f"there is no {key} in {self.url}", object_name=key)
        return data  # whoever opens it says exactly what is wrong with it

    def _from_replica(self, key: str) -> tuple[str, bytes] | None:
        for handle in self._replicas.handles():
            try:
                data = handle.store.get(key)
                judge(self._keys, key, data)
            except (DamageError, CredentialError, NotFoundError):
                continue
            except HoldfastError as error:
                self._progress.note(f"{handle.store.url} did not give {key}: {error.message}")
                continue
            return handle.store.url, data
        return None

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._store.get_ranges(key, ranges)

    def head(self, key: str) -> ObjectInfo:
        return self._store.head(key)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after)

    def folders(self, prefix: str) -> Sequence[str]:
        return self._store.folders(prefix)

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._read_only(key)

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        raise self._read_only(key)

    def delete(self, key: str) -> None:
        raise self._read_only(key)

    def _read_only(self, key: str) -> RefusedError:
        return RefusedError(f"{self.url} is only read from here: {key} is left as it is", object_name=key)
