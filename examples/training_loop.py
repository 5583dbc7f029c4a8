"""A training loop of one's own, protected by three lines: made, saved, restored.

    holdfast vault create ./vault
    python examples/training_loop.py --vault ./vault --kill-at 25     # dies by SIGKILL after step 25
    python examples/training_loop.py --vault ./vault                  # goes on from the newest good snapshot

Trains on a CPU in seconds. What it prints at the end is the same whether it was killed or not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal

import torch

from holdfast.errors import NotFoundError
from holdfast.training import Saver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vault", required=True, help="path or URL")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--every", type=int, default=10, help="steps between saves")
    parser.add_argument("--kill-at", type=int, help="after this step, and when its save is durable, by SIGKILL")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    data = torch.Generator().manual_seed(0)  # where the data are is part of the state
    state = {"model": model, "optimizer": optimizer, "data": data, "step": 0}

    with Saver(options.vault, asset="example") as saver:
        try:
            saver.restore(into=state)
            print(f"goes on from step {state['step']}")
        except NotFoundError:
            print("begins")
        while state["step"] < options.steps:
            batch = torch.rand(32, 16, generator=data)
            loss = (model(batch).squeeze() - batch.sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            state["step"] += 1
            if state["step"] % options.every == 0:
                saver.save(state, step=state["step"], metrics={"loss": loss.item()})
            if state["step"] == options.kill_at:
                saver.wait()
                os.kill(os.getpid(), signal.SIGKILL)
        saver.wait()
        print(f"step {state['step']}, loss {loss.item():.6f}, weights {digest(model)}; {saver.exposure}")


def digest(model: torch.nn.Module) -> str:
    """Of every byte of the weights."""
    hashed = hashlib.sha256()
    for tensor in model.state_dict().values():
        hashed.update(tensor.numpy().tobytes())
    return hashed.hexdigest()[:16]


if __name__ == "__main__":
    main()
