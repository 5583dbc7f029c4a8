"""From a snapshot to a state in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from holdfast.control.vaults.opening import open_at
from holdfast.errors import DamageError, HoldfastError, NotFoundError, UnsupportedFormatError, UntrustedError
from holdfast.training.newest_good import good_candidates
from holdfast.training.saving.ledger import LOG
from holdfast.training.states.arrays import Array
from holdfast.training.states.files import STATE_FILE
from holdfast.training.states.filling import fill
from holdfast.training.states.rebuilding import TensorKey, read_tree, rebuild, tensors_of
from holdfast.vault.files.reading import Demand, PartReader
from holdfast.vault.files.tree import SnapshotTree
from holdfast.vault.files.windows import Window
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.thinning import dropped_components
from holdfast.vault.vault import Vault

__all__ = ["NEWEST_GOOD", "open_for_restoring", "restore_state", "load_state"]

NEWEST_GOOD = "newest good"
_DOCUMENT_BYTES_MAX = 1 << 30


def open_for_restoring(url: str, options: Mapping[str, str], asset: str) -> Vault:
    """The vault at a URL; for none, where `holdfast.yaml` has the asset. Raises what opening raises."""
    if url:
        return open_at(url, options=options)
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.sites.finding import open_for_reading

    return open_for_reading(DeclaredSites(load_config()), asset)


def restore_state(vault: Vault, asset: str, into: Any, reference: str) -> Any:
    """As `Saver.restore`."""
    if reference != NEWEST_GOOD:
        root = vault.find(reference if "@" in reference or _is_id(vault, reference) else f"{asset}@{reference}")
        return _given(load_state(vault, root), into)
    candidates = good_candidates(vault, asset)
    passed_over = list(candidates.passed_over)
    for root in candidates.roots:
        try:
            given_up = dropped_components(vault.handle, root)
            if given_up:
                raise NotFoundError(f"retention took {', '.join(given_up)} from it")
            state = load_state(vault, root)
        except UnsupportedFormatError:
            raise
        except (DamageError, NotFoundError, UntrustedError) as error:
            LOG.warning("passed over: step %s, snapshot %s: %s", root.step, root.id, error.message)
            continue
        return _given(state, into)
    if candidates.roots or passed_over:
        raise DamageError(
            f"no snapshot of {asset!r} in {vault.url} is a state that can be gone on from",
            hint="`holdfast snapshot list` shows them; `holdfast vault repair`, or another replica",
        )
    raise NotFoundError(f"there is no snapshot of {asset!r} in {vault.url}", hint="training begins anew")


def load_state(vault: Vault, root: Root) -> Any:
    """The state of one snapshot; every chunk compared with its id. Raises NotFoundError (its files are no state),
    DamageError, MissingExtraError.
    """
    tree = SnapshotTree(vault.handle, root)
    file = tree.file(STATE_FILE)
    if file is None:
        raise NotFoundError(
            f"snapshot {root.id} holds files, not a state that a Saver saved",
            hint="`holdfast restore` writes its files",
            object_name=root.id,
        )
    reader = PartReader(vault.handle)
    if file.size > _DOCUMENT_BYTES_MAX:
        raise DamageError(f"{STATE_FILE} of snapshot {root.id} has {file.size} bytes", object_name=root.id)
    document = np.zeros(file.size, np.uint8)
    reader.fill([Demand(file, Window(0, 1 if file.size else 0, file.size, file.size), document, zeroed=True)])
    try:
        nodes = read_tree(document.tobytes())
        arrays = _read_arrays(vault, root, set(tensors_of(nodes)))
        return rebuild(nodes, arrays.__getitem__)
    except HoldfastError as error:
        if error.object_name or not isinstance(error, DamageError):
            raise
        raise type(error)(f"snapshot {root.id}: {error.message}", hint=error.hint, object_name=root.id) from error


def _read_arrays(vault: Vault, root: Root, keys: set[TensorKey]) -> dict[TensorKey, Array]:
    if not keys:
        return {}
    tensors = vault.load(root.id)
    names = {key: f"{key[0]}::{key[1]}" for key in keys}
    for key, name in names.items():
        if name not in tensors or tensors[name].path != key[0]:
            raise DamageError(f"snapshot {root.id} lacks the tensor {key[1]!r} of {os.fsdecode(key[0])}")
    found = tensors.read_all(names.values())
    return {key: found[name] for key, name in names.items()}


def _given(state: Any, into: Any) -> Any:
    return state if into is None else fill(into, state)


def _is_id(vault: Vault, reference: str) -> bool:
    from holdfast.ids import is_snapshot_id

    return is_snapshot_id(reference.lower())
