"""Contents in, manifest entries out. One thread cuts and keeps the order; the others read, name, code and seal.

A worker's chunk stays in that thread's own memory from reading to sealing: it is copied once (by the read), and pages
are not asked for anew.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from holdfast.errors import FailedError
from holdfast.vault.codecs import Codec
from holdfast.vault.format.records import Entry
from holdfast.vault.handle import Handle
from holdfast.vault.regions.cutting import Cut, cut_lazily, read_cut
from holdfast.vault.regions.model import Kind
from holdfast.vault.saving.coder import ChunkCoder, Coded
from holdfast.vault.saving.contents import Content, Opened
from holdfast.vault.saving.entries import EntryBuilder, Measured, measure
from holdfast.vault.saving.parents import Parent
from holdfast.vault.saving.tree import stream_of
from holdfast.vault.scratch import bytes_scratch
from holdfast.vault.snapshots.labels import BaseCandidate, base_candidates

__all__ = ["CandidatesOf", "Saved", "Tally", "code_contents"]

_AHEAD_PER_WORKER = 3  # chunks that wait or are worked on; each is at most a few MiB


class Saved(NamedTuple):
    """A file's finished entry and what its parser complained about."""

    content: Content
    entry: Entry
    problems: list[str]


class Tally:
    """Bytes by mechanism, for the snapshot's `stats`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(
            ("raw", "hole", "dedup", "chunks", "new_chunks", "packs", "stored"), 0
        )
        for codec in Codec:
            self.counts[f"raw_{codec.name.lower()}"] = self.counts[f"stored_{codec.name.lower()}"] = 0

    def add(self, **counts: int) -> None:
        for name, count in counts.items():
            self.counts[name] += count


CandidatesOf = Callable[[Content], Mapping[str, BaseCandidate]]
_Done = tuple[Coded, list[Measured]]


class _Abandoned(Exception):
    """Another file failed. Never leaves this module."""


class _NotOfTheFile(Exception):
    """What went wrong with a chunk after it was read: the file has nothing to do with it. Never leaves this module."""


class _File:
    """An opened content, until its last chunk is done."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self._context: AbstractContextManager[Opened] = content.open()
        self._opened = self._context.__enter__()
        self.source, self.layout = self._opened

    def result(self, work: Future[_Done]) -> _Done:
        """What the work gave. An error of reading becomes one that names the file."""
        try:
            return work.result()
        except BaseException:
            if not self._context.__exit__(*sys.exc_info()):
                raise
            raise AssertionError("a content's context lets every error through") from None

    def close(self) -> None:
        """Raises SourceChangedError if the content changed."""
        self._context.__exit__(None, None, None)

    def abandon(self) -> None:
        with suppress(_Abandoned):
            self._context.__exit__(_Abandoned, _Abandoned(), None)


class _Job(NamedTuple):
    file: _File
    builder: EntryBuilder
    cut: Cut | None  # None: an empty file
    work: Future[_Done] | None  # None: a hole
    last: bool


def code_contents(
    handle: Handle,
    contents: Iterable[Content],
    parent: Parent,
    coder: ChunkCoder,
    tally: Tally,
    keep: Callable[[], None] = lambda: None,
    candidates_of: CandidatesOf | None = None,
) -> list[Saved]:
    """Code all contents into packs. `keep` is called for each chunk.

    `candidates_of`: for each content the delta bases by label, by default those of the parent's file of that path.

    Raises SourceChangedError when one changes while it is read, and what `keep` raises.
    """
    pool = ThreadPoolExecutor(handle.workers, thread_name_prefix="holdfast-code")
    coding = _Coding(handle, coder, tally, pool, keep)
    try:
        for content in contents:
            if candidates_of is not None:
                coding.code(content, candidates_of(content))
                continue
            known = parent.files.get(content.relative)
            coding.code(content, base_candidates(known) if known is not None else {})
        coding.finish()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        coding.abandon()
    return coding.saved


