"""`VaultReader`: what `dcp.load` reads through, at any number of ranks, and only what each of them needs."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.vaults.uses import note_read
from holdfast.errors import (
    ConflictError,
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from holdfast.events import SILENT, Progress
from holdfast.training.committing.settling import settle_saves
from holdfast.training.dcp.choosing import UNUSABLE, Choice, candidates, prove
from holdfast.training.dcp.layout import TensorItem, ValueItem, is_layout, parse_layout
from holdfast.training.dcp.metadata import Stored, metadata_of
from holdfast.training.dcp.vaults import VaultPlace
from holdfast.training.states.rebuilding import TensorKey, rebuild
from holdfast.vault.files.reading import Demand, PartialFile, PartReader
from holdfast.vault.files.windows import Window
from holdfast.vault.format.records import Entry, Root, TensorRecord
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.tensors.lazy import LazyTensor
from holdfast.vault.tensors.targets import as_torch
from holdfast.vault.vault import Vault

__all__ = ["Skipped", "VaultReader"]

_AT_ONCE_BYTES = 512 << 20  # that are read into memory of our own before they are copied to where they belong
_STEP = re.compile(r"([0-9]{1,18})/?$")


class Skipped(NamedTuple):
    """A snapshot that was passed over: its id and step, and what is wrong with it."""

    snapshot: str
    step: int | None
    error: HoldfastError


class VaultReader(StorageReader):
    """Reads distributed checkpoints from a vault: by default the newest snapshot that is good.

    Every rank makes its own, with the same arguments.
    """

    def __init__(
        self,
        vault: Vault | str | os.PathLike[str],
        asset: str,
        *,
        step: int | None = None,
        snapshot: str | None = None,
        fallback: bool | None = None,
        prove: bool | None = None,
        settle: bool = True,
        process_group: Any = None,
        progress: Progress = SILENT,
    ) -> None:
        """`step` or `snapshot` (an id) name one; without them the newest counts, set aside ones excepted.

        `fallback` (by default where none is named): what is damaged is passed over, for the one before it; `skipped`
        tells. `prove`: everything is read and checked before anything is loaded, which is what fallback needs, and
        costs a second reading; with `process_group` the ranks share it. `settle`: a save that is complete but for its
        snapshot is finished first, with a key that writes. Raises UsageError.
        """
        super().__init__()
        if step is not None and snapshot is not None:
            raise UsageError("name a step or a snapshot, not both")
        self._place = VaultPlace(vault, progress)
        self._asset = asset
        self._choice = Choice(step, snapshot)
        self.fallback = fallback if fallback is not None else step is None and snapshot is None
        self.prove = self.fallback if prove is None else prove
        self._settle = settle
        self._group = process_group
        self.skipped: list[Skipped] = []
        self.root: Root | None = None
        self.failed: HoldfastError | None = None  # torch hides from its callers why no metadata could be read
        self._passed: set[str] = set()
        self._files: dict[str, PartialFile] = {}
        self._stored: dict[Any, Stored] = {}
        self._parts: PartReader | None = None

    def pass_over(self, error: HoldfastError) -> None:
        """Leave the snapshot that was read last aside, for `load` and for whoever retries by himself."""
        if self.root is not None and self.root.id not in self._passed:
            self._passed.add(self.root.id)
            self.skipped.append(Skipped(self.root.id, self.root.step, error))
            self._place.handle.progress.note(f"snapshot {self.root.id} is passed over: {error.message}")

    # ---- what torch calls ----

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """`checkpoint_id` may give the step: the number at its end. Raises UsageError."""
        self.root = None
        if checkpoint_id is not None:
            match = _STEP.search(os.fspath(checkpoint_id))
            if match is None:
                raise UsageError(f"{os.fspath(checkpoint_id)!r} does not end with a step")
            self._choice = Choice(int(match[1]), None)

    def read_metadata(self, *_args: Any, **_kept: Any) -> Metadata:
        """Choose the snapshot. Raises NotFoundError, CredentialError, DamageError when none is good."""
        self.failed = None
        vault, told = self._place.vault, f"{self._asset}{self._choice.shown}"
        try:
            with recorded_on(vault, "read", names={"reference": told, "asset": self._asset}) as facts:
                metadata = self._chosen_metadata()
                facts.objects |= {"snapshot": self._chosen().id}
            note_read(vault.handle, self._chosen())
            return metadata
        except HoldfastError as error:
            self.failed = error
            raise

    def _chosen_metadata(self) -> Metadata:
        handle = self._place.handle
        handle.keys.require_reader("loading")
        if self._settle and handle.keys.can_write:
            try:
                settle_saves(self._place.vault, self._asset)
            except HoldfastError as error:  # what can be loaded is loaded all the same
                handle.progress.note(f"saves that may be complete were not finished: {error.message}")
        first: HoldfastError | None = None
        for root in candidates(handle, self._asset, self._choice):
            if root.id in self._passed:
                continue
            self.root = root
            try:
                metadata = self._opened_and_proven(root)
            except UNUSABLE as error:
                if not self.fallback:
                    raise
                first = first or error
                self.pass_over(error)
                continue
            return metadata
        self.root = None
        if first is None and self.skipped:
            first = self.skipped[0].error
        raise first or NotFoundError(
            f"{self._asset!r} has no snapshot of a distributed checkpoint{self._choice.shown}",
            hint="see `holdfast snapshot list`",
        )

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **_kept: Any) -> None:
        self._stored = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return dataclasses.replace(plan, storage_data=self._chosen().id)

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Raises ConflictError where ranks have chosen different snapshots: one came, or one was damaged, meanwhile."""
        chosen = {plan.storage_data for plan in plans}
        if len(chosen) > 1:
            raise ConflictError(
                f"the ranks would load {len(chosen)} different snapshots: {', '.join(map(str, sorted(chosen)))}",
                hint="load again, or name the snapshot",
            )
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Each chunk is fetched, decoded and compared with its id. Raises DamageError, and what the store raises."""
        tensors: list[tuple[ReadItem, TensorItem]] = []
        for item in plan.items:
            stored = self._stored.get(item.storage_index)
            if stored is None or (stored.value is None) is (item.type is LoadItemType.BYTE_IO):
                raise DamageError(
                    f"snapshot {self._chosen().id} holds no {item.storage_index.fqn!r} of that kind",
                    object_name=self._chosen().id,
                )
            if stored.value is not None:
                planner.load_bytes(item, self._pickled(stored.value))
            elif stored.tensor is not None:
                tensors.append((item, stored.tensor))
        for batch in _batches(tensors):
            self._read(batch, planner)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return _STEP.search(os.fspath(checkpoint_id)) is not None

    # ---- the rest ----

    def _chosen(self) -> Root:
        if self.root is None:
            raise RefusedError("no snapshot was chosen yet", hint="torch calls read_metadata first")
        return self.root

    def _opened_and_proven(self, root: Root) -> Metadata:
        if not self.prove:
            return self._opened(root)
        failure, metadata = None, Metadata({})
        try:
            metadata = self._opened(root)
        except HoldfastError as error:  # the other ranks wait to hear of it
            failure = error
        prove(self._place.handle, root, self._group, failure)
        return metadata

    def _opened(self, root: Root) -> Metadata:
        """Read the layouts of all ranks."""
        handle = self._place.handle
        entries = [entry for entry in snapshot_entries(handle, root) if entry.type == "file"]
        self._parts = PartReader(handle)
        self._files = {os.fsdecode(entry.path): PartialFile(entry) for entry in entries}
        layouts = [name for name in self._files if is_layout(name)]
        if not layouts:
            raise FailedError(f"snapshot {root.id} is no distributed checkpoint", hint="use `holdfast restore`")
        data = self._whole(layouts)
        return metadata_of([parse_layout(data[name], name) for name in layouts], root.id, f"{self._asset}@{root.id}")

    def _whole(self, names: Sequence[str]) -> dict[str, bytes]:
        """Files, in one pass."""
        assert self._parts is not None
        targets = {name: np.empty(self._files[name].size, np.uint8) for name in names}
        self._parts.fill(
            Demand(self._files[name], Window(0, 1 if len(target) else 0, len(target), len(target)), target)
            for name, target in targets.items()
        )
        return {name: target.tobytes() for name, target in targets.items()}

    def _pickled(self, item: ValueItem) -> io.BytesIO:
        """The value in the form that planners take. The bytes are made here: none of the vault is unpickled."""
        value = rebuild(item.tree, self._array)
        data = io.BytesIO()
        torch.save(value, data)
        data.seek(0)
        return data

    def _array(self, key: TensorKey) -> np.ndarray[Any, np.dtype[Any]]:
        return np.array(self._tensor(*key)[...])

    def _tensor(self, file: str, name: str) -> LazyTensor:
        assert self._parts is not None
        found = self._files.get(file)
        record = _record_of(found.entry, name) if found is not None else None
        if found is None or record is None:
            raise DamageError(f"{file} of snapshot {self._chosen().id} has no tensor {name[:80]!r}", object_name=file)
        return LazyTensor(self._parts, found, record)

    def _read(self, batch: Sequence[tuple[ReadItem, TensorItem]], planner: LoadPlanner) -> None:
        assert self._parts is not None
        demands: list[Demand] = []
        waiting = []
        for item, stored in batch:
            lazy = self._tensor(stored.file, stored.name)
            pairs = stored.dtype == "complex128"
            if lazy.shape != (*stored.sizes, *((2,) if pairs else ())):
                raise DamageError(f"{stored.file} does not hold {stored.name[:80]!r} as its layout says")
            key = tuple(slice(at, at + n) for at, n in zip(item.storage_offsets, item.lengths, strict=True))
            reading = lazy.plan(key or ...)
            demands.extend(reading.demands)
            waiting.append((item, stored, lazy, reading))
        self._parts.fill(demands)
        for item, stored, lazy, reading in waiting:
            array = np.asarray(reading.selection.of(reading.block, lazy.dtype))
            if stored.dtype == "complex128":
                array = np.ascontiguousarray(array).view(np.complex128)[..., 0]
            _hand_over(planner, item, as_torch(array))


def _hand_over(planner: LoadPlanner, item: ReadItem, tensor: Any) -> None:
    target = planner.resolve_tensor(item).detach()
    if target.size() != tensor.size():
        raise UsageError(
            f"{item.dest_index.fqn!r} wants {list(target.size())} where the snapshot has {list(tensor.size())}"
        )
    target.copy_(tensor)
    planner.commit_tensor(item, target)


def _record_of(entry: Entry, name: str) -> TensorRecord | None:
    return next((tensor for tensor in entry.tensors if tensor.name == name), None)


def _batches(
    items: Sequence[tuple[ReadItem, TensorItem]],
) -> Iterator[list[tuple[ReadItem, TensorItem]]]:
    """In the order of the files, so that a chunk that several need is read once, mostly."""
    batch: list[tuple[ReadItem, TensorItem]] = []
    size = 0
    for item, stored in sorted(items, key=lambda one: (one[1].file, one[1].name)):
        batch.append((item, stored))
        size += int(np.prod(item.lengths, dtype=np.int64)) * 8
        if size >= _AT_ONCE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
