"""Collections: what was condemned, rescued, closed. Each is a series in `trash/`. `design/003-collecting.md`."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from holdfast.errors import ConflictError, DamageError, NotFoundError, UnsupportedFormatError, UntrustedError
from holdfast.stores.protocol import ObjectInfo
from holdfast.vault.format.documents import body_max, read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import PACKS, PARTS, TRASH, generation_of
from holdfast.vault.format.records import Condemned, Signer, decode_record, encode_record
from holdfast.vault.format.series import create_once
from holdfast.vault.handle import Handle

__all__ = ["Trash", "SeenCollection", "read_trash", "condemn", "rescue", "close", "remove_collection"]

CONDEMNED, RESCUED, CLOSED = "condemned", "rescued", "closed"
_ROLES = {CONDEMNED: ("keeper",), RESCUED: ("keeper", "writer"), CLOSED: ("keeper",)}
_UNREADABLE = (
    "what it condemns is not known, so nothing can be relied upon. When nobody collects, take the object away with the "
    "store's own tools: what was in it is condemned anew"
)
_ATTEMPTS = 20
_GENERATION_MAX = 1_000_000
_KEYS_AT_ONCE = 100_000  # in one collection: some 8 MB of record


class SeenCollection(NamedTuple):
    """A collection as it stands. Times are the store's, in ns.

    `keys`: what is condemned still; once `is_closed`, what is being deleted. `condemned_ns`: the first generation's
    time, 0 when that was removed already. `created_ns`: the same by the clock of who condemned. `closed_ns`: that of
    the closing one, 0 without. `highest`: the last generation that follows on those before it; a later one counts for
    nothing, or two could append who do not see each other. `generations`: the keys of all.
    """

    id: str
    keys: frozenset[str]
    is_closed: bool
    condemned_ns: int
    created_ns: int
    closed_ns: int
    highest: int
    generations: tuple[str, ...]


class Trash(NamedTuple):
    """All collections on a store."""

    collections: tuple[SeenCollection, ...]

    @property
    def keys(self) -> frozenset[str]:
        """Everything that is condemned or being deleted: for who writes, it is not there."""
        return frozenset[str]().union(*(one.keys for one in self.collections))

    @property
    def closed(self) -> frozenset[str]:
        """What is being deleted."""
        return frozenset[str]().union(*(one.keys for one in self.collections if one.is_closed))


def read_trash(handle: Handle) -> Trash:
    """What is condemned on the store. Raises DamageError for a collection that cannot be read: what is in it must be
    known before anything is relied upon.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _read_trash(handle)
        except NotFoundError:
            continue  # a collection that is done was removed between listing and reading
    raise ConflictError("collections keep coming and going", hint="try again")


def _read_trash(handle: Handle) -> Trash:
    series: dict[str, list[ObjectInfo]] = {}
    for info in handle.store.list(TRASH):
        if _is_generation(info.key):
            series.setdefault(info.key[len(TRASH) : -11], []).append(info)
    seen = (_read_collection(handle, name, sorted(infos)) for name, infos in series.items())
    return Trash(tuple(one for one in seen if one is not None))


def _read_collection(handle: Handle, name: str, infos: list[ObjectInfo]) -> SeenCollection | None:
    keys: set[str] = set()
    closed, condemned_ns, created_ns, closed_ns = False, 0, 0, 0
    following = _following(infos)
    counted = 0
    for info, record in _records(handle, following):
        counted += 1
        if record.state == CLOSED:
            keys, closed, closed_ns = set(record.keys), True, info.modified_ns
        elif record.state == RESCUED:
            keys.difference_update(() if closed else record.keys)
        elif generation_of(info.key) == 1:
            keys, condemned_ns, created_ns = set(record.keys), info.modified_ns, record.created
    if not counted:
        return None
    generations = tuple(info.key for info in infos)
    highest = generation_of(following[-1].key) or 0
    return SeenCollection(name, frozenset(keys), closed, condemned_ns, created_ns, closed_ns, highest, generations)


def _is_generation(key: str) -> bool:
    """Whether it may be one: nobody comes that far by counting, and after the last one there must be a next."""
    return 0 < (generation_of(key) or 0) <= _GENERATION_MAX


def _following(infos: list[ObjectInfo]) -> list[ObjectInfo]:
    """The generations from the lowest on, up to the first gap."""
    found: list[ObjectInfo] = []
    for info in infos:
        if found and generation_of(info.key) != (generation_of(found[-1].key) or 0) + 1:
            break
        found.append(info)
    return found


