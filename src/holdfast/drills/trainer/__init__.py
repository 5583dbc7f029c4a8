"""A real, small training run for drills: `python -m holdfast.drills.trainer --dir CHECKPOINTS --steps 120 --every 20`.

A byte-level causal transformer learns the help texts that ship with Python, in NumPy alone, with AdamW and dropout.
It stands for the user's trainer: it knows nothing of vaults, writes checkpoints as the frameworks do (files in place,
a marker last, no fsync), and may be killed at any moment. Runs with the same seed on one machine produce the same
bits, also when a run is resumed from a checkpoint. That makes recovery provable: the recovered run must end with the
weights of a run that was never disturbed (`final_digest`).

Importing this package does not import NumPy: the number of BLAS threads must be pinned before that (see `__main__`).
"""

from __future__ import annotations

from holdfast.drills.trainer.checkpoint_files import complete_checkpoints, final_digest
from holdfast.drills.trainer.heartbeat import Heartbeat, read_heartbeat

__all__ = ["complete_checkpoints", "final_digest", "Heartbeat", "read_heartbeat"]
