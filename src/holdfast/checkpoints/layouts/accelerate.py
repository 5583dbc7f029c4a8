"""accelerate `checkpoints/checkpoint_N/`.

Order of writing, from accelerate `Accelerator.save_state` and `checkpointing.save_accelerator_state`: models
(`model.safetensors` or `pytorch_model.bin`; FSDP and DeepSpeed write before it, into folders), `optimizer.bin`,
`scheduler.bin`, `sampler.bin`, `dl_state_dict.bin`, `scaler.pt`, and then each rank its `random_states_RANK.pkl`.
Registered objects (`custom_checkpoint_N.pkl`) come after that, so there is no last file to rely on: a complete folder
must also be quiet.
"""

from __future__ import annotations

import re

from holdfast.checkpoints.layouts.shards import has_weights
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, holds_checkpoints, missing
from holdfast.checkpoints.listing import Glimpse, Tree
from holdfast.checkpoints.steps import step_in_name

__all__ = ["ACCELERATE", "judge_accelerate", "looks_like_accelerate"]

_FOLDER = re.compile(r"checkpoint_\d{1,18}")
_RANDOM_STATES = re.compile(r"random_states_(\d{1,9})\.pkl")


def looks_like_accelerate(tree: Tree) -> bool:
    """Whether files are there that only `save_accelerator_state` writes."""
    return any(_RANDOM_STATES.fullmatch(name) or name == "optimizer.bin" for name in tree.files)


def judge_accelerate(tree: Tree) -> Verdict:
    """Complete when the weights and the random states of all ranks up to the highest are there."""
    step = step_in_name(tree.path.name)
    ranks = {int(match[1]) for name in tree.files if (match := _RANDOM_STATES.fullmatch(name))}
    absent = next((rank for rank in range(max(ranks, default=0) + 1) if rank not in ranks), None)
    if absent is not None:
        return Verdict("accelerate", step, missing(f"random_states_{absent}.pkl"))
    return Verdict("accelerate", step, "" if has_weights(tree) else "it holds no weights")


def _claims(folder: Glimpse) -> bool:
    return _FOLDER.fullmatch(folder.name) is not None and not holds_checkpoints(folder)


ACCELERATE = Layout(_claims, judge_accelerate)
