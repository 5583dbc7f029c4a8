"""Orbax (JAX, Flax) step folders: `500/`, `checkpoint_500/`.

Order of writing, from `orbax.checkpoint._src.path.atomicity`: `AtomicRenameTemporaryPath` writes everything into
`500.orbax-checkpoint-tmp` (older versions add a number) and renames at the end; `CommitFileTemporaryPath`, for stores
without an atomic rename, writes in place and ends with `commit_success.txt`. Both write `_CHECKPOINT_METADATA` first
and set its `commit_timestamp_nsecs` when they finalize, before the rename or the commit file.

A missing `commit_success.txt` proves nothing: folders committed by rename never had one, and copies lose it.
"""

from __future__ import annotations

import re

from holdfast.checkpoints.layouts.verdict import Layout, Verdict, marker_in
from holdfast.checkpoints.listing import Glimpse, Tree, read_entry
from holdfast.checkpoints.steps import step_in_name
from holdfast.checkpoints.structure import NotWholeError, read_json

__all__ = ["ORBAX"]

_TEMPORARY = ".orbax-checkpoint-tmp"
_COMMIT_FILE = "commit_success.txt"
_STEP_METADATA = "_CHECKPOINT_METADATA"
_ITEM_METADATA = "_METADATA"
_SIGNS = frozenset((_COMMIT_FILE, _STEP_METADATA, _ITEM_METADATA, "manifest.ocdbt"))
_STEP_FOLDER = re.compile(r"(?:[a-z]\w*_)?\d{1,18}", re.IGNORECASE)


def _holds_items(folder: Glimpse) -> bool:
    """Older versions write only items (`500/state/_METADATA`) into a step's folder."""
    items = [name for name in folder.folders if not _STEP_FOLDER.fullmatch(name)]
    named = _STEP_FOLDER.fullmatch(folder.name) is not None
    return named and any(read_entry(folder.path / item / _ITEM_METADATA) is not None for item in items)


def _claims(folder: Glimpse) -> bool:
    return _TEMPORARY in folder.name or not _SIGNS.isdisjoint(folder.files) or _holds_items(folder)


def _commit_problem(tree: Tree) -> str:
    """What `_CHECKPOINT_METADATA` says against it. A version that writes no commit time says nothing."""
    try:
        metadata = read_json(tree.path / _STEP_METADATA, tree.files[_STEP_METADATA].size)
    except NotWholeError as problem:
        return f"{_STEP_METADATA} {problem}"
    if isinstance(metadata, dict) and metadata.get("commit_timestamp_nsecs", 0) is None:
        return f"{_STEP_METADATA} has no commit time"
    return ""


def _judge(tree: Tree) -> Verdict:
    name, temporary, _ = tree.path.name.partition(_TEMPORARY)
    step = step_in_name(name)
    if temporary:
        return Verdict("orbax", step, "it has a temporary name")
    if any(_TEMPORARY in folder for folder in tree.folders):
        return Verdict("orbax", step, "an item in it has a temporary name")
    if _COMMIT_FILE in tree.files:
        return Verdict("orbax", step, "", marker_in(tree, _COMMIT_FILE))
    if _STEP_METADATA in tree.files:
        return Verdict("orbax", step, _commit_problem(tree), marker_in(tree, _STEP_METADATA))
    return Verdict("orbax", step, "")


ORBAX = Layout(_claims, _judge)