class _Coding:
    """The work on several files at once, in the order of their chunks."""

    def __init__(
        self, handle: Handle, coder: ChunkCoder, tally: Tally, pool: ThreadPoolExecutor, keep: Callable[[], None]
    ) -> None:
        self.saved: list[Saved] = []
        self._handle = handle
        self._coder = coder
        self._tally = tally
        self._pool = pool
        self._keep = keep
        self._jobs: deque[_Job] = deque()
        self._open: set[_File] = set()
        self._ahead = handle.workers * _AHEAD_PER_WORKER

    def code(self, content: Content, candidates: Mapping[str, BaseCandidate]) -> None:
        file = _File(content)
        self._open.add(file)
        try:
            builder = EntryBuilder(content, file.layout, candidates)
            covered = 0
            for cut, data in cut_lazily(file.layout, file.source):
                covered += cut.length
                hole = cut.element.kind is Kind.HOLE
                work = None if hole else self._pool.submit(self._work, file, builder, cut, data)
                self._put(_Job(file, builder, cut, work, last=covered == content.size))
            if covered != content.size:
                raise FailedError(f"{content.relative!r} was cut into {covered} of its {content.size} bytes")
            if not content.size:
                self._put(_Job(file, builder, None, None, last=True))
        except BaseException:
            if file in self._open:  # else the error is of its closing
                self._open.discard(file)
                file.result(_failed(sys.exc_info()[1]))
            raise

    def finish(self) -> None:
        while self._jobs:
            self._finish_oldest()

    def abandon(self) -> None:
        """Close what an error left open."""
        for file in self._open:
            file.abandon()
        self._open.clear()

    def _work(self, file: _File, builder: EntryBuilder, cut: Cut, data: memoryview | None) -> _Done:
        if data is None:
            data = bytes_scratch("chunk", cut.length).data
            read_cut(file.source, cut, data)
        try:
            content = file.content
            stream = stream_of(content.component, content.size)
            coded = self._coder.code(data, cut.element, builder.candidate(cut.offset), stream)
            return coded, measure(builder, cut.offset, data)
        except Exception as error:
            raise _NotOfTheFile from error

    def _put(self, job: _Job) -> None:
        self._keep()
        self._jobs.append(job)
        while len(self._jobs) > self._ahead:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        job = self._jobs.popleft()
        if job.cut is not None:
            if job.work is None:
                self._take_hole(job.builder, job.cut)
            else:
                self._take(job.builder, job.cut, self._result(job.file, job.work))
        if job.last:
            self._open.discard(job.file)
            job.file.close()
            self.saved.append(Saved(job.file.content, job.builder.build(), job.builder.layout.problems))

    def _result(self, file: _File, work: Future[_Done]) -> _Done:
        error = work.exception()
        if error is None:
            return work.result()
        # The file is closed below: nobody may still read from its descriptor then, which may be another file's.
        others = [job.work for job in self._jobs if job.file is file and job.work is not None]
        for other in others:
            other.cancel()
        wait([other for other in others if not other.cancelled()])
        self._open.discard(file)
        if isinstance(error, _NotOfTheFile) and error.__cause__ is not None:
            file.abandon()
            raise error.__cause__
        return file.result(work)

    def _take_hole(self, builder: EntryBuilder, cut: Cut) -> None:
        builder.add_hole(cut.length)
        self._tally.add(raw=cut.length, hole=cut.length)
        self._handle.progress.advance(cut.length)

    def _take(self, builder: EntryBuilder, cut: Cut, done: _Done) -> None:
        coded, measured = done
        self._tally.add(raw=cut.length, chunks=1)
        if coded.stored is None:
            self._tally.add(dedup=cut.length)
        else:
            name = coded.codec.name.lower()
            self._tally.add(new_chunks=1, **{f"raw_{name}": cut.length, f"stored_{name}": coded.stored})
        builder.add(coded.chunk, cut.length, cut.element, measured)
        self._handle.progress.advance(cut.length, coded.stored or 0)


def _failed(error: BaseException | None) -> Future[_Done]:
    future: Future[_Done] = Future()
    future.set_exception(error)
    return future
