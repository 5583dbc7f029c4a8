"""accelerate: what `save_state` has written goes to the vault in the background, and the newest good one comes back.

    holdfast = attach(accelerator, "VAULT", asset="llm")
    folder = holdfast.resume(output_dir)                     # None: nothing to go on from
    if folder: accelerator.load_state(folder)

accelerate 1.15 has hooks before saving and before loading (`register_save_state_pre_hook`), and none after, and no
file of a checkpoint is written last: so `attach` wraps `save_state` of this accelerator. Registered objects are
written after the hooks, and so are in the snapshot. Every rank calls `save_state`; the main process sends the folder
when all have returned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.checkpoints.steps import step_in_name
from holdfast.training.callbacks.resuming import resume_folder
from holdfast.training.callbacks.shipping import Shipper, Where

__all__ = ["attach", "Attached"]

_END_WAIT_SECONDS = 600.0


class Attached:
    """What `attach` gives back."""

    def __init__(self, accelerator: Any, shipper: Shipper) -> None:
        self._accelerator = accelerator
        self._shipper = shipper
        self._save_state = accelerator.save_state
        self._end_training = accelerator.end_training
        self._written: Path | None = None

    def resume(self, output_dir: str | Path | None = None) -> str | None:
        """The folder for `accelerator.load_state`; None: there is none, so training begins.

        The newest complete checkpoint in `output_dir` counts if it was written later than the vault's newest; else
        the newest snapshot that reads back whole is restored there as `checkpoint_STEP`, and what is damaged is
        passed over, with a warning. By default where `automatic_checkpoint_naming` looks; the next save then gets the
        next number. Call it on every rank. Raises what restoring raises.
        """
        naming = self._accelerator.project_configuration
        folder = Path(output_dir) if output_dir is not None else Path(self._accelerator.project_dir) / "checkpoints"
        found = resume_folder(self._shipper, folder, lambda step: f"checkpoint_{step}", "random_states_0.pkl")
        number = step_in_name(Path(found).name) if found is not None else None
        if number is not None and naming.automatic_checkpoint_naming:
            naming.iteration = max(naming.iteration, number + 1)
        return found

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def wait(self, seconds: float = _END_WAIT_SECONDS) -> bool:
        """Wait until all is durable, or the time is over; whether all is."""
        return self._shipper.settle(seconds)

    def _forget(self) -> None:
        self._written = None

    def _before_writing(self, models: Any, weights: Any, output_dir: str) -> None:
        self._written = Path(output_dir)  # with automatic names nobody else says where

    def _saving(self, *arguments: Any, **options: Any) -> Any:
        self._forget()
        result = self._save_state(*arguments, **options)
        with self._shipper.troubles.caught("sending the checkpoint"):
            # The others may still be writing; every rank comes here, unless saving itself raised, and then it ends
            # anyway.
            self._accelerator.wait_for_everyone()
            if self._written is not None and self._accelerator.is_main_process:
                self._send(self._written)
        return result

    def _send(self, folder: Path) -> None:
        naming = self._accelerator.project_configuration
        step = naming.iteration - 1 if naming.automatic_checkpoint_naming else step_in_name(folder.name)
        if step is None:
            step = naming.iteration - 1
        # Beside `checkpoints/`, in which accelerate wants nothing but checkpoints.
        beside = folder.parent.parent if naming.automatic_checkpoint_naming else folder.parent
        self._shipper.send_folder(folder, step=step, metrics={}, metadata={"framework": "accelerate"}, beside=beside)

    def _ending(self, *arguments: Any, **options: Any) -> Any:
        with self._shipper.troubles.caught("ending"):
            if self._accelerator.is_main_process:
                self._shipper.settle(_END_WAIT_SECONDS)
        return self._end_training(*arguments, **options)


def attach(accelerator: Any, vault: Where, *, asset: str, **saver: Any) -> Attached:
    """From now on, what `accelerator.save_state` writes is also saved to the vault, as `asset`.

    The step is the number in the folder's name. `accelerator.end_training()` waits for what is on its way. Saving never
    stops training: see `stats` of what is returned. Further arguments are those of `holdfast.training.Saver`.
    """
    attached = Attached(accelerator, Shipper(vault, asset, **saver))
    accelerator.register_save_state_pre_hook(attached._before_writing)
    accelerator.save_state = attached._saving
    accelerator.end_training = attached._ending
    return attached
