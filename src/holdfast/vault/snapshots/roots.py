"""Roots: reading one from the store, listing all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import msgspec

from holdfast.errors import CredentialError, DamageError, FailedError, HoldfastError, NotFoundError, UntrustedError
from holdfast.ids import SnapshotId, is_snapshot_id
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.documents import read_document
from holdfast.vault.format.header import Header, Kind
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import Root, decode_record
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.known_roots import VerifiedRoot, keep_roots, known_roots

__all__ = [
    "Listed",
    "Listing",
    "read_root",
    "list_roots",
    "list_newest",
    "newest_first",
    "content_time",
    "CLOCK_SLACK_NS",
]

_IN_FLIGHT = 32  # reads from a remote store at a time: each is small, and waits for the line
_BATCH = 512  # so many are kept at once: who interrupts a first listing does not begin from nothing
CLOCK_SLACK_NS = 300 * 10**9  # by which the clocks of a file system and of the machine that saves may differ
_NOTICEABLE = 256  # reading so many takes long enough to tell


class Listed(NamedTuple):
    """A root, or what is wrong with it."""

    key: str
    root: Root | None
    error: HoldfastError | None


class Listing(NamedTuple):
    """The newest snapshots, oldest first, and how many older ones there are."""

    listed: list[Listed]
    older: int


def read_root(handle: Handle, key: str) -> Root:
    """The root stored under `key`, its signature checked; `writer` is the label of the signer, whatever it said.

    Raises NotFoundError, DamageError, UntrustedError.
    """
    handle.keys.require_reader("reading snapshots")
    verified = _fetched(handle, key)
    return _judged(handle, key, _decoded(handle, key, verified), verified.signer)


def list_roots(handle: Handle, asset: str | None = None) -> list[Listed]:
    """All snapshots (of one asset), oldest first. A damaged, unreadable or untrusted root is listed with its error.

    Roots that this machine has read before are not read again (`known_roots.py`): whoever uses one calls `read_root`.
    """
    return list_newest(handle, asset, None).listed


def list_newest(handle: Handle, asset: str | None, limit: int | None) -> Listing:
    """The same of the newest `limit` snapshots (None: all). The others are counted, not read."""
    handle.keys.require_reader("listing snapshots")
    prefix = SNAPSHOTS if asset is None else f"{SNAPSHOTS}{handle.keys.names.asset_key(asset)}/"
    infos = sorted(handle.store.list(prefix), key=lambda info: info.key.rpartition("/")[2])
    older = 0 if limit is None else max(0, len(infos) - limit)
    wanted = infos[older:]
    listed = _listed_from_memory(handle, wanted, None if older else prefix)
    listed |= _listed_from_store(handle, [info for info in wanted if info.key not in listed])
    return Listing([listed[info.key] for info in wanted], older)


def newest_first(listed: Iterable[Listed]) -> Sequence[Root]:
    """The roots that were not quarantined, by the time of their content, as far as that can be true."""
    roots = [one.root for one in listed if one.root is not None and one.root.validation.verdict != "quarantined"]
    return sorted(roots, key=lambda root: (content_time(root), root.id), reverse=True)


def content_time(root: Root) -> int:
    """Of its content, in ns. One well after the time of saving is of no state that existed: it would stand first for
    ever.
    """
    return root.content if root.content <= root.created + CLOCK_SLACK_NS else root.created


def _listed_from_memory(handle: Handle, infos: Sequence[ObjectInfo], below: str | None) -> dict[str, Listed]:
    listed = {}
    for key, verified in known_roots(handle, infos, below).items():
        with suppress(DamageError):  # of this machine's memory: what it means is read from the store
            try:
                root = decode_record(verified.record, Root, key)
                listed[key] = Listed(key, _judged(handle, key, root, verified.signer), None)
            except UntrustedError as error:
                listed[key] = Listed(key, None, error)
    return listed


def _listed_from_store(handle: Handle, infos: Sequence[ObjectInfo]) -> dict[str, Listed]:
    """Read these and keep what is sound, by and by."""
    if len(infos) >= _NOTICEABLE:
        handle.progress.phase("reading snapshots", sum(info.size for info in infos))

    def one(info: ObjectInfo) -> tuple[Listed, VerifiedRoot | None]:
        try:
            verified = _fetched(handle, info.key)
            root = _decoded(handle, info.key, verified)
            return Listed(info.key, _judged(handle, info.key, root, verified.signer), None), verified
        except (DamageError, NotFoundError, CredentialError, FailedError) as error:
            return Listed(info.key, None, error), None
        finally:
            if len(infos) >= _NOTICEABLE:
                handle.progress.advance(info.size)

    listed: dict[str, Listed] = {}
    with ThreadPoolExecutor(_IN_FLIGHT if handle.store.capabilities.remote else handle.workers) as pool:
        for start in range(0, len(infos), _BATCH):
            batch = infos[start : start + _BATCH]
            sound: dict[ObjectInfo, VerifiedRoot] = {}
            for info, (result, verified) in zip(batch, pool.map(one, batch), strict=True):
                listed[info.key] = result
                if verified is not None:
                    sound[info] = verified
            keep_roots(handle, sound)
    return listed


def _fetched(handle: Handle, key: str) -> VerifiedRoot:
    data = handle.store.get(key)
    opened = read_document(handle.keys, Kind.ROOT, key, data)
    return VerifiedRoot(Header.parse(data, key).epoch, opened.signer, opened.body)


def _decoded(handle: Handle, key: str, verified: VerifiedRoot) -> Root:
    """The root, if it is what its key says. Raises DamageError."""
    root = decode_record(verified.record, Root, key)
    if not is_snapshot_id(root.id) or handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)) != key:
        raise DamageError(f"{key} holds the root of another snapshot", object_name=key)
    if any(len(link.id) != 32 for link in root.parts):
        raise DamageError(f"{key} names an impossible part", object_name=key)
    return root


def _judged(handle: Handle, key: str, root: Root, mark: str) -> Root:
    """The root with its signer's label, if that signer's signatures count. Raises UntrustedError."""
    signer = handle.keys.trusted_signer(Kind.ROOT, mark, key)
    if signer.revoked is not None and root.created >= signer.revoked:
        raise UntrustedError(
            f"{key} was signed by {signer.label!r} after that key was revoked",
            hint="do not restore from it; ask the keeper who still has that key",
            object_name=key,
        )
    return msgspec.structs.replace(root, writer=signer.label)
