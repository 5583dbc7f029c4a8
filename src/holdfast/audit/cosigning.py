"""Collecting cosignatures: into `audit/cosignatures/<generation>/`, from where they go into `audit/checkpoint`.

Each object is made of its content: nobody can take the place of another's, and lines of unknown keys are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import sha256

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.layout import COSIGNATURES, create_same, generation_key
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import NoteSignature
from holdfast.audit.reading import LogReader, Signed
from holdfast.audit.tiles import Frontier
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.audit.witness_http import ask_witness, http_asker
from holdfast.audit.witnessing import Answer, Witness
from holdfast.errors import DamageError, ObjectNotFoundError
from holdfast.stores.protocol import Store

__all__ = ["store_cosignatures", "witness_here", "witness_at", "check_new_entries"]


def store_cosignatures(store: Store, generation: int, lines: Sequence[NoteSignature]) -> None:
    """Idempotent. Raises what the store raises."""
    data = "".join(one.line for one in lines).encode()
    name = f"{generation_key(COSIGNATURES, generation)}/{sha256(data).hexdigest()[:32]}"
    create_same(store, name, data)


def witness_here(witness: Witness, reader: LogReader, signed: Signed) -> list[NoteSignature]:
    """A witness that reads the log's store itself: a daemon of another site.

    More than the protocol asks for: what came since it looked last is read, entry by entry, and must be what was
    signed. Raises DamageError (a fork, a rollback; entries that are gone, changed or in another order), and what the
    witness's own store raises.
    """
    seen, new = witness.seen(reader.origin), signed.checkpoint
    old = min(seen.size, new.size) if seen is not None else 0
    return ask_witness(
        partial(_answer_after_reading, witness, reader, seen, new),
        reader,
        signed,
        witness.key.keys,
        f"the witness {witness.key.name}",
        old=old,
    )


def _answer_after_reading(
    witness: Witness, reader: LogReader, seen: Checkpoint | None, new: Checkpoint, data: bytes
) -> Answer:
    if seen is None or (seen.size < new.size and _continues(reader, seen, new)):
        check_new_entries(reader, seen, new)
    return witness.add_checkpoint(data)


def _continues(reader: LogReader, seen: Checkpoint, new: Checkpoint) -> bool:
    try:
        reader.check_extends(seen, new)
    except DamageError:
        return False  # a fork: the witness itself says so
    return True


def check_new_entries(reader: LogReader, seen: Checkpoint | None, new: Checkpoint) -> None:
    """That the entries after `seen` are those that make the tree of `new`. Raises DamageError."""
    try:
        frontier = reader.frontier(seen.size) if seen is not None else Frontier()
        for _ in frontier.grow(hash_leaf(entry) for _, entry in reader.entries(frontier.size, new)):
            pass
    except ObjectNotFoundError as error:
        raise DamageError(f"{error.object_name} of the audit log is gone", object_name=error.object_name) from error
    if (frontier.size, frontier.root()) != (new.size, new.root):
        raise DamageError(
            f"the entries up to {new.size} are not those that the log has signed: some are gone, changed or reordered",
            hint="`holdfast audit verify` says which; keep what is there as evidence",
        )


def witness_at(url: str, reader: LogReader, signed: Signed, keys: Sequence[VerifierKey]) -> list[NoteSignature]:
    """A witness that is asked over HTTP. Raises DamageError (fork, rollback), StoreUnreachableError, FailedError."""
    return ask_witness(partial(http_asker, url), reader, signed, keys, f"the witness at {url}")
