"""One rank of a job that saves a group: run by `test_groups_ranks.py`, a process for each rank.

`python group_rank.py FOLDER RANK WORLD STEP…`: a step is `2`, or `2:WRONG@PATIENCE`: what this rank does wrong there,
if anything (`late`, `slow`, `short` of hold, `hang` of its hook, `kill` in mid-cut), and how many seconds it waits for
the others. Prints one JSON line for each step, and one at the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import holdfast
from holdfast.stores.opening import open_store
from holdfast.training.groups import Barrier, GroupSaver, Hook

SECONDS = 60.0


def main(folder: Path, rank: int, world: int, steps: list[str]) -> None:
    barrier = Barrier(open_store(str(folder / "barrier")), run="run", rank=rank, world=world)
    wrong = {"": ""}
    weights = folder / f"weights-{rank}"

    def cut(to: Path) -> None:
        if wrong[""] == "kill":
            (to / "half.bin").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        if wrong[""] == "slow":  # until the other one has decided
            while not (folder / "barrier/run/group/2/cut/decision").exists():
                time.sleep(0.05)
        (to / "weights.bin").write_bytes(weights.read_bytes())

    def freeze() -> None:
        if wrong[""] == "hang":
            time.sleep(600)
        (folder / f"frozen-{rank}").touch()

    def thaw() -> None:
        (folder / f"frozen-{rank}").unlink(missing_ok=True)

    saver = GroupSaver(
        holdfast.open(folder / "vault"),
        "run",
        {f"weights/{rank}": cut, **({"config": folder / "config.json"} if rank == 0 else {})},
        hooks=[Hook("database", freeze, thaw, 1.0)],
        barrier=barrier,
        barrier_seconds=SECONDS,
        staging=folder / "staging",
        on_trouble=lambda text: print(text, file=sys.stderr),
    )
    for number, step in enumerate(steps):
        name, _, rest = step.partition(":")
        wrong[""], _, patience = rest.partition("@")
        saver._barrier_seconds = float(patience or SECONDS)
        saver._hold = 3.0 if wrong[""] == "short" else 2 * SECONDS
        weights.write_bytes(f"rank {rank} step {name}".encode() * 1000)  # training
        if wrong[""] == "late":
            while not (folder / f"barrier/run/group/{name}/ready/decision").exists():
                time.sleep(0.05)
        outcome = saver.save(int(name))
        tell(step=int(name), state=outcome.state, why=outcome.why)
        saver.wait(SECONDS)
        if number + 1 < len(steps):  # ranks step together, as collectives make them
            barrier.meet("step", int(name), seconds=SECONDS)
    saver.wait(SECONDS)
    exposure = saver.exposure
    tell(durable=exposure.last_durable_step, not_saved=exposure.not_saved, trouble=exposure.last_trouble)


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
