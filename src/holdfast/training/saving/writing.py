"""A staged state becomes a snapshot. Runs in the saving process; knows no framework."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.errors import SourceChangedError, UsageError
from holdfast.training.saving.messages import SaveOrder
from holdfast.vault.format.records import Entry, Root
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.regions.model import Source
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.saving.contents import Content, Opened
from holdfast.vault.saving.options import save_options
from holdfast.vault.saving.save import Job, save_job
from holdfast.vault.saving.tree import component_of
from holdfast.vault.saving.validation import NORM_JUMP
from holdfast.vault.snapshots.refs import LATEST, RESERVED, VALIDATED
from holdfast.vault.vault import Vault

__all__ = ["Saved", "StagedSource", "check_tags", "write_staged", "write_folder"]

_NAME = "state"
Committed = Callable[[Root], None] | None


class Saved(NamedTuple):
    """A durable snapshot."""

    snapshot: str
    verdict: str
    raw_bytes: int
    stored_bytes: int


class StagedSource:
    """A file in shared memory."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.size = memory.nbytes

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._memory[offset : offset + length])

    def read_into(self, offset: int, out: memoryview) -> int:
        part = self._memory[offset : offset + out.nbytes]
        out[: part.nbytes] = part
        return part.nbytes


def write_staged(vault: Vault, asset: str, order: SaveOrder, sources: Sequence[Source], committed: Committed) -> Saved:
    """The snapshot of a staged state; `sources` are its files in their order. Raises what `Vault.save` raises."""
    contents: list[Content] = [
        _StagedContent(file.name, source, order.content_ns) for file, source in zip(order.files, sources, strict=True)
    ]
    names = [Path(file.name) for file in order.files]
    folders = {parent.as_posix() for name in names for parent in name.parents}
    others = [
        Entry(path=os.fsencode(folder), type="folder", mode=0o755, mtime=order.content_ns) for folder in sorted(folders)
    ]
    job = Job("folder", _NAME, contents, others, order.content_ns, None)
    options = save_options(
        step=order.step,
        metadata=order.metadata,
        versions=order.versions,
        tags=check_tags(order.tags),
        policy=order.policy,
        norm_jump=NORM_JUMP,
        verify=order.verify,
        metrics=order.metrics,
        committed=committed,
    )
    for tag in options.tags:
        vault.handle.keys.names.ref_key(tag)
    guard(vault, "save", asset=asset)
    with recorded_on(vault, "save", names={"asset": asset}) as facts:
        done = save_job(vault.handle, asset, job, options)
        facts.objects |= {"snapshot": done.root.id, "verdict": done.root.validation.verdict}
    protect_snapshot(vault.handle, done.root)
    return _saved(done.root)


def write_folder(vault: Vault, asset: str, order: SaveOrder, committed: Committed) -> Saved:
    """The snapshot of a file or folder that a framework wrote. Raises what `Vault.save` raises."""
    guard(vault, "save", asset=asset)
    path = Path(order.path)
    if not path.exists():
        raise SourceChangedError(
            f"{path} is gone: its framework removed it before it was saved",
            hint="let the framework keep one more checkpoint",
            object_name=str(path),
        )
    report = vault.save(
        asset,
        path,
        step=order.step,
        metadata=order.metadata,
        versions=order.versions,
        tags=order.tags,
        policy=order.policy,
        verify=order.verify,
        metrics=order.metrics,
        committed=committed,
    )
    return _saved(report.root)


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Raises UsageError for what cannot be the tag of a snapshot."""
    for tag in tags:
        if not isinstance(tag, str) or not tag or tag in (LATEST, VALIDATED) or tag.startswith(RESERVED):
            raise UsageError(f"{tag!r} cannot be a tag", hint="`latest` and `validated` are kept by holdfast")
        if "=" in tag or "@" in tag:
            raise UsageError(f"{tag!r} cannot be a tag", hint="no `=` and no `@`")
    return tuple(tags)


class _StagedContent:
    """A file of the state, in the form that saving wants."""

    def __init__(self, name: str, source: Source, content_ns: int) -> None:
        self.relative = name.encode()
        self.component = component_of(self.relative)
        self.mode = 0o644
        self.mtime_ns = content_ns
        self.local_path = ""
        self.size = source.size
        self._name, self._source = name, source

    @contextmanager
    def open(self) -> Iterator[Opened]:
        yield Opened(self._source, propose_layout(self._source, self._name))


def _saved(root: Root) -> Saved:
    return Saved(root.id, root.validation.verdict, root.stats.get("raw", 0), root.stats.get("stored", 0))
