"""Hugging Face `Trainer`: each `checkpoint-N/` goes to the vault in the background, and the newest good one comes back.

    holdfast = HoldfastCallback("VAULT", asset="llm")
    trainer = Trainer(..., callbacks=[holdfast])
    trainer.train(resume_from_checkpoint=holdfast.resume(args.output_dir))

The hooks as they are in transformers 5.23: `on_save` fires after `_save_checkpoint` has written everything of this
rank in place, `trainer_state.json` last on rank 0, and after old checkpoints were rotated away. Other ranks do not
wait for each other: rank 0 of the world sends the folder when all that lie on its file system have written their
`rng_state_N.pth`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.checkpoints.layouts import find_checkpoints
from holdfast.checkpoints.listing import read_entry
from holdfast.checkpoints.metrics import metrics_of
from holdfast.checkpoints.structure import file_problem
from holdfast.training.callbacks.extras import missing_extra
from holdfast.training.callbacks.resuming import resume_folder
from holdfast.training.callbacks.shipping import Shipper, Where
from holdfast.training.callbacks.signals import Signals

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments
except ImportError as error:
    raise missing_extra("transformers", "transformers", error) from error

__all__ = ["HoldfastCallback"]

_RANKS_WAIT_SECONDS = 120.0
_RANKS_POLL_SECONDS = 0.2
_END_WAIT_SECONDS = 600.0


class HoldfastCallback(TrainerCallback):  # type: ignore[misc]
    """Sends every checkpoint that the Trainer writes to the vault. Never stops training: see `stats`.

    `save_on`: signals at which the Trainer saves at the next step and goes on; `stop_on`: at which it saves and stops
    (`train-exec` and Slurm send them before a machine is taken away). A signal that the program handles itself is left
    to it, and more than one rank needs each of them to get the signal. `end_wait_seconds`: how long the end of training
    waits for what is still on its way. Further arguments are those of `holdfast.training.Saver`.
    """

    def __init__(
        self,
        vault: Where,
        *,
        asset: str,
        save_on: Sequence[signal.Signals] = (signal.SIGUSR1,),
        stop_on: Sequence[signal.Signals] = (),
        end_wait_seconds: float = _END_WAIT_SECONDS,
        **saver: Any,
    ) -> None:
        self._shipper = Shipper(vault, asset, **saver)
        self._signals = Signals(save_on, stop_on)
        self._end_wait_seconds = end_wait_seconds
        self._waiting: list[threading.Thread] = []
        self._ranks_here: set[int] = set()  # that write to the file system of rank 0

    def resume(self, output_dir: str | Path) -> str | None:
        """The folder to go on from, for `resume_from_checkpoint`; None: there is none, so training begins.

        The newest complete checkpoint in `output_dir` counts if it was written later than the vault's newest; else
        the newest snapshot that reads back whole is restored there, and what is damaged is passed over, with a
        warning. Call it on every rank, after `TrainingArguments(...)`: rank 0 restores, and so does one rank of each
        node that does not see its files. Raises what restoring raises, on every rank: starting anew by mistake is
        worse than not starting.
        """
        return resume_folder(self._shipper, Path(output_dir), lambda step: f"checkpoint-{step}", "trainer_state.json")

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        with self._shipper.troubles.caught("getting ready"):
            self._signals.listen()
            if state.is_world_process_zero:
                self._shipper.start(beside=Path(args.output_dir), hyperparameters=args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        asked = ""
        with self._shipper.troubles.caught("asking whether a signal came"):
            asked = self._signals.asked(state.global_step, args.world_size)
        if asked:
            control.should_save = True
            control.should_training_stop = control.should_training_stop or asked == "stop"

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        with self._shipper.troubles.caught("sending the checkpoint"):
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if args.world_size == 1 or args.save_only_model:
                self._send(folder, state.global_step, {})
                return
            self._waiting = [one for one in self._waiting if one.is_alive()]
            if not self._ranks_here:
                self._ranks_here = set(range(_ranks_of_this_node(args) if args.save_on_each_node else args.world_size))
            waiting = threading.Thread(
                target=self._send_when_whole, args=(folder, state.global_step, args.world_size), daemon=True
            )
            waiting.start()
            self._waiting.append(waiting)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        with self._shipper.troubles.caught("ending"):
            self._signals.restore()
            deadline = time.monotonic() + self._end_wait_seconds
            for waiting in self._waiting:
                waiting.join(max(0.0, deadline - time.monotonic()))
            if state.is_world_process_zero:
                self._shipper.settle(max(0.0, deadline - time.monotonic()))

    def _send(self, folder: Path, step: int, metadata: dict[str, str]) -> None:
        judged = find_checkpoints(folder)
        if len(judged) != 1 or not judged[0].complete:
            reason = judged[0].reason if len(judged) == 1 else "it is no checkpoint of the Trainer"
            self._shipper.troubles.note("incomplete", f"{folder} was not sent: {reason}")
            return
        self._shipper.send_folder(
            folder, step=step, metrics=metrics_of(folder), metadata={"framework": "huggingface", **metadata}
        )

    def _send_when_whole(self, folder: Path, step: int, world: int) -> None:
        """On a thread of its own: the files of other ranks come a moment later, and training must not wait for them."""
        with self._shipper.troubles.caught("sending the checkpoint"):
            deadline = time.monotonic() + _RANKS_WAIT_SECONDS
            while not self._ranks_here <= _ranks_in(folder, world):
                if time.monotonic() > deadline or not folder.exists():
                    break
                time.sleep(_RANKS_POLL_SECONDS)
            covered = _ranks_in(folder, world)
            self._ranks_here &= covered | {0}  # the others write elsewhere: the next save does not wait for them
            metadata = {} if len(covered) == world else {"ranks": f"{len(covered)} of {world}"}
            if metadata:
                self._shipper.troubles.note(
                    "ranks",
                    f"{folder} holds the random states of {len(covered)} of {world} ranks only: a resume is not exact",
                    "let all nodes write to one file system, or run `holdfast watch` on each of them",
                )
            self._send(folder, step, metadata)


def _ranks_in(folder: Path, world: int) -> set[int]:
    """The ranks that have finished their `rng_state_N.pth` there."""
    found = set()
    for rank in range(world):
        path = folder / f"rng_state_{rank}.pth"
        entry = read_entry(path)
        if entry is not None and entry.size and not file_problem(path, entry):
            found.add(rank)
    return found


def _ranks_of_this_node(args: TrainingArguments) -> int:
    """Rank 0 lies on the first node, whose ranks come first in all launchers."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", args.world_size))
