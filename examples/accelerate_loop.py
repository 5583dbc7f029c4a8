"""A loop of one's own with accelerate, protected by one call: kill it at any time and start it again.

    python examples/accelerate_loop.py --vault VAULT --output OUT [--steps 24] [--kill-at 14] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). Whether OUT is still there at the second start does not
matter. With --kill-at the process kills itself (SIGKILL) at the end of that step, once a checkpoint is in the vault.
RESULT gets the final weights and the loss of every step, which are the same bytes however often the training was
killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed

from holdfast.training.callbacks.accelerate import Attached, attach


class Losses:
    """The loss of every step: `register_for_checkpointing` keeps it in the checkpoints."""

    def __init__(self) -> None:
        self.by_step: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"by_step": dict(self.by_step)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.by_step = dict(state["by_step"])


def main(arguments: list[str] | None = None) -> Attached:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--asset", default="net")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kill-at", type=int, default=0, metavar="STEP")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    set_seed(7)
    inputs = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    data = torch.utils.data.TensorDataset(inputs, inputs.sin().sum(1, keepdim=True))
    network: torch.nn.Module = torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.steps)
    project = ProjectConfiguration(project_dir=str(options.output), total_limit=1)
    accelerator = Accelerator(cpu=True, project_config=project)
    losses = Losses()
    accelerator.register_for_checkpointing(losses)
    # A generator of its own: else beginning an epoch draws from the one that dropout uses, also after a resume within
    # it.
    loader = torch.utils.data.DataLoader(data, batch_size=8, generator=torch.Generator())
    network, optimizer, scheduler, loader = accelerator.prepare(network, optimizer, scheduler, loader)

    holdfast = attach(accelerator, options.vault, asset=options.asset)  # 1
    folder = holdfast.resume(options.output)  # 2
    if folder is not None:
        accelerator.load_state(folder)
    step = len(losses.by_step)

    while step < options.steps:
        for features, targets in accelerator.skip_first_batches(loader, step % len(loader)):
            loss = torch.nn.functional.mse_loss(network(features), targets)
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            losses.by_step[str(step)] = loss.item()
            if step % options.save_every == 0:
                accelerator.save_state(str(options.output / f"checkpoint_{step}"))
            if step == options.kill_at:
                while holdfast.stats()["last_durable_step"] is None:
                    time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            if step == options.steps:
                break
    accelerator.end_training()

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        torch.save(accelerator.unwrap_model(network).state_dict(), options.result / "weights.pt")
        (options.result / "losses.json").write_text(json.dumps(losses.by_step))
    print(json.dumps(holdfast.stats()))
    return holdfast


if __name__ == "__main__":
    main()
