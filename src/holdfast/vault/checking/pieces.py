"""Reading a snapshot back in pieces: runs of its chunks, by their numbers, each read, decoded and compared with its id.

A chunk is in one piece only, however many files it is in. Whoever does a piece reads the manifest by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import ConflictError
from holdfast.ids import ChunkId, SnapshotId
from holdfast.vault.checking.verifying import DECODED, Verified, snapshot_chunks
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.reading import Wanted

__all__ = ["CheckPiece", "SpreadReading", "check_piece", "chunks_mark", "cut_chunks"]


class CheckPiece(NamedTuple):
    """The chunks with the numbers [first, stop) of the snapshot whose root has this key; `bytes` of plaintext.

    `mark`: see `chunks_mark`.
    """

    key: str
    mark: str
    first: int
    stop: int
    bytes: int


class SpreadReading:
    """Reads a snapshot back by handing out pieces. For `Vault.verify(reading=…)`."""

    def __init__(
        self,
        hand_out: Callable[[Sequence[CheckPiece]], Iterator[CheckPiece]],
        piece_bytes: Callable[[int], int],
    ) -> None:
        """`hand_out` yields each piece when it was found good, and raises what is wrong with one. `piece_bytes`: bytes
        in all → bytes of a piece.
        """
        self._hand_out = hand_out
        self._piece_bytes = piece_bytes

    def __call__(self, handle: Handle, root: Root) -> Verified:
        """As `verify_decoded`."""
        files, lengths = snapshot_chunks(handle, root)
        total = sum(lengths.values())
        handle.progress.phase("verifying", total)
        key, mark = handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id)), chunks_mark(lengths)
        pieces = [
            CheckPiece(key, mark, first, stop, size)
            for first, stop, size in cut_chunks(list(lengths.values()), self._piece_bytes(total))
        ]
        for piece in self._hand_out(pieces):
            handle.progress.advance(piece.bytes)
        return Verified(DECODED, files, len(lengths), total)


def cut_chunks(lengths: Sequence[int], piece_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Runs of neighbours: (first, stop, bytes). Each ends with the chunk with which it has `piece_bytes` or more."""
    first = size = 0
    for number, length in enumerate(lengths):
        size += length
        if size >= piece_bytes:
            yield first, number + 1, size
            first, size = number + 1, 0
    if first < len(lengths):
        yield first, len(lengths), size


def chunks_mark(lengths: Mapping[ChunkId, int]) -> str:
    """64 hex digits that tell whether two readers of a snapshot have the same chunks, in the same order."""
    hasher = blake3()
    for chunk, length in lengths.items():
        hasher.update(b"%s %d " % (chunk, length))
    return hasher.hexdigest()


def check_piece(handle: Handle, lengths: Mapping[ChunkId, int], mark: str, piece: CheckPiece, *, workers: int) -> None:
    """Fetch, open and decode the chunks of a piece, and compare each with its id. `lengths`, `mark`: of the snapshot.

    Raises DamageError, ConflictError (the snapshot has other chunks here).
    """
    if mark != piece.mark:
        raise ConflictError("the snapshot has lost components since the check began", hint="run it again")
    chosen = islice(lengths.items(), piece.first, piece.stop)
    wanted = (Wanted(chunk, length, None) for chunk, length in chosen)
    handle.reader().stream(wanted, lambda one, data: None, workers=workers)
