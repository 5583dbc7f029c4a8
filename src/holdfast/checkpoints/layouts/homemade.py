"""Folders that a training loop of one's own names after the step: `step_100/model.safetensors` and `optim.safetensors`.

Nothing tells when such a folder is finished: every file must be whole, as far as its format tells, and the folder quiet
for the settling time. A loop that pauses for longer between two files of one step needs a longer one (`--settle`).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from holdfast.checkpoints.layouts.files import FILE_SUFFIXES
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, holds_checkpoints, is_temporary
from holdfast.checkpoints.listing import Glimpse, Tree
from holdfast.checkpoints.steps import step_in_name, step_in_words

__all__ = ["HOMEMADE"]

_FOLDER = re.compile(
    r"(?:(?:global|train|model|epoch[=_-]?\d+)[=_-])*(?:steps?|iter(?:ation)?|batch|checkpoint|ckpt)[=_-]?\d{1,18}",
    re.IGNORECASE,
)


def _claims(folder: Glimpse) -> bool:
    if _FOLDER.fullmatch(folder.name) is None or holds_checkpoints(folder):
        return False
    step = step_in_name(folder.name)
    names = [name for name in folder.files if PurePosixPath(name).suffix in FILE_SUFFIXES and not name.startswith(".")]
    # Files with steps of their own make it the folder of a run.
    return bool(names) and all(step_in_words(name) in (None, step) for name in names)


def _judge(tree: Tree) -> Verdict:
    unfinished = [name for name in tree.top_files if is_temporary(name) and not name.startswith(".")]
    reason = f"{min(unfinished)} has a temporary name" if unfinished else ""
    return Verdict("folder", step_in_name(tree.path.name), reason)


HOMEMADE = Layout(_claims, _judge)
