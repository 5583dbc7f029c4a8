"""A training of a few milliseconds: `python tiny_trainer.py --dir D --steps 30 --every 10 --fault SEGFAULT@15`.

The state is a chain of hashes, so that a run that was disturbed ends with the state of one that was not only if every
step was taken once and in order. It goes on from HOLDFAST_CHECKPOINT, writes `step_N/model.safetensors` in place, and
ends with `final` holding the state. A fault happens once: a file beside `final`, or in --memory, remembers it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

SIZE = 4096


def write_checkpoint(folder: Path, step: int, state: bytes, *, torn: bool = False, size: int = SIZE) -> None:
    place = folder / f"step_{step}"
    place.mkdir(parents=True, exist_ok=True)
    filler = hashlib.shake_128(state).digest(size - len(state))
    header = json.dumps({"state": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    data = struct.pack("<Q", len(header)) + header + state + filler
    with (place / "model.safetensors").open("wb") as file:
        file.write(data[: len(data) // 2] if torn else data)
        if torn:
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def read_checkpoint(place: Path) -> tuple[int, bytes]:
    data = (place / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    begin = 8 + length
    return int(place.name.removeprefix("step_")), data[begin : begin + 32]


def state_after(steps: int) -> bytes:
    state = bytes(32)
    for step in range(1, steps + 1):
        state = hashlib.sha256(state + step.to_bytes(8, "big")).digest()
    return state


def fail(kind: str, folder: Path, step: int, state: bytes) -> None:
    """Each death as a training dies of it."""
    if kind == "WORKLOAD_EXC":
        raise RuntimeError("the loss is not a number")
    if kind == "SIGNAL_EXC":
        os._exit(128 + signal.SIGTERM)
    if kind == "OS_ABORT":
        os.abort()
    if kind == "GPU_ERROR":
        message = {"message": {"message": "RuntimeError: CUDA error: an illegal memory access", "extraInfo": {}}}
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(message))
        os._exit(1)
    if kind == "TORN":
        write_checkpoint(folder, step, state, torn=True)
    if kind == "HANG":
        signal.signal(signal.SIGTERM, lambda *_: None)
        while True:
            time.sleep(60)
    number = signal.SIGSEGV if kind == "SEGFAULT" else signal.Signals[kind]
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), number)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--always", action="store_true", help="faults happen again and again")
    parser.add_argument("--on-usr1", action="store_true", help="write a checkpoint when SIGUSR1 comes")
    parser.add_argument("--on-term", choices=["save", "ignore", "die"], default="die")
    parser.add_argument("--memory", type=Path, help="where faults are remembered; by default --dir")
    parser.add_argument("--wait-at", type=int, help="the step after which it waits for --gate")
    parser.add_argument("--gate", type=Path, help="a file that lets it go on")
    parser.add_argument("--size", type=int, default=SIZE)
    options = parser.parse_args()
    asked: list[int] = []
    if options.on_usr1:
        signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    if options.on_term == "save":
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    if options.on_term == "ignore":
        signal.signal(signal.SIGTERM, lambda *_: None)
    began = os.environ.get("HOLDFAST_CHECKPOINT", "")
    step, state = read_checkpoint(Path(began)) if began else (0, bytes(32))
    with (options.dir / "starts").open("a") as starts:
        starts.write(f"{step}\n")
    faults = dict(reversed(fault.split("@")) for fault in options.fault)
    while step < options.steps:
        step += 1
        state = hashlib.sha256(state + step.to_bytes(8, "big")).digest()
        time.sleep(options.pace)
        while True:
            if step % options.every == 0 or asked:
                write_checkpoint(options.dir, step, state, size=options.size)
            if signal.SIGTERM in asked:
                sys.exit(0)
            asked.clear()
            waits = step == options.wait_at and not options.gate.exists()
            while waits and not asked and not options.gate.exists():
                time.sleep(0.02)
            if not asked:
                break
        kind = faults.get(str(step))
        once = (options.memory or options.dir) / f"fault-{step}"
        if kind and (options.always or not once.exists()):
            once.touch()
            fail(kind, options.dir, step, state)
    (options.dir / "final").write_bytes(state)


if __name__ == "__main__":
    main()