def _records(handle: Handle, infos: list[ObjectInfo]) -> Iterator[tuple[ObjectInfo, Condemned]]:
    """The generations that count, in order."""
    for info in infos:
        try:
            yield info, _read(handle, info.key)
        except UntrustedError as error:
            handle.progress.note(f"passed over: {error.message}")


def _read(handle: Handle, key: str) -> Condemned:
    try:
        opened = read_document(handle.keys, Kind.TRASH, key, handle.store.get(key))
        signer = handle.keys.trusted_signer(Kind.TRASH, opened.signer, key)
        record = _checked(opened.body, key, signer)
    except UnsupportedFormatError:
        raise
    except DamageError as error:
        raise DamageError(error.message, hint=_UNREADABLE, object_name=key) from error
    if signer.role not in _ROLES[record.state] or (signer.revoked is not None and record.created >= signer.revoked):
        raise _not_his_to_say(key, signer)
    return record


def _checked(body: bytes, key: str, signer: Signer) -> Condemned:
    """The record. Raises DamageError; UntrustedError where only a writer said it, who must not stop all others."""
    try:
        record = decode_record(body, Condemned, key)
        if record.state not in _ROLES or f"{TRASH}{record.collection}/" != key[:-10]:
            raise DamageError(f"{key} is not a generation of its collection", object_name=key)
        for named in record.keys:
            if not named.startswith((PACKS, PARTS)):
                raise DamageError(f"{key} condemns {named!r}, which is never collected", object_name=key)
    except DamageError as error:
        if signer.role == "keeper":
            raise
        raise _not_his_to_say(key, signer) from error
    return record


def _not_his_to_say(key: str, signer: Signer) -> UntrustedError:
    return UntrustedError(
        f"{key} is signed by {signer.label!r}, who may not say that",
        hint="only keepers condemn; ask who has that key",
        object_name=key,
    )


def condemn(handle: Handle, keys: Iterable[str]) -> list[str]:
    """Begin collections of these objects. Returns their names. Raises CredentialError for all but keepers."""
    handle.keys.require_keeper("collecting")
    listed = sorted(keys)
    names = []
    for start in range(0, len(listed), _KEYS_AT_ONCE):
        name = secrets.token_hex(8)
        _append(handle, name, 0, CONDEMNED, listed[start : start + _KEYS_AT_ONCE])
        names.append(name)
    return names


def rescue(handle: Handle, trash: Trash, keys: Collection[str]) -> frozenset[str]:
    """Take these keys out of the collections that condemn them. Returns those for which it is too late.

    For who copies objects under names that are given. The lease that the caller holds keeps them from then on.
    """
    late: set[str] = set()
    for collection in trash.collections:
        wanted = collection.keys.intersection(keys)
        if wanted:
            late |= _rescue_from(handle, collection, wanted)
    return frozenset(late)


def _rescue_from(handle: Handle, collection: SeenCollection, wanted: frozenset[str]) -> frozenset[str]:
    now: SeenCollection | None = collection
    for _ in range(_ATTEMPTS):
        if now is None:
            return frozenset()  # it ended before it closed: nothing was deleted
        if now.is_closed:
            return wanted & now.keys
        if not wanted & now.keys:
            return frozenset()  # somebody else did it
        if _append(handle, now.id, now.highest, RESCUED, sorted(wanted)):
            return frozenset()
        now = _again(handle, now.id)
    raise ConflictError(f"collection {collection.id} keeps changing", hint="try again")


def close(handle: Handle, collection: SeenCollection, keys: Iterable[str]) -> bool:
    """Say that these objects are deleted now. False when the collection has changed since it was read: look anew."""
    handle.keys.require_keeper("collecting")
    return _append(handle, collection.id, collection.highest, CLOSED, sorted(keys))


def remove_collection(handle: Handle, collection: SeenCollection) -> None:
    """Take the whole series away, its end last: that one says by itself what is being deleted."""
    for key in collection.generations:
        handle.store.delete(key)


def _append(handle: Handle, name: str, highest: int, state: str, keys: list[str]) -> bool:
    key = f"{TRASH}{name}/{highest + 1:010d}"
    record = encode_record(Condemned(name, state, keys, handle.clock.now_ns()))
    if len(record) > body_max(Kind.TRASH):
        raise ConflictError(f"{key} would list too many objects", hint="collect in smaller steps")
    return create_once(handle.store, key, write_document(handle.keys, Kind.TRASH, key, record))


def _again(handle: Handle, name: str) -> SeenCollection | None:
    infos = [info for info in handle.store.list(f"{TRASH}{name}/") if _is_generation(info.key)]
    return _read_collection(handle, name, sorted(infos))
