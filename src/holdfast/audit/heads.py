"""The last entry of each member that is in a log: from the batch of the last commit, or else from all entries."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.audit.batches import BATCH_BYTES_MAX, Batch, batch_prefix, decode_batch
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import decode_leaf
from holdfast.audit.reading import LogReader, Signed
from holdfast.audit.spool import Head, head_of
from holdfast.errors import DamageError, ObjectNotFoundError, UntrustedError

__all__ = ["find_batch", "heads_from_entries", "members_heads"]


def members_heads(reader: LogReader, newest: Signed) -> Mapping[str, Head]:
    """Member -> last entry. Reads the whole log where the batch is gone. Raises DamageError, ObjectNotFoundError."""
    batch = find_batch(reader, newest)
    return batch.heads if batch is not None else heads_from_entries(reader, newest.checkpoint)


def find_batch(reader: LogReader, newest: Signed) -> Batch | None:
    """The batch that this checkpoint committed, if it is still there and the log has signed it."""
    for info in reader.store.list(batch_prefix(newest.generation)):
        if info.size > 2 * BATCH_BYTES_MAX:
            continue
        try:
            batch = decode_batch(reader.store.get(info.key), reader.keys, info.key)
        except (DamageError, UntrustedError, ObjectNotFoundError):
            continue
        if (batch.generation, batch.root) == (newest.generation, newest.checkpoint.root):
            return batch
    return None


def heads_from_entries(reader: LogReader, checkpoint: Checkpoint) -> dict[str, Head]:
    """The same, from the entries themselves, each compared with the tree that was signed. Raises DamageError."""
    heads: dict[str, Head] = {}
    for number, data in reader.checked_entries(checkpoint):
        try:
            signed = decode_leaf(data, f"entry {number}").signed
        except DamageError:
            continue
        if signed is not None:
            heads[signed.member] = head_of(signed.number, data)
    return heads
