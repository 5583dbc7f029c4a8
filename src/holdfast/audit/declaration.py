"""What the log is: its origin, its public keys, its witnesses. Said by a keeper, in a series of its own.

`audit/log/<generation>`: JSON with sorted keys, signed by a keeper of the vault. The highest generation that a trusted
keeper signed counts. One with other keys than the one before says since when they count (`since`: a checkpoint, the
last one that the keys before may sign); those before still count for what they signed up to there. The origin never
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.audit.layout import DECLARATIONS, create_same, generation_in, generation_key
from holdfast.audit.log_keys import Change, Era, LogKeys
from holdfast.audit.members import Member
from holdfast.audit.merkle import HASH_SIZE
from holdfast.audit.verifier_keys import Kind, VerifierKey, is_key_name, parse_vkey
from holdfast.errors import (
    ConflictError,
    DamageError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    UntrustedError,
    UsageError,
)
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SigningKey, fingerprint, verify

__all__ = ["Declaration", "Declared", "declare", "decode_declaration", "read_declared", "find_declared"]

_STATEMENT = b"holdfast 1 audit log\0"
_WITNESSES_MAX = 32
_BYTES_MAX = 1 << 20


class Since(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See `holdfast.audit.log_keys.Change`."""

    generation: int
    size: int
    root: bytes
    handed_over: bool

    @property
    def change(self) -> Change:
        return Change(self.generation, self.size, self.root, self.handed_over)


class Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`keys` and `witnesses` are verifier keys as text. `quorum`: how many witnesses a checkpoint should have. `since`:
    only where the keys are others than before.

    `names`: whether entries may hold plain names. `signer`: the fingerprint of the keeper.
    """

    v: int = 1
    generation: int
    origin: str
    keys: list[str]
    witnesses: list[str]
    quorum: int
    names: bool
    created_ns: int
    signer: str
    signature: bytes
    since: Since | msgspec.UnsetType = msgspec.UNSET

    @property
    def message(self) -> bytes:
        return _STATEMENT + _encode(msgspec.structs.replace(self, signature=b""))


class Declared:
    """The declarations of a log that count. `keys` are those that may sign now, `all_keys` those that ever might."""

    def __init__(self, counting: Sequence[Declaration]) -> None:
        """Lowest generation first; at least one."""
        self.counting = tuple(counting)
        self.newest = counting[-1]
        self.origin = self.newest.origin
        self.keys = [parse_vkey(one) for one in self.newest.keys]
        eras = [
            Era(tuple(parse_vkey(key) for key in one.keys), one.since.change if one.since else None)
            for at, one in enumerate(counting)
            if at == 0 or one.since
        ]
        self.all_keys = LogKeys(eras)
        self.witnesses = [parse_vkey(one) for one in self.newest.witnesses]


def declare(
    store: Store,
    keeper: SigningKey,
    *,
    origin: str,
    keys: Sequence[VerifierKey],
    witnesses: Sequence[VerifierKey],
    quorum: int,
    names: bool,
    created_ns: int,
    before: Declared | None,
    since: Change | None = None,
) -> Declaration:
    """Write the next generation. `since`: where the keys are others than before.

    Raises UsageError, RefusedError (another origin), ConflictError (lost a race).
    """
    if before is not None and before.origin != origin:
        raise RefusedError(f"the log is {before.origin}; it cannot become {origin}")
    generation = before.newest.generation + 1 if before is not None else 1
    taken = [generation_in(info.key, DECLARATIONS) for info in store.list(DECLARATIONS)]
    bare = Declaration(
        generation=max([generation, *(one + 1 for one in taken if one)]),
        origin=origin,
        keys=[one.vkey for one in keys],
        witnesses=[one.vkey for one in witnesses],
        quorum=quorum,
        names=names,
        created_ns=created_ns,
        signer=fingerprint(keeper.public),
        signature=b"",
        since=Since(**since._asdict()) if since is not None else msgspec.UNSET,
    )
    declaration = msgspec.structs.replace(bare, signature=keeper.sign(bare.message))
    problem = _problem(declaration) or _problem_with_keys(declaration, before.counting if before is not None else ())
    if problem:
        raise UsageError(f"this cannot be declared: {problem}")
    key = generation_key(DECLARATIONS, declaration.generation)
    if not create_same(store, key, _encode(declaration)):
        raise ConflictError(f"somebody else wrote {key} at the same time", hint="try again", object_name=key)
    return declaration


def decode_declaration(data: bytes, name: str) -> Declaration:
    """Raises DamageError."""
    try:
        declaration = msgspec.json.decode(data, type=Declaration)
        same = _encode(declaration) == data
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamageError(f"{name} does not describe an audit log", object_name=name) from None
    problem = "it is not written as such" if not same else _problem(declaration)
    if problem:
        raise DamageError(f"{name} does not describe an audit log: {problem}", object_name=name)
    return declaration


def read_declared(store: Store, members: Mapping[str, Member]) -> Declared:
    """What keepers among `members` have declared. Raises NotFoundError (no log), UntrustedError (of no keeper).

    A keeper who was revoked counts for what it declared before.
    """
    counting: list[Declaration] = []
    others = 0
    for info in store.list(DECLARATIONS):
        generation = generation_in(info.key, DECLARATIONS) if info.size <= _BYTES_MAX else 0
        try:
            declaration = decode_declaration(store.get(info.key), info.key) if generation else None
            if declaration is not None and _counts(declaration, generation, members, counting):
                counting.append(declaration)
                continue
        except HoldfastError as error:
            if not isinstance(error, (DamageError, UntrustedError, NotFoundError)):
                raise
        others += 1
    if counting:
        return Declared(counting)
    if others:
        raise UntrustedError(
            f"no keeper of the vault has signed what lies below {DECLARATIONS} in {store.url}",
            hint="somebody without a keeper's key put it there",
            object_name=DECLARATIONS,
        )
    raise NotFoundError(f"there is no audit log in {store.url}", hint="make one: `holdfast audit create`")


def find_declared(store: Store, members: Mapping[str, Member]) -> Declared | None:
    """The same, or None where there is no log."""
    try:
        return read_declared(store, members)
    except NotFoundError:
        return None


def _counts(
    declaration: Declaration, generation: int, members: Mapping[str, Member], before: Sequence[Declaration]
) -> bool:
    keeper = members.get(declaration.signer)
    if keeper is None or keeper.role != "keeper" or declaration.generation != generation:
        return False
    if keeper.revoked_ns is not None and declaration.created_ns >= keeper.revoked_ns:
        return False
    if (before and before[-1].origin != declaration.origin) or _problem_with_keys(declaration, before):
        return False
    verify(keeper.public, declaration.message, declaration.signature)
    return True


def _problem(declaration: Declaration) -> str:
    if declaration.v != 1 or not 0 < declaration.generation < 10**10:
        return "its version or generation is not known here"
    if not is_key_name(declaration.origin):
        return "the origin is not the name of a log"
    try:
        keys = [parse_vkey(one) for one in declaration.keys]
        witnesses = [parse_vkey(one) for one in declaration.witnesses[: 2 * _WITNESSES_MAX]]
    except UsageError as error:
        return error.message
    if [key.kind for key in keys] != [Kind.ED25519, Kind.MLDSA44_COSIGNATURE]:
        return "a log has an Ed25519 key and an ML-DSA-44 key"
    if any(key.name != declaration.origin for key in keys):
        return "a key of the log has another name than the log"
    if any(key.kind is Kind.ED25519 for key in witnesses) or len(declaration.witnesses) > 2 * _WITNESSES_MAX:
        return "witnesses have cosignature keys, and are 32 at most"
    if not 0 <= declaration.quorum <= len({key.name for key in witnesses}):
        return "a quorum is not larger than the number of witnesses"
    since = declaration.since
    if since and not (0 <= since.generation < 10**10 and 0 <= since.size < 1 << 63 and len(since.root) == HASH_SIZE):
        return "what it says of the change of keys is malformed"
    if since and since.handed_over and not (since.generation and since.size):
        return "a log without entries has handed nothing over"
    return "" if 0 <= declaration.created_ns < 1 << 63 else "its time is no time"


def _problem_with_keys(declaration: Declaration, before: Sequence[Declaration]) -> str:
    """Other keys than before say since when, come after those before, and were never the log's."""
    since = declaration.since
    if not before or declaration.keys == before[-1].keys:
        return "it changes the keys, and has the same" if since else ""
    if not since:
        return "it has other keys than before, and does not say since when"
    if any(set(declaration.keys) & set(one.keys) for one in before):
        return "a key of it was the log's before: a new one has to be new"
    earlier = [one.since for one in before if one.since]
    if earlier and not (since.generation > earlier[-1].generation and since.size >= earlier[-1].size):
        return "its keys would count from before the last change on"
    return ""


def _encode(declaration: Declaration) -> bytes:
    return msgspec.json.encode(declaration, order="sorted")
