"""torch.distributed.checkpoint folders, bare, of torchtitan and of Lightning.

Order of writing, from `torch.distributed.checkpoint.filesystem`: every rank writes its `__RANK_N.distcp` in
`_FileSystemWriter.write_data`; when the coordinator has gathered all results, `finish` writes `.metadata.tmp`, removes
an older `.metadata` and renames. Saving again into the same folder overwrites the data while the older `.metadata`
still stands, and a crash leaves new data under it: hence `Marker.vouches`. `.metadata` is a pickle and is never loaded.

torchtitan (`CheckpointManager._find_load_step`) takes `step-N` as valid with `.metadata` or
`model.safetensors.index.json`. Lightning's FSDP and model-parallel strategies (`save_checkpoint`) write `meta.pt` after
DCP has finished; its DeepSpeed strategy saves under the tag `checkpoint`, and DeepSpeed then writes `latest`.
"""

from __future__ import annotations

import re

from holdfast.checkpoints.layouts.huggingface import TRAINER_STATE
from holdfast.checkpoints.layouts.shards import has_weights
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, holds_checkpoints, marker_in, missing
from holdfast.checkpoints.listing import Glimpse, Tree, read_small_text
from holdfast.checkpoints.steps import step_in_name

__all__ = ["TORCHTITAN", "LIGHTNING_FOLDER", "TORCH_DCP"]

_METADATA = ".metadata"
_HF_INDEX = "model.safetensors.index.json"
_DATA = re.compile(r"[^/]+\.distcp")
_STEP_FOLDER = re.compile(r"step-\d{1,18}")


def _is_data(name: str) -> bool:
    return _DATA.fullmatch(name) is not None


def _judge_metadata(framework: str, tree: Tree) -> Verdict:
    step = step_in_name(tree.path.name)
    if _METADATA not in tree.files:
        return Verdict(framework, step, missing(_METADATA))
    if not any(map(_is_data, tree.files)):
        return Verdict(framework, step, "it holds no .distcp file")
    return Verdict(framework, step, "", marker_in(tree, _METADATA, vouches_for=_is_data))


def _claims_torchtitan(folder: Glimpse) -> bool:
    return _STEP_FOLDER.fullmatch(folder.name) is not None and not holds_checkpoints(folder)


def _judge_torchtitan(tree: Tree) -> Verdict:
    """`step-N` by any of its three markers; a `trainer_state.json` is the one of trainers that borrow the layout."""
    if _METADATA in tree.files or any(map(_is_data, tree.files)):
        return _judge_metadata("torchtitan", tree)
    step = step_in_name(tree.path.name)
    for marker in (_HF_INDEX, TRAINER_STATE):
        if marker in tree.files:
            reason = "" if has_weights(tree) else "it holds no weights"
            return Verdict("torchtitan", step, reason, marker_in(tree, marker))
    return Verdict("torchtitan", step, missing(f"{_METADATA}, {_HF_INDEX} or {TRAINER_STATE}"))


def _claims_lightning(folder: Glimpse) -> bool:
    return folder.name.endswith(".ckpt")


def _judge_lightning(tree: Tree) -> Verdict:
    step = step_in_name(tree.path.name)
    if "checkpoint" in tree.folders:  # DeepSpeed strategy
        if read_small_text(tree.path / "latest") != "checkpoint":
            return Verdict("lightning", step, missing("latest"))
        reason = "" if has_weights(tree) else "it holds no weights"
        return Verdict("lightning", step, reason, marker_in(tree, "latest"))
    verdict = _judge_metadata("lightning", tree)
    if verdict.reason:
        return verdict
    if "meta.pt" not in tree.files:
        return Verdict("lightning", step, missing("meta.pt"))
    return Verdict("lightning", step, "", marker_in(tree, "meta.pt", vouches_for=_is_data))


def _claims_dcp(folder: Glimpse) -> bool:
    return any(map(_is_data, folder.files))


def _judge_dcp(tree: Tree) -> Verdict:
    return _judge_metadata("torch-dcp", tree)


TORCHTITAN = Layout(_claims_torchtitan, _judge_torchtitan)
LIGHTNING_FOLDER = Layout(_claims_lightning, _judge_lightning)
TORCH_DCP = Layout(_claims_dcp, _judge_dcp)
