"""Finding snapshots: resolving references, reading manifests."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from holdfast.clock import from_rfc3339
from holdfast.errors import (
    CredentialError,
    DamageError,
    FailedError,
    NotFoundError,
    ObjectNotFoundError,
    UnsupportedFormatError,
    UsageError,
)
from holdfast.ids import PartId, SnapshotId, is_snapshot_id
from holdfast.vault.format.documents import read_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import REFS, SNAPSHOTS, part_key
from holdfast.vault.format.records import Part, Ref, Root, decode_record
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.known_roots import newest_known_key
from holdfast.vault.snapshots.manifests import check_part
from holdfast.vault.snapshots.quarantine import is_set_aside
from holdfast.vault.snapshots.refs import LATEST, VALIDATED, generations_of, readable_refs
from holdfast.vault.snapshots.roots import Listed, content_time, list_roots, newest_first, read_root
from holdfast.vault.snapshots.thinning import kept_links

__all__ = ["Listed", "list_roots", "read_root", "read_parts", "resolve", "resolve_key", "tags_of"]

_PREFIX_MIN = 4
_STEP = re.compile(r"step=(-?[0-9]{1,19})")


def read_parts(handle: Handle, root: Root) -> list[Part]:
    """The manifests of a snapshot, without those that it gave up. Raises DamageError naming the part that is missing or
    wrong.
    """

    def one(link_id: bytes) -> Part:
        return read_part(handle, PartId(link_id.hex()))

    with ThreadPoolExecutor(handle.workers) as pool:
        return list(pool.map(one, (link.id for link in kept_links(handle, root))))


def read_part(handle: Handle, part: PartId) -> Part:
    """One manifest, checked against its id."""
    key = part_key(part)
    try:
        data = handle.store.get(key)
    except ObjectNotFoundError as error:
        raise DamageError(f"{key} is missing from {handle.store.url}", object_name=key) from error
    body = read_document(handle.keys, Kind.PART, key, data).body
    if handle.keys.names.part_id(body) != part:
        raise DamageError(f"{key} holds another part", object_name=key)
    record = decode_record(body, Part, key)
    check_part(record, key)
    return record


def resolve(handle: Handle, reference: str) -> Root:
    """The snapshot that a reference means: `asset`, `asset@validated`, `@step=500`, `@<time>`, a tag, or an id.

    Raises NotFoundError with what there is instead, UsageError when an id prefix is ambiguous.
    """
    handle.keys.require_reader("finding a snapshot")
    if is_snapshot_id(reference.lower()):  # first of all: an asset of that name would stand for another snapshot
        keys = _keys_of_ids(handle, SNAPSHOTS, reference)
        if len(keys) == 1:
            return read_root(handle, keys[0])
    asset, at, selector = reference.rpartition("@")
    if at and asset and _has_asset(handle, asset):
        return _select(handle, asset, selector)
    if _has_asset(handle, reference):
        return _latest(handle, reference)
    return read_root(handle, resolve_key(handle, reference))


def resolve_key(handle: Handle, prefix: str) -> str:
    """The key of the one root whose id begins with `prefix`."""
    prefix = prefix.lower()
    if len(prefix) >= _PREFIX_MIN:
        keys = _keys_of_ids(handle, SNAPSHOTS, prefix)
        if len(keys) == 1:
            return keys[0]
        if keys:
            raise _ambiguous(prefix, keys)
    raise NotFoundError(
        f"there is no asset or snapshot {prefix!r} in {handle.store.url}", hint="see `holdfast snapshot list`"
    )


def _keys_of_ids(handle: Handle, folder: str, prefix: str) -> list[str]:
    """The keys of the roots below a folder whose ids begin with `prefix`."""
    prefix = prefix.lower()
    beginning = folder if folder == SNAPSHOTS else f"{folder}{prefix}"
    keys = [info.key for info in handle.store.list(beginning)]
    return [key for key in keys if key.rsplit("/", 1)[-1].startswith(prefix)]


def _ambiguous(prefix: str, keys: list[str]) -> UsageError:
    return UsageError(f"{prefix!r} begins the ids of {len(keys)} snapshots", hint="give more digits of the id")


def tags_of(handle: Handle, asset: str) -> dict[str, Ref]:
    """Name → newest readable generation of every ref of the asset that points somewhere.

    A ref of which nothing can be read is noted and left out.
    """
    folders = handle.store.folders(f"{REFS}{handle.keys.names.asset_key(asset)}/")
    refs = [_newest_of(handle, folder) for folder in folders]
    return {ref.name: ref for ref in refs if ref is not None and ref.target}


def _newest_of(handle: Handle, folder: str) -> Ref | None:
    try:
        return next(readable_refs(handle, generations_of(handle, folder).keys()), None)
    except UnsupportedFormatError:
        raise
    except (DamageError, NotFoundError, FailedError):
        return None  # noted already


def _select(handle: Handle, asset: str, selector: str) -> Root:
    step = _STEP.fullmatch(selector)
    if step is not None:
        return _newest(handle, asset, f"@{selector}", lambda root: root.step == int(step[1]))
    if selector == "latest":
        return _latest(handle, asset)
    folder = f"{SNAPSHOTS}{handle.keys.names.asset_key(asset)}/"
    if is_snapshot_id(selector.lower()) and (keys := _keys_of_ids(handle, folder, selector)):
        return read_root(handle, keys[0])
    pointed = _pointed_at(handle, asset, selector) if selector else None
    if pointed is not None:
        return pointed
    moment = _moment(selector)
    if moment is not None:
        return _newest(handle, asset, f"@{selector}", lambda root: content_time(root) <= moment)
    if len(selector) >= _PREFIX_MIN and selector != "validated":
        keys = _keys_of_ids(handle, folder, selector)
        if len(keys) == 1:
            return read_root(handle, keys[0])
        if keys:
            raise _ambiguous(selector, keys)
    raise NotFoundError(
        f"{asset!r} has no snapshot {selector!r}",
        hint="none was read back and found good yet: `holdfast snapshot verify`"
        if selector == "validated"
        else "see `holdfast snapshot list`",
    )


def _latest(handle: Handle, asset: str) -> Root:
    pointed = _pointed_at(handle, asset, "latest")
    return pointed if pointed is not None else _newest(handle, asset, "", lambda root: True)


def _pointed_at(handle: Handle, asset: str, name: str) -> Root | None:
    """The snapshot that a ref leads to, or None: there is no such ref, or it was deleted.

    A generation whose snapshot is not there, or damaged, is passed over with a note, and so is one of `latest` or
    `validated` whose snapshot was set aside. Raises what is wrong with the newest one when none leads to a snapshot.
    """
    keys = generations_of(handle, handle.keys.names.ref_prefix(asset, name)).keys()
    missing: DamageError | None = None
    for ref in readable_refs(handle, keys):
        if not ref.target:
            return None
        try:
            root = _target(handle, ref)
            if name not in (LATEST, VALIDATED) or not is_set_aside(handle, asset, root.id, name):
                return root
            handle.progress.note(f"passed over: {root.id}, to which {name!r} of {asset!r} points, was set aside")
        except _TargetMissing as error:
            handle.progress.note(f"passed over: {error.damage.message}")
            missing = missing or error.damage
    if missing is not None:
        raise missing
    return None


class _TargetMissing(Exception):
    """The snapshot that a ref leads to is not there, or its root is damaged. Never leaves this module."""

    def __init__(self, damage: DamageError) -> None:
        super().__init__(damage.message)
        self.damage = damage


def _target(handle: Handle, ref: Ref) -> Root:
    if not is_snapshot_id(ref.target):
        raise DamageError(f"the ref {ref.name!r} of {ref.asset!r} points to no snapshot id")
    key = handle.keys.names.snapshot_key(ref.asset, SnapshotId(ref.target))
    try:
        return read_root(handle, key)
    except UnsupportedFormatError:
        raise
    except DamageError as error:
        raise _TargetMissing(error) from error
    except ObjectNotFoundError as error:
        damage = DamageError(
            f"{key}, to which {ref.name!r} of {ref.asset!r} points, is missing from {handle.store.url}", object_name=key
        )
        raise _TargetMissing(damage) from error


def _newest(handle: Handle, asset: str, what: str, wanted: Callable[[Root], bool]) -> Root:
    """Of the roots that fit and were not quarantined, the one with the newest content: as the store holds it now."""
    listed = list_roots(handle, asset)
    errors = [one.error for one in listed if one.error is not None]
    for error in errors:
        handle.progress.note(f"passed over, it may be the one: {error.message}")
    for known in filter(wanted, newest_first(listed)):
        try:
            root = read_root(handle, handle.keys.names.snapshot_key(asset, SnapshotId(known.id)))
        except (DamageError, NotFoundError, CredentialError, FailedError) as error:
            handle.progress.note(f"passed over, it was the one: {error.message}")
            errors.append(error)
            continue
        if wanted(root) and not is_set_aside(handle, asset, root.id, LATEST):
            return root
    if errors:
        raise errors[0]
    raise NotFoundError(
        f"there is no snapshot {asset}{what} in {handle.store.url}", hint="see `holdfast snapshot list`"
    )


def _has_asset(handle: Handle, asset: str) -> bool:
    try:
        prefix = f"{SNAPSHOTS}{handle.keys.names.asset_key(asset)}/"
    except UsageError:
        return False
    known = newest_known_key(handle, prefix)
    if known is not None:  # one look at it spares listing all the others
        with suppress(ObjectNotFoundError):
            handle.store.head(known)
            return True
    return next(iter(handle.store.list(prefix)), None) is not None


def _moment(text: str) -> int | None:
    try:
        return from_rfc3339(text)
    except ValueError:
        return None
