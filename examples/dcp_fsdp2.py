"""FSDP2 with PyTorch's distributed checkpoints in a vault: save, kill it whenever you like, start it again anywhere.

    torchrun --standalone --nproc-per-node 2 examples/dcp_fsdp2.py VAULT

VAULT is made at the first start, if it is a folder that is not there yet. Start it again, with as many ranks as you
like: it goes on from the newest snapshot that is good.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import holdfast
from holdfast.training.dcp import VaultReader, VaultWriter, load

ASSET, EVERY = "example", 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vault")
    parser.add_argument("--steps", type=int, default=20)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if rank == 0 and "://" not in chosen.vault and not Path(chosen.vault).exists():
        holdfast.create(chosen.vault)
    dist.barrier()
    apart = dist.new_group(backend="gloo")  # what saves talk over: the training goes on talking meanwhile

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64))
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    optimizer = torch.optim.AdamW(model.parameters())

    def state() -> dict[str, object]:
        weights, moments = get_state_dict(model, optimizer)
        return {"model": weights, "optim": moments}

    begin = 0
    try:
        loaded, reader = state(), VaultReader(chosen.vault, ASSET)
        root = load(loaded, reader)
        set_state_dict(model, optimizer, model_state_dict=loaded["model"], optim_state_dict=loaded["optim"])
        begin = (root.step or 0) + 1
        for passed in reader.skipped:
            print(f"rank {rank}: step {passed.step} was passed over: {passed.error.message}")
    except holdfast.errors.NotFoundError:
        pass  # nothing was saved yet

    writer = VaultWriter(chosen.vault, ASSET)
    pending = None
    for step in range(begin, begin + chosen.steps):
        drawn = torch.randn(8, 64, generator=torch.Generator().manual_seed(step * world + rank))
        loss = (model(drawn) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % EVERY == EVERY - 1:
            if pending is not None:
                pending.result()  # one at a time; raises where the last save failed
            writer.step = step
            pending = dcp.async_save(state(), storage_writer=writer, process_group=apart)
    if pending is not None:
        saved = pending.result()
        if rank == 0:
            print(f"began at step {begin}, saved {saved.storage_meta.checkpoint_id}, loss {loss.item():.4f}")
    writer.close()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
