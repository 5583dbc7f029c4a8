"""A restore cut into pieces: ranges of files, each written in place into the one staging folder, by whoever sees it.

The coordinator makes all places, hands the pieces out, and publishes when all of them are done. A piece names entries
of the snapshot by their numbers: whoever does it reads the manifest from the vault and checks it by itself, so neither
names nor chunk ids travel. Each chunk is compared with its id before it is written, and what a piece has written is on
disk when it says so. A piece may be done twice, also by two at the same time: both write the same bytes to one place.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import ConflictError, RefusedError
from holdfast.ids import SnapshotId
from holdfast.stores.folders import sync_folder
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.fallback import FallbackHandle, Taken
from holdfast.vault.restoring.restore import Laid, Wrote, snapshot_entries
from holdfast.vault.restoring.staging import translate_os_error
from holdfast.vault.restoring.writing import TreeWriter
from holdfast.vault.snapshots.labels import entry_chunks

__all__ = ["Span", "RestorePiece", "SpreadWriting", "cut_files", "entries_mark", "read_entries", "write_piece"]


class Span(NamedTuple):
    """Of one file, the chunks that begin at `start` or after it, and before `stop`: offsets in bytes.

    `entry`: its number among all entries of the snapshot, in order of their paths.
    """

    entry: int
    start: int
    stop: int


class RestorePiece(NamedTuple):
    """What somebody is to write. `key`: of the root. `mark`: see `entries_mark`. `place`: the staging place, `folder`
    or file, and `token` what a file in it, or beside it, says. `resumed`: look first at what is there already.
    `bytes`: of plaintext.
    """

    key: str
    mark: str
    place: str
    folder: bool
    token: str
    resumed: bool
    spans: tuple[Span, ...]
    bytes: int


class SpreadWriting:
    """Writes the files of a restore by handing out pieces. For `restore(writing=…)`."""

    def __init__(
        self,
        hand_out: Callable[[Sequence[RestorePiece]], Iterator[tuple[RestorePiece, Wrote]]],
        piece_bytes: Callable[[int], int],
    ) -> None:
        """`hand_out` does the pieces, in any order, and raises what ends the restore. `piece_bytes`: bytes in all →
        bytes of a piece.
        """
        self._hand_out = hand_out
        self._piece_bytes = piece_bytes

    def __call__(self, handle: Handle, root: Root, laid: Laid) -> Wrote:
        """Raises what the pieces raise."""
        numbers = {entry.path: number for number, entry in enumerate(laid.entries)}
        files = [(numbers[entry.path], entry) for entry in laid.files]
        stored = sum(length for entry in laid.files for length, kind, _, _ in entry.runs if kind != 3)
        holes = sum(entry.size for entry in laid.files) - stored
        handle.progress.advance(holes)
        token = secrets.token_hex(16)
        shown = _token_file(laid.place, token, folder=laid.folder)
        key = handle.keys.names.snapshot_key(root.asset, SnapshotId(root.id))
        pieces = [
            RestorePiece(
                key=key,
                mark=entries_mark(laid.entries),
                place=str(laid.place),
                folder=laid.folder,
                token=token,
                resumed=laid.resumed,
                spans=spans,
                bytes=size,
            )
            for spans, size in cut_files(files, self._piece_bytes(stored))
        ]
        resumed, taken = 0, dict[str, Taken]()
        _write_token(shown, token)
        try:
            for piece, wrote in self._hand_out(pieces):
                handle.progress.advance(piece.bytes)
                resumed += wrote.resumed_bytes
                for url, there in wrote.from_replicas.items():
                    before = taken.get(url, Taken(0, 0))
                    taken[url] = Taken(before.chunks + there.chunks, before.bytes + there.bytes)
        finally:
            shown.unlink(missing_ok=True)
        return Wrote(resumed, taken)


def cut_files(files: Sequence[tuple[int, Entry]], piece_bytes: int) -> Iterator[tuple[tuple[Span, ...], int]]:
    """Groups of neighbouring files, and ranges of large ones, with the plaintext bytes of their chunks.

    A piece ends at the first chunk with which it has `piece_bytes` or more. Neighbours stay together: what was saved
    together lies in the same packs.
    """
    spans: list[Span] = []
    size = 0
    for number, entry in files:
        start: int | None = None
        chunks = entry_chunks(entry)
        for position, (offset, length, _, _) in enumerate(chunks):
            start = offset if start is None else start
            size += length
            if size >= piece_bytes or position == len(chunks) - 1:
                spans.append(Span(number, start, offset + 1))
                start = None
            if size >= piece_bytes:
                yield tuple(spans), size
                spans, size = [], 0
    if spans:
        yield tuple(spans), size


def entries_mark(entries: Sequence[Entry]) -> str:
    """64 hex digits that tell whether two readers of a snapshot have the same entries, in the same order.

    They may differ: a component may be given up meanwhile, and all numbers after it would mean other files.
    """
    hasher = blake3()
    for entry in entries:
        hasher.update(b"%d %s %d %d " % (len(entry.path), entry.path, entry.size, len(entry.chunks)))
        hasher.update(entry.chunks)
    return hasher.hexdigest()


def write_piece(handle: Handle, entries: Sequence[Entry], mark: str, piece: RestorePiece, *, workers: int) -> Wrote:
    """Fetch, check and write what a piece names. `entries`: of the snapshot, all of them, and their mark.

    Raises ConflictError (the snapshot has other entries here), RefusedError (the staging place is not the
    coordinator's), DamageError, and what else reading and writing raise.
    """
    if mark != piece.mark:
        raise ConflictError(
            "the snapshot has lost components since the restore began", hint="run it again: what is written is kept"
        )
    place = Path(piece.place)
    _require_token(place, piece.token, folder=piece.folder)
    writer = TreeWriter(handle, place, folder=piece.folder, resumed=piece.resumed)
    try:
        spans = [(entries[span.entry], span.start, span.stop) for span in piece.spans]
        handle.reader().stream(writer.wanted_spans(spans), writer.write, workers=workers)
        writer.close()
        for entry in dict.fromkeys(entry.path for entry, _, _ in spans):
            _sync(place / os.fsdecode(entry) if piece.folder else place)
    except OSError as error:
        raise translate_os_error(error, place) from error
    finally:
        writer.close()
    taken: Mapping[str, Taken] = handle.replicas.taken() if isinstance(handle, FallbackHandle) else {}
    return Wrote(writer.resumed_bytes, taken)


def read_entries(handle: Handle, root: Root) -> tuple[list[Entry], str]:
    """The entries that a piece's numbers mean, and their mark. Raises DamageError."""
    entries = snapshot_entries(handle, root)
    return entries, entries_mark(entries)


def _token_file(place: Path, token: str, *, folder: bool) -> Path:
    """In a staging folder under a name that no file of the snapshot has, and that goes with the folder; else beside."""
    return place / f".holdfast-sharing-{token}" if folder else place.with_name(f"{place.name}.sharing")


def _write_token(path: Path, token: str) -> None:
    """Anew, and never through a link that somebody put there."""
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, token.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise translate_os_error(error, path) from error


def _require_token(place: Path, token: str, *, folder: bool) -> None:
    """A place of the same name on a disk of this machine's own would be written, and nobody would ever see it."""
    try:
        found = _token_file(place, token, folder=folder).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        found = ""
    except OSError as error:
        raise translate_os_error(error, place) from error
    if found != token:
        raise RefusedError(
            f"this machine does not see the restore that grows in {place.parent}",
            hint="a restore over several machines needs a target that all of them share: a network file system",
            object_name=str(place),
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        sync_folder(descriptor)
    finally:
        os.close(descriptor)
