"""transformers `Trainer` checkpoints, and folders of `save_pretrained`.

Order of writing, from transformers `Trainer._save_checkpoint`: `save_model` (configuration, shards, then their index,
tokenizer, `training_args.bin`), `_save_optimizer_and_scheduler` (`optimizer.pt`, or the folders of FSDP and DeepSpeed,
then `scheduler.pt`), `_save_scaler`, `_save_rng_state`, and `trainer_state.json` last, all in place, in the folder's
final name. Other ranks write their `rng_state_N.pth` without waiting for each other, so `trainer_state.json` of rank 0
can be there a moment before the last of them: readiness still needs the folder to be quiet. Older versions staged in
`tmp-checkpoint-N` and renamed.
"""

from __future__ import annotations

import re

from holdfast.checkpoints.layouts.accelerate import judge_accelerate, looks_like_accelerate
from holdfast.checkpoints.layouts.shards import has_weights
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, holds_checkpoints, marker_in, missing
from holdfast.checkpoints.listing import Glimpse, Tree
from holdfast.checkpoints.steps import step_in_name

__all__ = ["HUGGINGFACE_TRAINER", "HUGGINGFACE_MODEL", "TRAINER_STATE"]

TRAINER_STATE = "trainer_state.json"
_TRAINER_FOLDER = re.compile(r"checkpoint-\d{1,18}")
_MODEL_FILE = re.compile(r"(?:model|pytorch_model|adapter_model)(?P<shard>-\d{5}-of-\d{5})?\.(?:safetensors|bin)")


def _claims_trainer(folder: Glimpse) -> bool:
    return _TRAINER_FOLDER.fullmatch(folder.name) is not None and not holds_checkpoints(folder)


def _judge_trainer(tree: Tree) -> Verdict:
    # Training scripts of diffusers call `accelerator.save_state` with a folder named `checkpoint-N`.
    if TRAINER_STATE not in tree.files and looks_like_accelerate(tree):
        return judge_accelerate(tree)
    step = step_in_name(tree.path.name)
    if TRAINER_STATE not in tree.files:
        return Verdict("huggingface", step, missing(TRAINER_STATE))
    if not has_weights(tree):
        return Verdict("huggingface", step, "it holds no weights")
    return Verdict("huggingface", step, "", marker_in(tree, TRAINER_STATE))


def _claims_model(folder: Glimpse) -> bool:
    names = folder.files.keys() | folder.links  # a hub's cache holds nothing but links; they are judged later
    described = not names.isdisjoint(("config.json", "adapter_config.json"))
    return described and any(map(_MODEL_FILE.fullmatch, names)) and not holds_checkpoints(folder)


def _judge_model(tree: Tree) -> Verdict:
    """No file of `save_pretrained` is a marker: all shards and their index must be there, and the folder quiet."""
    sharded = any((match := _MODEL_FILE.fullmatch(name)) and match["shard"] for name in tree.files)
    indexed = any(name.endswith(".index.json") for name in tree.top_files)
    reason = missing("the index of the shards") if sharded and not indexed else ""
    return Verdict("huggingface-model", step_in_name(tree.path.name), reason)


HUGGINGFACE_TRAINER = Layout(_claims_trainer, _judge_trainer)
HUGGINGFACE_MODEL = Layout(_claims_model, _judge_model)
