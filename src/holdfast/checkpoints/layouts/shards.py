"""What must hold in every checkpoint folder, whichever framework wrote it: all parts are there, each to its end."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path, PurePosixPath

from holdfast.checkpoints.listing import Tree, leads_outside
from holdfast.checkpoints.structure import NotWholeError, file_problem, read_json

__all__ = ["tree_problem", "has_weights"]

_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<suffix>\..+)")
_WEIGHTS = re.compile(
    r"(?:.*/)?(?:"
    r"(?:model|pytorch_model|adapter_model|diffusion_pytorch_model|consolidated)[^/]*\.(?:safetensors|bin|pt|pth)"
    r"|[^/]+\.distcp|[^/]+_(?:model|optim)_states\.pt)"
)


def has_weights(tree: Tree) -> bool:
    """Whether some file is named as weights are, at any depth (FSDP and DeepSpeed write folders of their own)."""
    return any(_WEIGHTS.fullmatch(name) for name in tree.files)


def _shard_set_problem(tree: Tree) -> str:
    """`model-00001-of-00003.safetensors` announces two others (transformers `split_torch_state_dict_into_shards`)."""
    seen: defaultdict[tuple[str, int, str], set[int]] = defaultdict(set)
    for name in tree.files:
        if match := _SHARD.fullmatch(name):
            seen[match["stem"], int(match["total"]), match["suffix"]].add(int(match["number"]))
    for (stem, total, suffix), numbers in sorted(seen.items()):
        # Most number their shards from 1, some from 0; a full set has as many members as it says.
        if len(numbers) < total:
            return f"{total - len(numbers)} of {total} shards of {stem}{suffix} are missing"
    return ""


# As in structure.py: only what could be read is remembered.
@lru_cache(maxsize=1024)
def _shards_named(path: str, size: int, mtime_ns: int) -> frozenset[str]:
    match read_json(Path(path), size):
        case {"weight_map": dict(weight_map)}:
            return frozenset(shard for shard in weight_map.values() if isinstance(shard, str))
        case _:
            return frozenset()


def _index_problem(tree: Tree) -> str:
    """Every shard that a `*.index.json` names must be there; that each is whole, its own header says."""
    for name, entry in sorted(tree.files.items()):
        if not name.endswith(".index.json"):
            continue
        try:
            shards = _shards_named(str(tree.path / name), entry.size, entry.mtime_ns)
        except NotWholeError as problem:
            return f"{name} {problem}"
        folder = PurePosixPath(name).parent
        absent = sorted(shard for shard in shards if str(folder / shard) not in tree.files)
        if absent:
            return f"{absent[0]} is missing, which {name} names"
    return ""


def _file_problem(tree: Tree) -> str:
    for name, entry in sorted(tree.files.items()):
        if name in tree.links:
            continue
        if problem := file_problem(tree.path / name, entry):
            return f"{name} {problem}"
    return ""


def _link_problem(tree: Tree) -> str:
    """A snapshot holds a link as a link: what lies outside of the checkpoint (a hub's cache) would not be protected."""
    outside = [name for name in sorted(tree.links) if leads_outside(tree, name)]
    return f"{outside[0]} is a link to a file outside" if outside else ""


def tree_problem(tree: Tree) -> str:
    """Why the folder cannot be a whole checkpoint; empty when nothing speaks against it."""
    if tree.trouble:
        return tree.trouble
    if not tree.files:
        return "is empty"
    for name in sorted(tree.files):
        # torch.distributed.checkpoint writes `.metadata.tmp` and renames it when every rank has written its data.
        if PurePosixPath(name).name == ".metadata.tmp":
            return f"{name} has not been renamed yet"
    return _link_problem(tree) or _shard_set_problem(tree) or _index_problem(tree) or _file_problem(tree)
