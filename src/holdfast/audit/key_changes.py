"""A log's key hands over to a new one: by an entry in the log itself, the last one that the old key signs.

The entry names the new keys, the checkpoint that has it as its last entry is signed by the old ones and by the new
ones, as C2SP signed-note provides for: whoever knows one pair skips the lines of the other. Then a keeper declares the
new keys, with that checkpoint (`declaration`). So who trusts the old keys is led to the new ones by what the old ones
signed, Ed25519 and ML-DSA-44 alike, and nobody has to believe the keeper alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from holdfast.audit.entries import Entry, decode_leaf
from holdfast.audit.layout import CHECKPOINTS, DECLARATIONS, generation_key
from holdfast.audit.log_keys import Change, Era, LogKeys
from holdfast.audit.notes import open_note
from holdfast.audit.reading import LogReader
from holdfast.audit.verifier_keys import VerifierKey, parse_vkey
from holdfast.errors import DamageError, ObjectNotFoundError, UntrustedError, UsageError

__all__ = ["KEY_CHANGE", "ChangeFinding", "Named", "change_objects", "check_changes", "named_keys"]

KEY_CHANGE = "audit.key"


class Named(NamedTuple):
    """Keys as an entry names them: the Ed25519 key as a verifier key, and the SHA-256 of the ML-DSA-44 key in hex."""

    ed25519: str
    mldsa44: str

    @classmethod
    def of(cls, keys: Sequence[VerifierKey]) -> Named:
        """`keys`: the pair, in that order."""
        return cls(keys[0].vkey, sha256(keys[1].public).hexdigest())


class ChangeFinding(NamedTuple):
    """`kind`: as `holdfast.audit.verifying` has them."""

    kind: str
    object: str
    message: str


def change_objects(keys: Sequence[VerifierKey]) -> dict[str, str]:
    """What the entry says of the new keys."""
    return Named.of(keys)._asdict()


def named_keys(data: bytes) -> Named | None:
    """The keys that this entry of a log names as the next ones; None for any other entry, or one that is a member's."""
    try:
        leaf = decode_leaf(data, "the last entry")
        entry = leaf.entry
        if leaf.signed is not None or not _is_change(entry):
            return None
        parse_vkey(entry.objects["ed25519"])
    except (DamageError, UsageError):
        return None
    return Named(entry.objects["ed25519"], entry.objects["mldsa44"])


def check_changes(reader: LogReader) -> Iterator[ChangeFinding]:
    """Was each change of keys the word of the keys before? Raises what the store raises besides missing objects."""
    eras = reader.keys.eras if isinstance(reader.keys, LogKeys) else ()
    for (_, era), number in zip(pairwise(eras), range(1, len(eras)), strict=False):
        assert era.since is not None
        place = f"{DECLARATIONS} (keys {number + 1})"
        if not era.since.handed_over:
            message = f"a keeper has changed the keys at {era.since.size} entries alone: the old ones did not agree"
            yield ChangeFinding("stray", place, message)
        problem = _problem(reader, era, era.since)
        if problem:
            yield ChangeFinding("fork", place, f"the keys were changed at {era.since.size} entries, and {problem}")


def _problem(reader: LogReader, era: Era, since: Change) -> str:
    """Why that change does not count, or nothing."""
    if since.size == 0:
        return ""
    key = generation_key(CHECKPOINTS, since.generation)
    try:
        signed = reader.signed_at(since.generation)
        if signed.checkpoint.size != since.size or signed.checkpoint.root != since.root:
            return f"{key} is another one than was declared"
        if not since.handed_over:
            return ""
        if set(open_note(signed.note, era.keys, key).signed) != set(era.keys):
            return f"the new ones have not signed {key}"
        entry, _ = reader.proven_entry(since.size - 1, signed.checkpoint)
    except ObjectNotFoundError as error:
        return f"{error.object_name} is gone"
    except (DamageError, UntrustedError) as error:
        return error.message
    return (
        "" if named_keys(entry) == Named.of(era.keys) else "the last entry of the old ones does not name the new ones"
    )


def _is_change(entry: Entry) -> bool:
    return entry.action == KEY_CHANGE and {"ed25519", "mldsa44"} <= set(entry.objects)
