"""Frameworks that name the last finished checkpoint in a tracker file beside the folders.

Megatron-LM (`training.checkpointing.save_checkpoint`): all ranks write into `iter_0000500/`, wait in a barrier, then
rank 0 writes the iteration, or the word `release`, into `latest_checkpointed_iteration.txt`; an asynchronous save does
that in its finalize function. verl keeps the same tracker beside its `global_step_N/`.

DeepSpeed (`DeepSpeedEngine.save_checkpoint`): every rank writes its `*_states.pt` into the folder of the tag; rank 0
writes the tag into `latest` *before* the closing barrier, so other ranks may still be writing for a moment: a gap in
the ranks, a file without its end or one that still changes speaks against it.

A tracker that names a later iteration vouches for all earlier ones. It cannot vouch against a folder that an earlier
crash left half-written and that the resumed run never wrote again; the checks of each file are all there is then.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from holdfast.checkpoints.candidates import Marker
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, missing
from holdfast.checkpoints.listing import Glimpse, Tree, read_entry, read_small_text
from holdfast.checkpoints.steps import step_in_name

__all__ = ["MEGATRON", "DEEPSPEED"]

_MEGATRON_TRACKER = "latest_checkpointed_iteration.txt"
_MEGATRON_FOLDER = re.compile(r"iter_\d{7,18}|global_step_\d{1,18}")
_NUMBER = re.compile(r"[0-9]{1,18}")

_DEEPSPEED_TRACKER = "latest"
_DEEPSPEED_FOLDER = re.compile(r"global_step\d{1,18}")
_DEEPSPEED_FILE = re.compile(r"[^/]*_(?:model|optim)_states\.pt")
_ZERO_RANK = re.compile(r"(?P<before>.*zero_pp_rank_)(?P<rank>\d{1,9})(?P<after>_mp_rank_.*)")


def _tracker_marker(folder: Path, name: str) -> Marker | None:
    entry = read_entry(folder.parent / name)
    return None if entry is None else Marker(f"../{name}", entry.size, entry.mtime_ns)


def _claims_megatron(folder: Glimpse) -> bool:
    released = folder.name == "release" and _tracker_marker(folder.path, _MEGATRON_TRACKER) is not None
    return released or _MEGATRON_FOLDER.fullmatch(folder.name) is not None


def _judge_megatron(tree: Tree) -> Verdict:
    framework = "verl" if tree.path.name.startswith("global_step_") else "megatron"
    step = step_in_name(tree.path.name)
    tracked = read_small_text(tree.path.parent / _MEGATRON_TRACKER)
    if not tracked:
        return Verdict(framework, step, missing(_MEGATRON_TRACKER))
    # Megatron reads `release` as iteration 0 (`read_metadata`), which every numbered iteration follows.
    latest = 0 if tracked == "release" else int(tracked) if _NUMBER.fullmatch(tracked) else -1
    if latest < (step or 0):
        return Verdict(framework, step, f"{_MEGATRON_TRACKER} still names {tracked[:40]}")
    return Verdict(framework, step, "", _tracker_marker(tree.path, _MEGATRON_TRACKER))


def _claims_deepspeed(folder: Glimpse) -> bool:
    named = _DEEPSPEED_FOLDER.fullmatch(folder.name) is not None
    return named or any(_DEEPSPEED_FILE.fullmatch(name) for name in folder.files)


def _missing_zero_rank(tree: Tree) -> str:
    """The first gap in `[bf16_]zero_pp_rank_D_mp_rank_M_optim_states.pt` over D."""
    ranks: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for name in tree.files:
        if match := _ZERO_RANK.fullmatch(name):
            ranks[match["before"], match["after"]].add(int(match["rank"]))
    for (before, after), present in sorted(ranks.items()):
        for rank in range(max(present)):
            if rank not in present:
                return missing(f"{before}{rank}{after}")
    return ""


def _vouched_by_tag(name: str, tag: str) -> bool:
    """Whether `latest` naming `tag` means that `name` is finished: it is the tag, or an earlier step of the series."""
    if tag == name:
        return True
    both_numbered = _DEEPSPEED_FOLDER.fullmatch(tag) and _DEEPSPEED_FOLDER.fullmatch(name)
    return bool(both_numbered) and (step_in_name(tag) or 0) >= (step_in_name(name) or 0)


def _judge_deepspeed(tree: Tree) -> Verdict:
    step = step_in_name(tree.path.name)
    tag = read_small_text(tree.path.parent / _DEEPSPEED_TRACKER)
    if not tag:
        return Verdict("deepspeed", step, missing(_DEEPSPEED_TRACKER))
    if not _vouched_by_tag(tree.path.name, tag):
        return Verdict("deepspeed", step, f"{_DEEPSPEED_TRACKER} names {tag[:80]}")
    if not any(_DEEPSPEED_FILE.fullmatch(name) for name in tree.files):
        return Verdict("deepspeed", step, "it holds no states")
    return Verdict("deepspeed", step, _missing_zero_rank(tree), _tracker_marker(tree.path, _DEEPSPEED_TRACKER))


MEGATRON = Layout(_claims_megatron, _judge_megatron)
DEEPSPEED = Layout(_claims_deepspeed, _judge_deepspeed)
