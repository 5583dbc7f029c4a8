"""The interface of one recogniser, and the names that never belong to a finished checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from holdfast.checkpoints.candidates import FileStamp, Marker, digest_of_stamps
from holdfast.checkpoints.listing import Glimpse, Tree

__all__ = ["Verdict", "Layout", "is_temporary", "holds_checkpoints", "marker_in", "missing"]

# `.tmp` also stands before a random or numeric end (`x.pt.tmp.4711`); `model.part-1.pt` is no temporary name.
_TEMPORARY = re.compile(
    r"^(?:\.|tmp-)|\.(?:tmp|orbax-checkpoint-tmp)(?=$|[-._])|\.(?:temp|part|partial|incomplete)$|~$"
)
_CHECKPOINT_FOLDER = re.compile(r"(?:checkpoint[-_]\d+|step-\d+|iter_\d{7,})")


class Verdict(NamedTuple):
    """What a recogniser says of a folder: complete when `reason` is empty."""

    framework: str
    step: int | None
    reason: str
    marker: Marker | None = None


class Layout(NamedTuple):
    """One recogniser. `claims` decides from one level of the folder, `judge` from all of it."""

    claims: Callable[[Glimpse], bool]
    judge: Callable[[Tree], Verdict]


def is_temporary(name: str) -> bool:
    """Whether a framework or a copying tool gives such a name to what it has not finished."""
    return _TEMPORARY.search(name) is not None


def holds_checkpoints(folder: Glimpse) -> bool:
    """Whether it is an experiment's folder that happens to be named like a checkpoint (`step-1/checkpoint-500`)."""
    return any(_CHECKPOINT_FOLDER.fullmatch(name) for name in folder.folders)


def missing(name: str) -> str:
    """The reason for a marker that has not been written."""
    return f"{name} has not been written"


def marker_in(tree: Tree, name: str, *, vouches_for: Callable[[str], bool] | None = None) -> Marker:
    """The marker `name` of the tree, which must hold it; `vouches_for` picks the data files it stands for."""
    entry = tree.files[name]
    vouched = [FileStamp(*stamp) for stamp in tree.stamps if vouches_for is not None and vouches_for(stamp.path)]
    return Marker(name, entry.size, entry.mtime_ns, digest_of_stamps(vouched) if vouched else "")
