"""A network trained by Lightning, protected by one plugin: kill it at any time and start it again.

    python examples/lightning_fit.py --vault VAULT --output OUT [--steps 24] [--kill-at 14] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). The plugin writes no checkpoint to OUT, so nothing is
lost with it. With --kill-at the process kills itself (SIGKILL) at the end of that step, once a checkpoint is in the
vault. RESULT gets the final weights and the loss of every step, which are the same bytes however often the training
was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from holdfast.training.callbacks.lightning import HoldfastCheckpointIO, RandomStates


class Batches:
    """Batches in an order that is drawn anew for each epoch, with a position: it goes on in the middle of an epoch."""

    def __init__(self, count: int = 64, size: int = 8) -> None:
        random = torch.Generator().manual_seed(1)
        self._inputs = torch.randn(count, 16, generator=random)
        self._targets = self._inputs.sin().sum(1, keepdim=True)
        self._size = size
        self._epoch = self._given = 0
        self._resumed = False

    def __len__(self) -> int:
        return len(self._inputs) // self._size

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self._given == len(
            self
        ):  # Lightning asks for no more than there are, so the end is seen at the next beginning
            self._epoch, self._given = self._epoch + 1, 0
        elif not self._resumed:
            self._given = 0
        self._resumed = False
        order = torch.randperm(len(self._inputs), generator=torch.Generator().manual_seed(self._epoch))
        while self._given < len(self):
            rows = order[self._given * self._size :][: self._size]
            self._given += 1
            yield self._inputs[rows], self._targets[rows]

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._given, self._resumed = state["epoch"], state["given"], True


class Network(LightningModule):
    """Two layers with dropout, which draws random numbers; it keeps the loss of every step in its checkpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 1)
        )
        self.losses: dict[int, float] = {}

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        loss = torch.nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.losses[self.global_step] = loss.item()
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = dict(self.losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.losses = dict(checkpoint["losses"])


class Dies(Callback):
    """As a machine does that is taken away: without a word, at the end of a step."""

    def __init__(self, step: int, checkpoints: HoldfastCheckpointIO) -> None:
        self._step, self._checkpoints = step, checkpoints

    def on_train_batch_end(self, trainer: Trainer, *rest: Any) -> None:
        if trainer.global_step == self._step:
            while self._checkpoints.stats()["last_durable_step"] is None:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str] | None = None) -> HoldfastCheckpointIO:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--asset", default="net")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kill-at", type=int, default=0, metavar="STEP")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    seed_everything(7, verbose=False)
    network = Network()
    checkpoints = HoldfastCheckpointIO(options.vault, asset=options.asset)  # 1
    callbacks: list[Callback] = [
        RandomStates(),
        ModelCheckpoint(options.output, every_n_train_steps=options.save_every, save_top_k=1, monitor=None),
    ]
    if options.kill_at:
        callbacks.append(Dies(options.kill_at, checkpoints))
    trainer = Trainer(
        max_steps=options.steps,
        plugins=[checkpoints],
        callbacks=callbacks,
        default_root_dir=options.output,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(network, Batches(), ckpt_path=checkpoints.newest())  # 2

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), options.result / "weights.pt")
        (options.result / "losses.json").write_text(json.dumps(network.losses))
    print(json.dumps(checkpoints.stats()))
    return checkpoints


if __name__ == "__main__":
    main()
