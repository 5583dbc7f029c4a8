"""Several assets as one snapshot: hooks that hold them still, a cut at one moment, a barrier across ranks."""

from __future__ import annotations

from holdfast.training.groups.barrier import Barrier, Meeting, run_of
from holdfast.training.groups.hooks import Hook, HookRun
from holdfast.training.groups.in_loop import Exposure, GroupSaver, Outcome
from holdfast.training.groups.saving import GroupCut, GroupSaved, save_group

__all__ = ["save_group", "GroupSaver", "Outcome", "Exposure", "GroupSaved", "GroupCut"]
__all__ += ["Hook", "HookRun", "Barrier", "Meeting", "run_of"]
