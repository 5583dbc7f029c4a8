"""Contents in, manifest entries out: one thread reads and seals, the others name, code and measure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from holdfast.errors import FailedError
from holdfast.vault.codecs import Codec
from holdfast.vault.format.records import Entry
from holdfast.vault.handle import Handle
from holdfast.vault.regions.cutting import Cut, cut_and_read
from holdfast.vault.regions.model import Kind
from holdfast.vault.saving.coder import ChunkCoder, Coded
from holdfast.vault.saving.contents import Content
from holdfast.vault.saving.entries import EntryBuilder, Measured, measure
from holdfast.vault.saving.pack_writer import PackWriter
from holdfast.vault.saving.parents import Parent
from holdfast.vault.snapshots.labels import base_candidates

__all__ = ["Saved", "Tally", "code_contents"]

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


class _Job(NamedTuple):
    builder: EntryBuilder
    cut: Cut
    work: Future[tuple[Coded, list[Measured]]] | None  # None: a hole
    last: bool


def code_contents(
    handle: Handle, contents: Iterable[Content], parent: Parent, coder: ChunkCoder, writer: PackWriter, tally: Tally
) -> list[Saved]:
    """Code all contents into `writer`. Raises SourceChangedError when one changes while it is read."""
    saved: list[Saved] = []
    jobs: deque[_Job] = deque()
    pool = ThreadPoolExecutor(handle.workers, thread_name_prefix="holdfast-code")

    def work(builder: EntryBuilder, cut: Cut, data: bytes) -> tuple[Coded, list[Measured]]:
        coded = coder.code(data, cut.element, builder.candidate(cut.offset))
        return coded, measure(builder, cut.offset, data)

    def finish_oldest() -> None:
        job = jobs.popleft()
        if job.work is None:
            if job.cut.length:
                job.builder.add_hole(job.cut.length)
                tally.add(raw=job.cut.length, hole=job.cut.length)
                handle.progress.advance(job.cut.length)
        else:
            coded, measured = job.work.result()
            stored = _take(coded, writer, tally)
            job.builder.add(coded, measured)
            handle.progress.advance(coded.raw, stored)
        if job.last:
            saved.append(Saved(job.builder.content, job.builder.build(), job.builder.layout.problems))

    try:
        for content in contents:
            with content.open() as opened:
                known = parent.files.get(content.relative)
                candidates = base_candidates(known) if known is not None else {}
                builder = EntryBuilder(content, opened.layout, candidates)
                covered = 0
                for cut, data in cut_and_read(opened.layout, opened.source):
                    covered += cut.length
                    if cut.element.kind is not Kind.HOLE and len(data) != cut.length:
                        raise FailedError(f"{content.relative!r} could not be read to its end")
                    hole = cut.element.kind is Kind.HOLE
                    future = None if hole else pool.submit(work, builder, cut, data)
                    jobs.append(_Job(builder, cut, future, last=covered == content.size))
                    while len(jobs) > handle.workers * _AHEAD_PER_WORKER:
                        finish_oldest()
                if covered != content.size:
                    raise FailedError(f"{content.relative!r} was cut into {covered} of its {content.size} bytes")
                if not content.size:
                    saved.append(Saved(content, builder.build(), opened.layout.problems))
        while jobs:
            finish_oldest()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return saved


def _take(coded: Coded, writer: PackWriter, tally: Tally) -> int:
    tally.add(raw=coded.raw, chunks=1)
    # Two workers may have coded the same new chunk at the same time; the first one in order is stored.
    if coded.encoded is None or writer.holds(coded.chunk):
        tally.add(dedup=coded.raw)
        return 0
    codec, payload = coded.encoded
    stored = writer.add(coded.chunk, payload, raw=coded.raw, codec=int(codec), element=coded.element, base=coded.base)
    name = Codec(codec).name.lower()
    tally.add(new_chunks=1, **{f"raw_{name}": coded.raw, f"stored_{name}": stored})
    return stored
