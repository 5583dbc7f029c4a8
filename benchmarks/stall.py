"""How long training stands still for a save, and how much slower it is while one is written behind it.

One training, one run: after every few steps its state (weights, both moments of AdamW) is saved in each of the ways in
turn, so that all of them see the same machine. Beside them plain copies of as many bytes: what no way of saving that
leaves training a state to go on with can beat on one core.

    python -m benchmarks.stall --size large --rounds 9
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.training import Saver

from .machine import machine_facts
from .small_gpt import SIZES, Training, new_training

__all__ = ["measure", "main"]

_BLOCK, _MEMCPY = "memcpy of one block of its size", "memcpy of the state, tensor by tensor"
_SAVE, _DCP, _ASYNC, _SAVER = "torch.save", "dcp.save", "dcp.async_save", "holdfast Saver"
_BEGIN, _END = "<!-- stall: begin -->", "<!-- stall: end -->"


def measure(size: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of every save by way of saving, and of steps with and without a save behind them."""
    training = new_training(SIZES[size])
    training.step()
    state_bytes = _bytes(training.state())
    _start_gloo(folder)
    saver = _saver(folder)
    saver.prepare(training.state())
    ways: dict[str, Callable[[], Callable[[], None]]] = {
        _BLOCK: _memcpy(state_bytes),
        _MEMCPY: _memcpy_tensors(training, state_bytes),
        _SAVE: lambda: _torch_save(training, folder),
        _DCP: lambda: _dcp_save(training, folder),
        _ASYNC: lambda: _dcp_async(training, folder),
        _SAVER: lambda: _saver_save(saver, training),
    }
    stalls: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, begin in ways.items():
            training.step()
            began = time.perf_counter()
            finish = begin()
            seconds = time.perf_counter() - began
            finish()
            if number:  # the first round makes files, processes, memory
                stalls[name].append(seconds)
        sys.stderr.write(
            f"round {number}: " + ", ".join(f"{k} {v[-1] * 1e3:.1f}" for k, v in stalls.items() if v) + "\n"
        )
    steps = _slowdown(training, saver, folder)
    stats = saver.stats()
    saver.close()
    dist.destroy_process_group()
    return {
        "machine": machine_facts(),
        "torch": torch.__version__,
        "size": size,
        "state_bytes": state_bytes,
        "tensors": _tensors(training.state()),
        "stall_seconds": stalls,
        "step_seconds": steps,
        "saver": stats._asdict(),
    }


def table(found: dict[str, Any]) -> str:
    """For people, as Markdown."""
    copy = statistics.median(found["stall_seconds"][_MEMCPY])
    lines = [
        f"State: {found['state_bytes'] / 1e6:.0f} MB in {found['tensors']} tensors. Median of "
        f"{len(found['stall_seconds'][_MEMCPY])} rounds (least to most).",
        "",
        "| way | training stands still, ms | × memcpy |",
        "|---|---:|---:|",
    ]
    for name, values in found["stall_seconds"].items():
        middle = statistics.median(values)
        spread = f"{min(values) * 1e3:.0f} to {max(values) * 1e3:.0f}"
        lines.append(f"| {name} | {middle * 1e3:.1f} ({spread}) | {middle / copy:.2f} |")
    lines += ["", "| one step of training, ms | median | slower by |", "|---|---:|---:|"]
    alone = statistics.median(found["step_seconds"]["alone"])
    for name, values in found["step_seconds"].items():
        middle = statistics.median(values)
        lines.append(f"| {name} | {middle * 1e3:.1f} | {(middle / alone - 1) * 100:.0f} % |")
    return "\n".join(lines) + "\n"


def _memcpy(size: int) -> Callable[[], Callable[[], None]]:
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)

    def begin() -> Callable[[], None]:
        ctypes.memmove(target.ctypes.data, source.ctypes.data, size)
        return _nothing

    return begin


def _memcpy_tensors(training: Training, size: int) -> Callable[[], Callable[[], None]]:
    """Where the tensors lie is found before; only the copies are counted."""
    target = np.zeros(size, np.uint8)
    spans = sorted({(leaf.data_ptr(), leaf.nbytes) for leaf in _leaves(training.state()) if leaf.nbytes})
    kept = training.state()  # the tensors stay where they are: AdamW and its model change in place

    def begin() -> Callable[[], None]:
        assert kept
        at = target.ctypes.data
        for address, length in spans:
            ctypes.memmove(at, address, length)
            at += length
        return _nothing

    return begin


def _torch_save(training: Training, folder: Path) -> Callable[[], None]:
    torch.save(training.state(), folder / "state.pt")
    return _nothing


def _dcp_save(training: Training, folder: Path) -> Callable[[], None]:
    dcp.save(_for_dcp(training), checkpoint_id=_fresh(folder / "dcp"))
    return _nothing


def _dcp_async(training: Training, folder: Path) -> Callable[[], None]:
    future = dcp.async_save(_for_dcp(training), checkpoint_id=_fresh(folder / "dcp-async"))
    return lambda: future.result() and None


def _saver_save(saver: Saver, training: Training) -> Callable[[], None]:
    ticket = saver.save(training.state(), step=training.steps)
    return lambda: ticket.require(600) and None


def _slowdown(training: Training, saver: Saver, folder: Path) -> dict[str, list[float]]:
    """Steps alone, and while something is saved behind them, without a pause between the saves."""
    found: dict[str, list[float]] = {"alone": [], "while the Saver saves": [], "while dcp.async_save writes": []}
    for _ in range(2):
        _steps(training, 8, found["alone"])
        ticket = saver.save(training.state(), step=training.steps)
        while not ticket.done():
            _steps(training, 1, found["while the Saver saves"])
        future = dcp.async_save(_for_dcp(training), checkpoint_id=_fresh(folder / "dcp-async"))
        while not future.done():
            _steps(training, 1, found["while dcp.async_save writes"])
    return found


def _steps(training: Training, number: int, into: list[float]) -> None:
    for _ in range(number):
        began = time.perf_counter()
        training.step()
        into.append(time.perf_counter() - began)


def _for_dcp(training: Training) -> dict[str, Any]:
    return {"model": training.model.state_dict(), "optimizer": training.optimizer.state_dict(), "step": training.steps}


def _saver(folder: Path) -> Saver:
    trial = new_trial_vault(LocalStore(folder / "vault"))
    os.environ["HOLDFAST_KEY_FILE"] = str(folder / "key")
    from holdfast.trust.keyring import store_credential

    store_credential(trial.keeper)
    return Saver(str(folder / "vault"), asset="llm")


def _start_gloo(folder: Path) -> None:
    store = dist.FileStore(str(folder / "rendezvous"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)


def _fresh(folder: Path) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    return str(folder)


def _nothing() -> None:
    pass


def _leaves(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [leaf for one in inner for leaf in _leaves(one)]


def _tensors(state: Any) -> int:
    return len(_leaves(state))


def _bytes(state: Any) -> int:
    """Tied weights once."""
    return sum({leaf.data_ptr(): leaf.nbytes for leaf in _leaves(state)}.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="large")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--docs", type=Path, help="the page whose table is made anew")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-stall-") as folder:
        for name in ("STATE", "CACHE", "CONFIG"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(folder) / name.lower())
        found = measure(options.size, options.rounds, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.docs:
        page = options.docs.read_text()
        fresh = f"{_BEGIN}\n\n{table(found)}\n{_END}"
        options.docs.write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: fresh, page, flags=re.DOTALL))
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
