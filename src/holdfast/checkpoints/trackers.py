"""Tracker files: beside its checkpoints, a framework names the one to resume from.

They lie outside of the checkpoint's folder and so outside of its snapshot; a restored `iter_0000500/` is found by
Megatron-LM, and `global_step500/` by DeepSpeed, only with the tracker written again.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.checkpoints.listing import SMALL_TEXT_BYTES, read_entry, read_small_text

__all__ = ["trackers_beside"]

_TRACKERS = ("latest_checkpointed_iteration.txt", "latest")


def trackers_beside(checkpoint: Path) -> str:
    """`latest_checkpointed_iteration.txt: 500`; one line for each tracker, empty when there is none.

    Only texts of up to 4 KiB: a `latest` that is a checkpoint itself, or a link to a folder, is none.
    """
    lines = []
    for name in _TRACKERS:
        path = checkpoint.with_name(name)
        entry = read_entry(path) if path != checkpoint else None
        text = read_small_text(path) if entry is not None and entry.size <= SMALL_TEXT_BYTES else None
        if text and text.isprintable():
            lines.append(f"{name}: {text}")
    return "\n".join(lines)
