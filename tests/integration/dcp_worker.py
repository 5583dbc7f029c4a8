"""One rank of a small training, started by torchrun: `dcp_worker.py VAULT FOLDER ACT`. Writes what it saw as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from holdfast.training.committing.rank_save import RankSave
from holdfast.training.dcp import VaultReader, VaultWriter, load

ASSET, KILLED_AT, LAST = "run", 3, 5
BATCH, WIDTH, HIDDEN = 8, 512, 1024


class Trial:
    """A model in FSDP2 with AdamW: the same at every world size, but for the order of sums."""

    def __init__(self, seed: int) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(seed)
        # 130 rows do not divide by 4: the last rank has fewer
        self.model = torch.nn.Sequential(torch.nn.Linear(WIDTH, HIDDEN), torch.nn.GELU(), torch.nn.Linear(HIDDEN, 130))
        mesh = init_device_mesh("cpu", (self.world,))
        for layer in (self.model[0], self.model[2]):
            fully_shard(layer, mesh=mesh)
        fully_shard(self.model, mesh=mesh)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, number: int) -> float:
        drawn = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(number))
        loss = (self.model(drawn[self.rank :: self.world]) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        dist.all_reduce(total := loss.detach().clone())
        return float(total)

    def state(self, step: int) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.model, self.optimizer)
        note = {"step": step, "betas": (0.9, 0.95), "dtype": torch.bfloat16}
        return {"model": model, "optim": optimizer, "note": note, "seen": torch.full((4,), step)}

    def take(self, state: dict[str, Any]) -> None:
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])

    def weights(self) -> list[str]:
        """Digests of all parameters, each in whole."""
        wholes = (parameter.detach().full_tensor() for parameter in self.model.parameters())
        return [hashlib.sha256(whole.numpy().tobytes()).hexdigest() for whole in wholes]


def first_run(vault: str, folder: Path) -> None:
    """Train with four ranks; one is killed when its share of step 3 is stored, and not yet announced."""
    trial, writer, seen = Trial(seed=0), VaultWriter(vault, ASSET), []
    for number in range(LAST):
        loss = trial.step(number)
        writer.step = number
        if number == KILLED_AT and trial.rank == 2:
            RankSave.announce = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
        state = trial.state(number)
        if number == 1:
            metadata = dcp.async_save(state, storage_writer=writer).result()
        else:
            metadata = dcp.save(state, storage_writer=writer)
        seen.append({"step": number, "loss": loss, "id": metadata.storage_meta.checkpoint_id})
        told(folder, "first", {"steps": seen, "weights": trial.weights()})
        if number == KILLED_AT - 1:
            dcp.save(trial.state(number), checkpoint_id=folder / "files")
    raise AssertionError("nobody was killed")


def without_talking(vault: str) -> list[list[Any]]:
    """Ranks that do not talk to each other when they save, and a planner that keeps its plans."""
    trial, weights = Trial(seed=3), {}
    kept = VaultWriter(vault, "kept")
    for number in (1, 2):
        trial.step(number)
        weights[number] = trial.weights()
        kept.step = number
        planner = dcp.DefaultSavePlanner(enable_plan_caching=True)
        dcp.save(trial.state(number), storage_writer=kept, planner=planner)
    dcp.save(trial.state(2), storage_writer=VaultWriter(vault, "apart", step=2), use_collectives=False)
    found = []
    for asset, step in (("kept", 1), ("kept", 2), ("apart", 2)):
        state = trial.state(-1)
        reader = VaultReader(vault, asset, step=step, prove=True, process_group=dist.group.WORLD)
        dcp.load(state, storage_reader=reader)
        trial.take(state)
        found.append([asset, step, trial.weights() == weights[step]])
    return found


def second_run(vault: str, folder: Path) -> None:
    """Go on with two ranks, once from the vault and once from torch's own files of the same step."""
    resumed = Trial(seed=1)
    state, reader = resumed.state(-1), VaultReader(vault, ASSET)
    root = load(state, reader)
    resumed.take(state)
    undisturbed = Trial(seed=2)
    other = undisturbed.state(-1)
    dcp.load(other, checkpoint_id=folder / "files")
    undisturbed.take(other)
    begun = resumed.weights()
    dcp.save(resumed.state(2), storage_writer=VaultWriter(vault, ASSET, step=2, metadata={"cut": "anew"}))
    steps = [[resumed.step(number), undisturbed.step(number)] for number in range(KILLED_AT, LAST + 1)]
    same = resumed.weights() == undisturbed.weights()
    writer = VaultWriter(vault, ASSET, step=LAST)
    dcp.save(resumed.state(LAST), storage_writer=writer)
    alone = {"model": {"0.bias": torch.zeros(HIDDEN)}}
    if resumed.rank == 0:  # a part of it, by one process of several
        dcp.load(alone, storage_reader=VaultReader(vault, ASSET, step=LAST), no_dist=True)
    bias = resumed.model[0].bias.detach().full_tensor()
    seen = {
        "resumed": root.step,
        "note": repr(state["note"]),
        "seen": state["seen"].tolist(),
        "begun": begun,
        "losses": steps,
        "same": same,
        "apart": without_talking(vault),
        "partial": bool(torch.equal(alone["model"]["0.bias"], bias)),
    }
    told(folder, "second", seen)
    dist.barrier()
    # All ranks have announced their shares, and the coordinator dies before it makes the snapshot of them.
    RankSave.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
    dcp.save(resumed.state(LAST + 1), storage_writer=VaultWriter(vault, ASSET, step=LAST + 1))
    raise AssertionError("nobody was killed")


def told(folder: Path, act: str, what: dict[str, Any]) -> None:
    if dist.get_rank() == 0:
        (folder / f"{act}.json").write_text(json.dumps(what))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # torch tells of its own future
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dist.init_process_group("gloo")
    vault_url, place, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    {"first": first_run, "second": second_run}[name](vault_url, place)
