"""The coordinator of bulk work: cuts a verb of a vault into pieces, hands them out, and adds up what comes back.

It alone decides, publishes, moves pointers, deletes, and holds the leases; `tasks.py` is what others do.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, TypeVar

from holdfast.control.bulk.tasks import (
    At,
    Copying,
    Done,
    Task,
    do_check,
    do_copy,
    do_read_packs,
    do_restore,
    do_rewrite,
)
from holdfast.errors import HoldfastError
from holdfast.events import SILENT, Progress
from holdfast.fanout import Fanout, Shares, WorkerShare
from holdfast.ids import PackId
from holdfast.replication.copying.pieces import Carried, Carrier
from holdfast.stores.protocol import Store
from holdfast.vault.checking.pieces import CheckPiece, SpreadReading
from holdfast.vault.collecting.helping import LivePack, ReadPack
from holdfast.vault.collecting.repacking import Rewritten
from holdfast.vault.restoring.fallback import Replica
from holdfast.vault.restoring.pieces import RestorePiece, SpreadWriting
from holdfast.vault.restoring.restore import Wrote
from holdfast.vault.vault import Vault

__all__ = ["Bulk", "piece_bytes", "place_at"]

_PIECES_EACH: Final = 8  # for each that works: what the slowest is behind at the end is an eighth of its share, at most
_PIECE_MIN: Final = 8 << 20  # below that, handing out costs more than it brings
_PIECE_MAX: Final = 256 << 20  # what is lost with a worker
_PACKS_MAX: Final = 8  # of 32 MiB, mostly

Asked = TypeVar("Asked")
Given = TypeVar("Given")


def piece_bytes(total: int, width: int) -> int:
    """How large the pieces of so many bytes should be for so many that work at once."""
    return min(_PIECE_MAX, max(_PIECE_MIN, total // (_PIECES_EACH * width)))


def place_at(store: Store, options: Mapping[str, str] | None) -> At:
    """Where others find a store: `options` are those that it was opened with here."""
    return At(store.url, tuple(sorted((options or {}).items())))


class Bulk:
    """One run of one verb, on a `Fanout`. Not for several threads."""

    def __init__(
        self, fanout: Fanout, *, size: Callable[[int, int], int] = piece_bytes, progress: Progress = SILENT
    ) -> None:
        """`size`: (bytes in all, how many work) → bytes of a piece."""
        self._fanout = fanout
        self._size = size
        self._progress = progress
        self._run = secrets.token_hex(8)
        self._shares = Shares()

    @property
    def workers(self) -> tuple[WorkerShare, ...]:
        """Who has done how much so far."""
        return self._shares.all()

    def writing(self, vault: Vault, at: At, replicas: Sequence[Replica] = ()) -> SpreadWriting:
        """For `Vault.restore(writing=…)`. `replicas`: those that the restore falls back to, for the workers, too."""
        others = tuple(At(one.url, tuple(sorted(one.options.items()))) for one in replicas)

        def hand_out(pieces: Sequence[RestorePiece]) -> Iterator[tuple[RestorePiece, Wrote]]:
            tasks = [Task(self._run, vault.id, at, others, piece) for piece in pieces]
            for task, wrote in self._each(do_restore, tasks, lambda task, _: task.piece.bytes):
                yield task.piece, wrote

        return SpreadWriting(hand_out, self._piece_bytes)

    def reading(self, vault: Vault, at: At) -> SpreadReading:
        """For `Vault.verify(reading=…)`."""

        def hand_out(pieces: Sequence[CheckPiece]) -> Iterator[CheckPiece]:
            tasks = [Task(self._run, vault.id, at, (), piece) for piece in pieces]
            for task, _ in self._each(do_check, tasks, lambda task, _: task.piece.bytes):
                yield task.piece

        return SpreadReading(hand_out, self._piece_bytes)

    def carrier(self, source: At, target: At) -> Carrier:
        """For `replicate(carrier=…)` and `mirror(carrier=…)`."""

        def carry(keys: Sequence[str]) -> Iterator[Carried]:
            tasks = [Copying(source, target, group) for group in _groups(keys, self._packs_each(len(keys)))]
            for _, carried in self._each(do_copy, tasks, lambda _, carried: sum(one.size for one in carried)):
                yield from carried

        return carry

    def helpers(self, vault: Vault, at: At) -> _Helpers:
        """For `Vault.collect(helpers=…)`."""
        return _Helpers(self, vault.id, at)

    def _piece_bytes(self, total: int) -> int:
        return self._size(total, self._fanout.width)

    def _packs_each(self, count: int) -> int:
        return max(1, min(_PACKS_MAX, count // (_PIECES_EACH * self._fanout.width)))

    def _each(
        self,
        work: Callable[[Asked], Done[Given]],
        tasks: Sequence[Asked],
        size_of: Callable[[Asked, Given], int],
    ) -> Iterator[tuple[Asked, Given]]:
        """Each task with what it gave. Raises the first error, and lets go of all that goes on."""
        outcomes: Any = self._fanout.each(work, tasks)
        with closing(outcomes):
            for task, done, error, worker, seconds in outcomes:
                if isinstance(error, HoldfastError):
                    raise error
                for note in done.notes:
                    self._progress.note(f"{worker}: {note}")
                self._shares.add(worker, size_of(task, done.result), seconds)
                yield task, done.result


class _Helpers:
    """A collection's `PackHelpers`."""

    def __init__(self, bulk: Bulk, vault: str, at: At) -> None:
        self._bulk, self._vault, self._at = bulk, vault, at

    def read(self, packs: Sequence[PackId]) -> Iterator[ReadPack]:
        bulk = self._bulk
        groups = _groups(packs, bulk._packs_each(len(packs)))
        tasks = [Task(bulk._run, self._vault, self._at, (), group) for group in groups]
        for _, read in bulk._each(do_read_packs, tasks, lambda _, read: sum(one.size for one in read)):
            yield from read

    def rewrite(self, packs: Sequence[LivePack]) -> Iterator[Rewritten]:
        """Each group fills packs of its own, so groups are no smaller than a pack."""
        bulk = self._bulk
        size = max(4 * _PIECE_MIN, bulk._piece_bytes(sum(one.bytes for one in packs)))
        groups: list[list[LivePack]] = [[]]
        for one in packs:
            if sum(before.bytes for before in groups[-1]) >= size:
                groups.append([])
            groups[-1].append(one)
        tasks = [Task(bulk._run, self._vault, self._at, (), tuple(group)) for group in groups if group]
        for _, done in bulk._each(do_rewrite, tasks, lambda task, _: sum(one.bytes for one in task.piece)):
            yield done


def _groups(items: Iterable[Asked], count: int) -> list[tuple[Asked, ...]]:
    listed = list(items)
    return [tuple(listed[start : start + count]) for start in range(0, len(listed), count)]
