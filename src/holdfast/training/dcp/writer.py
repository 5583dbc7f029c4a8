"""`VaultWriter`: what `dcp.save` and `dcp.async_save` write through. Called in this order, by torch:

| where | method | here |
|---|---|---|
| every rank | `reset`, `set_up_storage_writer` | the vault is opened |
| every rank | `prepare_local_plan` | who would sign |
| the coordinator | `prepare_global_plan` | the terms of this save |
| every rank | `write_data` | store, read back, announce |
| the coordinator | `finish` | make the snapshot; where it dies, another rank or a later save does |
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

from holdfast.errors import RefusedError, UsageError
from holdfast.training.committing.rank_save import RankSave
from holdfast.training.committing.settling import settle_saves
from holdfast.training.committing.terms import DEADLINE_S, SaveTerms, agreed_terms, derived_terms
from holdfast.training.dcp.choosing import SNAPSHOT_NAME
from holdfast.training.dcp.meeting import run_nonce
from holdfast.training.dcp.planning import RankFiles, plan_files
from holdfast.training.dcp.sharing import Absence, missing_findings, share_source
from holdfast.training.dcp.vaults import VaultPlace
from holdfast.vault.format.records import Root
from holdfast.vault.saving.announcing import own_mark
from holdfast.vault.saving.assembling import Assembled
from holdfast.vault.saving.hooks import SaveCheck
from holdfast.vault.saving.options import SaveOptions, save_options
from holdfast.vault.saving.validation import NORM_JUMP, Policy
from holdfast.vault.snapshots.refs import is_tag_name
from holdfast.vault.vault import Vault

__all__ = ["VaultWriter"]

_STEP = re.compile(r"([0-9]{1,18})/?$")
_WAIT_S = 60.0  # that the coordinator waits for announcements: all ranks have told torch that theirs are made


@dataclasses.dataclass(frozen=True)
class _Offer:
    """What a rank tells the coordinator with its plan."""

    signer: str


class VaultWriter(StorageWriter):
    """Writes distributed checkpoints to a vault, as snapshots of one asset.

    Every rank makes its own, with the same arguments, and may use it again for the next save. With a URL, each process
    opens the vault by itself, and the writer can be sent to another one (`async_checkpointer_type=PROCESS`).
    """

    def __init__(
        self,
        vault: Vault | str | os.PathLike[str],
        asset: str,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Sequence[str] = (),
        policy: Policy | str = Policy.WARN,
        norm_jump: float = NORM_JUMP,
        verify: bool = True,
        checks: Sequence[SaveCheck] = (),
        committed: Callable[[Root], None] | None = None,
        deadline_s: float = DEADLINE_S,
        process_group: Any = None,
    ) -> None:
        """Arguments as for `Vault.save`. `deadline_s`: a save that not all ranks have announced by then is abandoned.

        `process_group`: only for saves with `use_collectives=False` in a group of one's own. Raises UsageError.
        """
        super().__init__()
        self._place = VaultPlace(vault)
        self._asset = asset
        self._said = {
            "metadata": metadata,
            "versions": versions,
            "tags": tags,
            "policy": policy,
            "norm_jump": norm_jump,
            "verify": verify,
            "metrics": metrics,
            "checks": checks,
            "committed": committed,
        }
        self._step = step
        self._options_for(step)  # raises for what no snapshot could hold, before a training has run for hours
        self._deadline_s = deadline_s
        self._group = process_group
        self._rank, self._collectives = 0, True
        self._save: RankSave | None = None
        self._before: RankSave | None = None
        self._settled = False
        self._used: set[str] = set()
        self._absence: Absence | None = None

    @property
    def step(self) -> int | None:
        """The step that the next save is of: set it before each."""
        return self._step

    @step.setter
    def step(self, step: int | None) -> None:
        self._options_for(step)
        self._step = step

    def describe(self, *, metrics: Mapping[str, float] | None = None, tags: Sequence[str] = ()) -> None:
        """The metrics and tags of the next save, in place of those before. Raises UsageError."""
        said = self._said | {"metrics": metrics, "tags": tags}
        self._options_for(self._step, said)
        self._said = said

    @property
    def assembled(self) -> Assembled | None:
        """The snapshot of the last save, where this rank made it or saw it made."""
        return self._save.assembled if self._save is not None else None

    def settle(self) -> Assembled | None:
        """Look after the last save, as its other ranks do by themselves after a while: the snapshot if it is there, or
        could be made now. Raises RefusedError when it was abandoned, and what the store raises.
        """
        return self._save.look() if self._save is not None else None

    def close(self) -> None:
        """At the end of a training: see the last save through, and give its lease back. Raises what the store raises.

        Without it, the lease of a rank that is not the coordinator's ends by itself within the hour.
        """
        save = self._save or self._before
        if save is not None and save.look() is not None:
            save.release()

    def __getstate__(self) -> dict[str, Any]:
        """For another process: what was saved here is looked after here."""
        return self.__dict__ | {"_save": None, "_before": None}

    # ---- what torch calls ----

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """`checkpoint_id` may give the step: the number at its end (`500`, `runs/a/step-500`). Raises UsageError."""
        self._before, self._save, self._absence = self._save or self._before, None, None
        if checkpoint_id is not None:
            match = _STEP.search(os.fspath(checkpoint_id))
            if match is None:
                raise UsageError(
                    f"{os.fspath(checkpoint_id)!r} does not end with a step",
                    hint="leave checkpoint_id out and give VaultWriter(…, step=N), or end it with the number",
                )
            self.step = int(match[1])

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """`kwargs` is the name by which torch knows that rank and use_collectives are wanted."""
        self._rank = int(kwargs.get("rank") or 0)
        self._collectives = bool(kwargs.get("use_collectives", True))
        handle = self._place.handle
        handle.keys.require_writer("saving")
        if is_coordinator and not self._settled:
            self._settled = True
            settle_saves(self._place.vault, self._asset)  # of the run before this one, if it died at the very end

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        signer = self._place.handle.keys.require_writer("saving")
        return dataclasses.replace(plan, storage_data=_Offer(own_mark(signer)))

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        handle = self._place.handle
        signer = handle.keys.require_writer("saving")
        if not self._collectives or any(not plan.usable for plan in plans):
            return plans  # each rank plans for itself, or takes the plan that it has kept: see `_terms_of`
        offers = [plan.storage_data for plan in plans]
        signers = [offer.signer for offer in offers if isinstance(offer, _Offer)]
        if len(signers) != len(plans):
            raise UsageError("all ranks have to save through a VaultWriter of the same version")
        before = self._before
        finished = before.terms.save if before is not None and before.assembled is not None else ""
        terms = agreed_terms(signer, signers, len(plans), self._deadline_s, finished)
        self._absence = Absence.of(plans)
        return [dataclasses.replace(plan, storage_data=one) for plan, one in zip(plans, terms, strict=True)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Raises (through the future's rank) UsageError, RefusedError, ConflictError, and what the store raises."""
        handle = self._place.handle
        terms = self._terms_of(plan, planner)
        if self._before is not None and terms.finished == self._before.terms.save:
            self._before.release()  # nothing has to be kept for it any more
        options = self._options_for(self._step)._replace(content_ns=handle.clock.now_ns())
        files = plan_files(plan, planner, terms.rank, terms.world, handle.clock.now_ns())
        self._save = save = RankSave(self._place.vault, self._asset, terms, options)
        save.store(
            lambda known: share_source(files, known, terms.rank, missing_findings(self._absence, known)),
            lambda: save.known_of(whole=self._absence is not None),
        )
        save.announce("folder", SNAPSHOT_NAME)
        save.watch()
        future: Future[list[WriteResult]] = Future()
        future.set_result(_results(plan, files))
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Make the snapshot. Its id is in the metadata that `dcp.save` returns: `storage_meta.checkpoint_id`.

        Raises RefusedError when it was not complete in time, ConflictError, DamageError, and what the store raises.
        """
        if self._save is None:
            raise RefusedError("there is nothing to finish: no rank of this process has written anything")
        done = self._save.finish(self._deadline_s if not self._collectives else min(_WAIT_S, self._deadline_s))
        metadata.storage_data = {}
        metadata.storage_meta = StorageMeta(
            checkpoint_id=f"{self._asset}@{done.snapshot}", save_id=self._save.terms.save
        )

    def storage_meta(self) -> StorageMeta | None:
        return StorageMeta(checkpoint_id=self._asset)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return _STEP.search(os.fspath(checkpoint_id)) is not None

    # ---- the rest ----

    def _options_for(self, step: int | None, said: Mapping[str, Any] | None = None) -> SaveOptions:
        options = save_options(step=step, **(self._said if said is None else said))
        for tag in options.tags:
            if not is_tag_name(tag):
                raise UsageError(f"{tag!r} cannot be a tag", hint="no `latest`, `validated`, `=`, `@`, `!`")
        return options

    def _terms_of(self, plan: SavePlan, planner: SavePlanner) -> SaveTerms:
        """Planners that keep plans hand out the terms of the first save again: then they follow from the step."""
        given = plan.storage_data
        terms = given if isinstance(given, SaveTerms) else None
        if terms is None or getattr(planner, "_enable_plan_caching", False):
            signer = self._place.handle.keys.require_writer("saving")
            rank, world = (terms.rank, terms.world) if terms is not None else (self._rank, self._world())
            nonce = run_nonce(world)
            terms = derived_terms(signer, self._asset, self._step, rank, world, self._deadline_s, nonce=nonce)
        if terms.save in self._used:
            raise UsageError(
                "this step was saved already, or the planner hands out the plan of an earlier save",
                hint="give each save a step of its own",
            )
        self._used.add(terms.save)
        return terms

    def _world(self) -> int:
        return dist.get_world_size(self._group) if dist.is_available() and dist.is_initialized() else 1


def _results(plan: SavePlan, files: RankFiles) -> list[WriteResult]:
    return [
        WriteResult(index=item.index, size_in_bytes=size, storage_data=None)
        for item, size in zip(plan.items, files.sizes, strict=True)
    ]
