"""A replica group of torchft, protected by one hook: kill all of them at any time and start them again.

    python examples/torchft_train.py --vault VAULT [--steps 24] [--kill-at 14] [--result RESULT]

The vault is an existing one (`holdfast vault create VAULT`). The lighthouse, at which replica groups meet, runs in
this process unless TORCHFT_LIGHTHOUSE names one. With --kill-at the process kills itself (SIGKILL) at the end of that
step, once a state is in the vault. RESULT gets the final weights and the loss of every step, which are the same bytes
however often it was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore
from torchft import Manager, Optimizer, ProcessGroupGloo
from torchft.coordination import LighthouseServer

from holdfast.training.callbacks.torchft import Attached, attach


def main(arguments: list[str] | None = None) -> Attached:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--vault", required=True)
    parser.add_argument("--output", type=Path, help="not used: nothing is written beside the vault")
    parser.add_argument("--asset", default="net")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--save-every", type=int, default=5)
    parser.add_argument("--kill-at", type=int, default=0, metavar="STEP")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args(arguments)

    torch.manual_seed(7)
    inputs = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    targets = inputs.sin().sum(1, keepdim=True)
    network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    inner = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses: dict[int, float] = {}

    def load(state: dict[str, Any]) -> None:
        network.load_state_dict(state["network"])
        inner.load_state_dict(state["optimizer"])
        losses.update(state["losses"])

    def give() -> dict[str, Any]:
        return {"network": network.state_dict(), "optimizer": inner.state_dict(), "losses": dict(losses)}

    address = os.environ.get("TORCHFT_LIGHTHOUSE", "")
    lighthouse = None if address else LighthouseServer(bind="127.0.0.1:0", min_replicas=1, join_timeout_ms=100)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    manager = Manager(
        pg=ProcessGroupGloo(timeout=timedelta(seconds=30)),
        load_state_dict=load,
        state_dict=give,
        min_replica_size=1,
        rank=0,
        world_size=1,
        store_addr="127.0.0.1",
        store_port=store.port,
        lighthouse_addr=address or (lighthouse.address() if lighthouse is not None else None),
        replica_id="replicas_0",
        hostname="127.0.0.1",
    )
    holdfast = attach(manager, options.vault, asset=options.asset, every=options.save_every)  # 1
    holdfast.resume()  # 2
    optimizer = Optimizer(manager, inner)

    while manager.current_step() < options.steps:
        step = manager.current_step()
        rows = torch.randperm(64, generator=torch.Generator().manual_seed(step))[:8]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(inputs[rows]), targets[rows])
        loss.backward()
        for parameter in network.parameters():
            manager.allreduce(parameter.grad).wait()
        losses[step] = loss.item()
        optimizer.step()
        if manager.current_step() == options.kill_at:
            while holdfast.stats()["last_durable_step"] is None:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
    holdfast.save_now()
    manager.shutdown()
    if lighthouse is not None:
        lighthouse.shutdown()

    if options.result is not None:
        options.result.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), options.result / "weights.pt")
        (options.result / "losses.json").write_text(json.dumps({str(step): losses[step] for step in sorted(losses)}))
    print(json.dumps(holdfast.stats()))
    return holdfast


if __name__ == "__main__":
    main()
