"""Bringing the newest good checkpoint folder to where a framework looks for it, once for all ranks."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import find_checkpoints
from holdfast.errors import DamageError, FailedError, HoldfastError, UsageError
from holdfast.training.callbacks.ranks import first_failure, has_group, told_by_first, world_size
from holdfast.training.callbacks.shipping import Shipper
from holdfast.training.newest_good import restore_newest_good
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time
from holdfast.vault.vault import Vault

__all__ = ["resume_folder", "restore_newest"]


def resume_folder(shipper: Shipper, folder: Path, name: Callable[[int], str], marker: str) -> str | None:
    """`restore_newest` by one rank for all of them. `marker`: the file that shows other ranks that they see it, too.

    Raises what restoring raises, on every rank; UsageError when there are several ranks and no process group yet.
    """
    if world_size() == 1:
        return _restore(shipper, folder, name)
    if not has_group():
        raise UsageError(
            f"{world_size()} ranks are to resume, and their process group is not there yet",
            hint="call it after TrainingArguments(...), or after torch.distributed.init_process_group()",
        )
    found = told_by_first(lambda: _restore(shipper, folder, name))
    if found is None:
        return None
    # Nodes that do not see the files of rank 0: the first rank of each restores for itself.
    absent = int(os.environ.get("LOCAL_RANK", "0")) == 0 and not (Path(found) / marker).exists()
    failure = first_failure((lambda: _restore(shipper, folder, name)) if absent else None)
    if failure:
        raise FailedError(f"a node could not restore what the others go on from: {failure}")
    if first_failure(None if (Path(found) / marker).exists() else lambda: _missing(Path(found))):
        raise FailedError(
            f"not every rank finds {found} where the others do", hint="the same output folder on all nodes"
        )
    return found


def _missing(folder: Path) -> None:
    raise FailedError(f"there is no {folder}")


def restore_newest(vault: Vault, asset: str, folder: Path, name: Callable[[int], str]) -> tuple[str | None, list[str]]:
    """The folder of the newest good checkpoint below `folder`, restored there as `name(step)` if the vault has it.

    A complete one that lies there already counts if it was written later than the vault's, as far as both clocks agree.
    What stands in the way of the restored one is replaced when all of it was restored and compared. Also returns what a
    person should know, a sentence each.
    """
    local = _newest_here(folder)
    try:
        recovered = restore_newest_good(
            vault,
            asset,
            lambda root: folder / name(_step(root)),
            overwrite=True,
            enough=lambda root: local is not None and local.written_ns > content_time(root),
        )
    except DamageError as error:
        if local is None:
            raise
        return str(local.path), [f"{error.message}; an older checkpoint lies in {local.path}"]
    told = [f"passed over: step {one.step}, snapshot {one.snapshot}: {one.reason}" for one in recovered.passed_over]
    if recovered.target is not None:
        return str(recovered.target), told
    return (str(local.path) if local is not None else None), told


def _newest_here(folder: Path) -> Candidate | None:
    with suppress(HoldfastError):  # no such folder yet
        whole = [one for one in find_checkpoints(folder) if one.complete and one.path.parent == folder.resolve()]
        return max(whole, key=lambda one: one.written_ns, default=None)
    return None


def _step(root: Root) -> int:
    if root.step is None:
        raise UsageError(
            f"snapshot {root.id} has no step, so it is no checkpoint to go on from",
            hint="give checkpoints an asset of their own",
            object_name=root.id,
        )
    return root.step


def _restore(shipper: Shipper, folder: Path, name: Callable[[int], str]) -> str | None:
    found, told = restore_newest(shipper.vault(), shipper.asset, folder, name)
    for sentence in told:
        shipper.troubles.note("passed-over", sentence, "`holdfast vault check --read-data` tells what is damaged")
    return found
