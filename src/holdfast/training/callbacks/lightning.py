"""Lightning: checkpoints go to the vault as states, in the background; what lies on disk is a short pointer.

    checkpoints = HoldfastCheckpointIO("VAULT", asset="llm")
    trainer = Trainer(plugins=[checkpoints], callbacks=[RandomStates(), ...])
    trainer.fit(model, data, ckpt_path=checkpoints.newest())

Lightning finds, ranks and deletes checkpoints by their paths. Where it wants one, a file of some hundred bytes says
which snapshot is meant, so `ckpt_path="last"`, `"best"`, `save_top_k` and links work as always, and a folder that was
lost is no loss: `newest()` needs no file. A path with a real checkpoint of `torch.save` is loaded as Lightning does.

The hooks as they are in lightning 2.6: `Strategy.save_checkpoint` calls the plugin on rank 0 of the world only;
`Strategy.load_checkpoint` on every rank. Sharded strategies (FSDP with sharded state, DeepSpeed, model-parallel)
write files of their own and take no such plugin: for them there is `holdfast.training.dcp` and `holdfast watch`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import UsageError
from holdfast.training.callbacks.extras import missing_extra
from holdfast.training.callbacks.pointers import Pointer, new_save, read_pointer, write_pointer
from holdfast.training.callbacks.shipping import Shipper, Where
from holdfast.training.circumstances.randoms import random_states, restore_random_states

try:
    import torch
    from lightning.pytorch import Callback
    from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO
except ImportError as error:
    raise missing_extra("lightning", "lightning", error) from error

__all__ = ["HoldfastCheckpointIO", "RandomStates", "NEWEST"]

NEWEST = "holdfast:newest"
_END_WAIT_SECONDS = 600.0
_NUMBER = "tensor of one element"


class HoldfastCheckpointIO(CheckpointIO):  # type: ignore[misc]
    """Saves every checkpoint of the Trainer to the vault, and loads from there. Saving never stops training: see
    `stats`.

    `keep_files`: also write Lightning's own file, synchronously, as it does without this plugin. `end_wait_seconds`:
    how long the end of training waits for what is on its way. Further arguments are those of
    `holdfast.training.Saver`.
    """

    def __init__(
        self,
        vault: Where,
        *,
        asset: str,
        keep_files: bool = False,
        end_wait_seconds: float = _END_WAIT_SECONDS,
        **saver: Any,
    ) -> None:
        self._shipper = Shipper(vault, asset, **saver)
        self._files = TorchCheckpointIO()
        self._keep_files = keep_files
        self._end_wait_seconds = end_wait_seconds

    def newest(self) -> str | None:
        """For `fit(ckpt_path=...)`: the newest snapshot that is good, or None when the vault has none of the asset.

        It is read when Lightning loads it, whole and on every rank; what is damaged is passed over, with a warning.
        """
        return NEWEST if self._shipper.has_candidates() else None

    def stats(self) -> dict[str, Any]:
        """What was saved, what failed and why: see `Shipper.stats`."""
        return self._shipper.stats()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Hand the checkpoint over; returns when it is copied. Raises only what `keep_files` makes Lightning raise."""
        save = new_save()
        if self._keep_files:
            self._files.save_checkpoint(checkpoint, path, storage_options)
        with self._shipper.troubles.caught("handing the checkpoint over"):
            step = int(checkpoint.get("global_step", 0))
            metadata = {"framework": "lightning", "checkpoint": Path(path).name, "save": save}
            if not self._keep_files:
                write_pointer(Path(path), Pointer(self._shipper.asset, step, save))
            state = checkpoint | {"callbacks": _numbers_told(checkpoint.get("callbacks", {}))}
            self._shipper.send_state(state, step=step, metrics=_metrics(checkpoint), metadata=metadata)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The checkpoint that the path means: `newest()`, a pointer, or a file of Lightning's own.

        No pickle is read from the vault, so `weights_only` has no meaning there; tensors are on the CPU, as Lightning
        loads them for `Trainer.fit`. Raises NotFoundError, DamageError; a pointer to what is damaged does not fall
        back.
        """
        if os.fspath(path) == NEWEST:
            return _as_checkpoint(self._shipper.newest_state())
        pointer = read_pointer(Path(path))
        if pointer is None:
            loaded: dict[str, Any] = self._files.load_checkpoint(path, map_location, weights_only)
            return loaded
        self._shipper.settle(self._end_wait_seconds)
        return _as_checkpoint(self._shipper.state_of_save(pointer.save, path))

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove the file. Snapshots stay: what the vault keeps, its retention decides."""
        self._files.remove_checkpoint(path)

    def teardown(self) -> None:
        with self._shipper.troubles.caught("ending"):
            self._shipper.settle(self._end_wait_seconds)


class RandomStates(Callback):  # type: ignore[misc]
    """Keeps the states of Python's, NumPy's and PyTorch's generators in the checkpoints, which Lightning does not.

    They are set at the first batch after loading: what the start of training draws does not count. Those of rank 0
    only.
    """

    def __init__(self) -> None:
        self._loaded: Any | None = None

    def state_dict(self) -> dict[str, Any]:
        return random_states()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._loaded is not None:
            restore_random_states(self._loaded)
            self._loaded = None


def _metrics(checkpoint: Mapping[str, Any]) -> dict[str, float]:
    """The best scores that `ModelCheckpoint` keeps, by what it monitors: no other numbers are in a checkpoint."""
    found = {}
    for state in checkpoint.get("callbacks", {}).values():
        if isinstance(state, Mapping) and state.get("monitor") and state.get("current_score") is not None:
            found[str(state["monitor"])] = float(state["current_score"])
    return found


def _as_checkpoint(state: Any) -> dict[str, Any]:
    if not isinstance(state, dict) or "state_dict" not in state:
        raise UsageError(
            "the snapshot is no checkpoint of Lightning", hint="give its checkpoints an asset of their own"
        )
    return state | {"callbacks": _numbers_made(state.get("callbacks", {}))}


def _numbers_told(value: Any) -> Any:
    """Callbacks keep scores in tensors of one element, infinite before the first: as values of a snapshot's tensors
    those would be findings, and the snapshot not good. They go into its JSON, exactly.
    """
    if isinstance(value, torch.Tensor) and value.dim() == 0 and not value.is_complex():
        return {_NUMBER: value.item(), "dtype": value.dtype}
    if isinstance(value, Mapping):
        return {key: _numbers_told(inner) for key, inner in value.items()}
    return value


def _numbers_made(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {_NUMBER, "dtype"}:
        return torch.tensor(value[_NUMBER], dtype=value["dtype"])
    return {key: _numbers_made(inner) for key, inner in value.items()}
