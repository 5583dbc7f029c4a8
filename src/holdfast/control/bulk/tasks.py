"""What a worker does of a piece: it opens the vault by its URL, with the key that its own machine has, and does it.

Functions of this module and plain data are all that travels. No key does, no name of a file or tensor, and no byte of
what is stored: those go from the store to the worker, and from there where they belong. What a worker has opened it
keeps for the next piece of the same run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from holdfast.control.vaults.opening import open_at, store_at
from holdfast.control.vaults.repairing import replicas_at
from holdfast.errors import NotFoundError, RefusedError
from holdfast.events import Progress
from holdfast.ids import ChunkId, PackId
from holdfast.replication.copying.pieces import Carried, carry_packs
from holdfast.vault.checking.pieces import CheckPiece, check_piece, chunks_mark
from holdfast.vault.checking.verifying import snapshot_chunks
from holdfast.vault.collecting.helping import LivePack, ReadPack, read_pack, rewrite_packs
from holdfast.vault.collecting.repacking import Rewritten
from holdfast.vault.format.records import Entry
from holdfast.vault.handle import Handle
from holdfast.vault.restoring.pieces import RestorePiece, read_entries, write_piece
from holdfast.vault.restoring.restore import Wrote
from holdfast.vault.snapshots.finding import read_root

__all__ = [
    "At",
    "Copying",
    "Done",
    "Task",
    "do_check",
    "do_copy",
    "do_read_packs",
    "do_restore",
    "do_rewrite",
]

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Kept = TypeVar("Kept")

_THREADS: Final = 2  # of one piece: while one decodes, the other fetches; the machine's other cores do other pieces
_NOTES_MAX: Final = 20


class At(NamedTuple):
    """Where a store is: a URL, and options of it, which hold no secrets."""

    url: str
    options: tuple[tuple[str, str], ...] = ()


class Task(NamedTuple, Generic[Piece]):
    """A piece of a run, and what it is to be done on. `run`: what one command or call does has one name, and opens the
    vault once in each worker. `vault`: its id.
    """

    run: str
    vault: str
    at: At
    replicas: tuple[At, ...]
    piece: Piece


class Copying(NamedTuple):
    """Packs to copy from one store to another."""

    source: At
    target: At
    keys: tuple[str, ...]


class Done(NamedTuple, Generic[Result]):
    """What came of a piece, and what a person should read of it."""

    result: Result
    notes: tuple[str, ...] = ()


def do_restore(task: Task[RestorePiece]) -> Done[Wrote]:
    """Write a piece of a restore. Raises CredentialError (no key here, or one that cannot read), RefusedError (another
    vault, a staging place that is not shared), and what `write_piece` raises.
    """
    opened = _open(task)
    handle, piece = opened.handle, task.piece

    def read() -> tuple[list[Entry], str]:
        return read_entries(handle, read_root(handle, piece.key))

    entries, mark = opened.keep(("entries", piece.key), read)
    return Done(write_piece(handle, entries, mark, piece, workers=_THREADS), opened.notes.take())


def do_check(task: Task[CheckPiece]) -> Done[None]:
    """Read a piece of a snapshot back. Raises as `do_restore`, and DamageError."""
    opened = _open(task)
    handle, piece = opened.handle, task.piece

    def read() -> tuple[dict[ChunkId, int], str]:
        _, lengths = snapshot_chunks(handle, read_root(handle, piece.key))
        return lengths, chunks_mark(lengths)

    lengths, mark = opened.keep(("chunks", piece.key), read)
    check_piece(handle, lengths, mark, piece, workers=_THREADS)
    return Done(None, opened.notes.take())


def do_read_packs(task: Task[tuple[PackId, ...]]) -> Done[list[ReadPack]]:
    """Read packs whole for a collection. Raises as `do_restore`."""
    opened = _open(task)
    return Done([read_pack(opened.handle, pack) for pack in task.piece], opened.notes.take())


def do_rewrite(task: Task[tuple[LivePack, ...]]) -> Done[Rewritten]:
    """Rewrite packs for a collection. Raises as `do_restore`; the key has to write, too."""
    opened = _open(task)
    return Done(rewrite_packs(opened.handle, task.piece), opened.notes.take())


def do_copy(task: Copying) -> Done[list[Carried]]:
    """Copy packs from store to store: that needs no key of the vault. Raises what the stores raise."""
    notes = _Notes()
    source = store_at(task.source.url, options=dict(task.source.options), progress=notes)
    target = store_at(task.target.url, options=dict(task.target.options), progress=notes)
    return Done(carry_packs(source, target, task.keys), notes.take())


class _Notes:
    """Keeps what is told, each once and not too many, for the coordinator to tell. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: dict[str, None] = {}

    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        with self._lock:
            if len(self._notes) < _NOTES_MAX:
                self._notes[message] = None

    def take(self) -> tuple[str, ...]:
        """What was told since this was asked last."""
        with self._lock:
            notes, self._notes = tuple(self._notes), {}
        return notes


class _Opened:
    """A vault that a worker has opened for a run, and what it has read of it. Safe for several threads."""

    def __init__(self, handle: Handle, notes: _Notes) -> None:
        self.handle = handle
        self.notes = notes
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Any] = {}

    def keep(self, name: Hashable, read: Callable[[], Kept]) -> Kept:
        """What `read` gave the first time."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = read()
            kept: Kept = self._kept[name]
            return kept


_lock = threading.Lock()
_opened: dict[str, _Opened] = {}  # of the run that was worked for last


def _open(task: Task[Any]) -> _Opened:
    with _lock:
        if task.run not in _opened:
            opened = _open_anew(task)
            _opened.clear()
            _opened[task.run] = opened
        return _opened[task.run]


def _open_anew(task: Task[Any]) -> _Opened:
    notes = _Notes()
    progress: Progress = notes
    url, options = task.at
    try:
        vault = open_at(url, options=dict(options), progress=progress)
    except NotFoundError as error:
        raise NotFoundError(
            f"{error.message}, as this machine sees it", hint="every machine must reach the store under the same URL"
        ) from error
    if vault.id != task.vault:
        raise RefusedError(
            f"at {url} this machine sees the vault {vault.id}, not {task.vault}",
            hint="every machine must reach the store under the same URL",
        )
    replicas = [
        one for at in task.replicas for one in replicas_at([at.url], options=dict(at.options), progress=progress)
    ]
    return _Opened(vault.with_replicas(replicas).handle, notes)
