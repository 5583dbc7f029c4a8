"""The audit log: groups of entries of a member, signatures within them, and changes of the log's key."""

from __future__ import annotations

import threading
from functools import lru_cache

import msgspec

from fuzz.model import Broken, Target
from holdfast.audit.declaration import Since, declare, decode_declaration, read_declared
from holdfast.audit.entries import decode_leaf, encode
from holdfast.audit.groups import decode_group, expand, sign_group
from holdfast.audit.key_changes import KEY_CHANGE, Named, change_objects, named_keys
from holdfast.audit.layout import DECLARATIONS, pending_key
from holdfast.audit.log_keys import Change
from holdfast.audit.members import Member, check_signed
from holdfast.audit.merkle import EMPTY_ROOT
from holdfast.audit.signing_keys import NoteKey
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import TrialLog, an_entry
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["TARGETS"]

_SIGNER = SigningKey(bytes(range(64)))
_MARK = fingerprint(_SIGNER.public)
_KEYS = [NoteKey("log", "fuzz.test/log", bytes([number]) * 32, bytes([number]) * 32) for number in range(2)]
_JSON = (
    b'{"',
    b'":',
    b"null",
    b'"v":1',
    b"[]",
    b"\\u0000",
    b"1e999",
    b"-1",
    b'"signature":"',
    b'{"entries":[',
    b"9" * 10,
)
_LOCK = threading.Lock()


@lru_cache
def _group() -> bytes:
    log = TrialLog(MemoryStore(), _KEYS[0], {"a": _SIGNER})
    entries = [an_entry(log.actor("a"), action) for action in ("one", "two", "three")]
    return sign_group(_SIGNER, log.key.name, 1, "", entries)[0]


def _in_spool(data: bytes) -> None:
    """Only a group that the member signed comes into the log, and it leaves the log sound."""
    log = TrialLog(MemoryStore(), _KEYS[0], {"a": _SIGNER})
    log.store.put(pending_key(_MARK, 1), data)
    taken = log.sequence(grace_seconds=0)
    if taken.entries and data != _group():
        raise Broken("a group that its member did not sign came into the log")
    if taken.entries and not log.verify().sound:
        raise Broken("a group that was taken makes the log unsound")
    group = decode_group(data, "x")
    if msgspec.json.encode(group, order="sorted") != data:
        raise Broken("a group is not written as it was read")
    if len(expand(group, _SIGNER.public, "x").leaves) != taken.entries:
        raise Broken("a group that its member signed did not come into the log")


@lru_cache
def _leaves() -> list[bytes]:
    return expand(decode_group(_group(), "x"), _SIGNER.public, "x").leaves


def _signature(data: bytes) -> None:
    """Whatever stands as the signature of an entry: only its own is taken."""
    leaf = decode_leaf(_leaves()[1], "x").signed
    if leaf is None:
        raise Broken("a leaf of a group is a member's")
    member = Member("a", "writer", _SIGNER.public)
    check_signed(msgspec.structs.replace(leaf, signature=data), _KEYS[0].name, {_MARK: member}, "x")
    if data != leaf.signature:
        raise Broken("an entry was taken with a signature that is another one's")


def _key_change(data: bytes) -> None:
    """An entry that names the log's next keys names keys."""
    named = named_keys(data)
    entry = decode_leaf(data, "x").entry
    if named is None:
        return
    if entry.action != KEY_CHANGE or named.ed25519 != entry.objects["ed25519"]:
        raise Broken("an entry names keys that it does not name")


def _naming() -> bytes:
    log = TrialLog(MemoryStore(), _KEYS[0], {"a": _SIGNER})
    entry = msgspec.structs.replace(an_entry(log.actor("a"), KEY_CHANGE), objects=change_objects(_KEYS[1].keys))
    if named_keys(encode(entry)) != Named.of(_KEYS[1].keys):
        raise Broken("what names the next keys is not read as that")
    return encode(entry)


@lru_cache
def _declarations() -> MemoryStore:
    store, keeper = MemoryStore(), {_MARK: Member("keeper", "keeper", _SIGNER.public)}
    for number, key in enumerate(_KEYS):
        declare(
            store,
            _SIGNER,
            origin=key.name,
            keys=key.keys,
            witnesses=[],
            quorum=0,
            names=False,
            created_ns=1,
            before=read_declared(store, keeper) if number else None,
            since=Change(0, 0, EMPTY_ROOT, handed_over=False) if number else None,
        )
    return store


def _declaration(data: bytes) -> None:
    """The second declaration of a log, which changes its keys: it counts as the keeper wrote it, or not at all."""
    with _LOCK:
        store = _declarations().fork()
    place = f"{DECLARATIONS}0000000002"
    honest = store.get(place)
    store.put(place, data)
    declared = read_declared(store, {_MARK: Member("keeper", "keeper", _SIGNER.public)})
    if len(declared.counting) == 2 and data != honest:
        raise Broken("a declaration counts that no keeper signed")
    if len(declared.counting) == 1 and tuple(declared.all_keys) != _KEYS[0].keys:
        raise Broken("a declaration that does not count changed the keys")
    found = decode_declaration(data, "x")
    if msgspec.json.encode(found, order="sorted") != data:
        raise Broken("a declaration is not written as it was read")


def _change() -> bytes:
    data = _declarations().get(f"{DECLARATIONS}0000000002")
    if not isinstance(decode_declaration(data, "x").since, Since):
        raise Broken("a change of keys says since when")
    return data


TARGETS = [
    Target(
        "audit-group", "`decode_group`, `expand`, `decode_spooled`, `sequence_pending`", _in_spool,
        lambda: [_group()], _JSON,
    ),
    Target(
        "audit-group-signature", "`verify_entry`, `check_signed`", _signature,
        lambda: [decode_leaf(_leaves()[1], "x").signed.signature], (b"\0\3\0\1", b"\0\2", b"\1\0"),  # type: ignore[union-attr]
    ),
    Target("audit-key-change", "`named_keys`", _key_change, lambda: [_naming()], (b"+", b'"ed25519":"', *_JSON)),
    Target(
        "audit-key-declared", "`decode_declaration`, `read_declared`, `LogKeys`", _declaration, lambda: [_change()],
        (b'"since":{', b'"handed_over":true', b'"size":', *_JSON),
    ),
]  # fmt: skip
