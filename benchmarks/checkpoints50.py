"""Fifty successive checkpoints of a run: bytes and seconds, as files of torch.save, as DCP, and in a vault.

Three real trainings of a small GPT: all of it with AdamW in fp32; LoRA (the base frozen, adapters and their optimizer
trained); all of it in bf16. Every checkpoint is the whole state, as each way keeps it.

    python -m benchmarks.checkpoints50 --size small --checkpoints 50 --docs docs/training.md
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from holdfast.stores.local import LocalStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.training import Saver
from holdfast.trust.keyring import store_credential

from .machine import machine_facts
from .small_gpt import SIZES, Size, SmallGPT, Training, new_training

__all__ = ["RUNS", "measure", "draw", "table", "main"]

_FILES, _DCP, _VAULT = "torch.save", "dcp.save", "holdfast Saver"
_MARKS = ("<!-- checkpoints50: begin -->", "<!-- checkpoints50: end -->")


class _LoRA(nn.Module):
    """A frozen linear layer and a low-rank change of it (Hu et al. 2021): y = Wx + (α / r) B A x."""

    def __init__(self, base: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) * 0.02)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.scale * (x @ self.down.T @ self.up.T)


def _lora(size: Size) -> Training:
    torch.manual_seed(0)
    model = SmallGPT(size).requires_grad_(False)
    for block in model.blocks:
        block.qkv, block.out = _LoRA(block.qkv), _LoRA(block.out)
    adapters = [one for one in model.parameters() if one.requires_grad]
    return Training(model, torch.optim.AdamW(adapters, 1e-3), size, 0)


RUNS: dict[str, Callable[[Size], Training]] = {
    "AdamW, fp32": new_training,
    "LoRA on a frozen base": _lora,
    "AdamW, bf16": lambda size: new_training(size, dtype=torch.bfloat16),
}


def measure(size: Size, checkpoints: int, apart: int, warm: int, folder: Path) -> dict[str, Any]:
    """For each run, for each way: bytes that each checkpoint added, seconds that it took, seconds training stood."""
    found: dict[str, Any] = {}
    for number, (name, make) in enumerate(RUNS.items()):
        place = folder / str(number)
        place.mkdir()
        found[name] = _measure_run(make(size), checkpoints, apart, warm, place)
        shutil.rmtree(place)
    return {
        "machine": machine_facts(),
        "torch": torch.__version__,
        "checkpoints": checkpoints,
        "steps_apart": apart,
        "warm_steps": warm,
        "runs": found,
    }


def _measure_run(training: Training, checkpoints: int, apart: int, warm: int, folder: Path) -> dict[str, Any]:
    for _ in range(warm):
        training.step()
    bytes_added: dict[str, list[int]] = {_FILES: [], _DCP: [], _VAULT: []}
    seconds: dict[str, list[float]] = {_FILES: [], _DCP: [], _VAULT: []}
    stalls: list[float] = []
    saver = _saver(folder)
    losses = []
    for _ in range(checkpoints):
        for _ in range(apart):
            loss = training.step()
        losses.append(loss)
        state = training.state()
        for name, save in ((_FILES, _torch_save), (_DCP, _dcp_save)):
            began = time.perf_counter()
            bytes_added[name].append(save(state, folder / "one"))
            seconds[name].append(time.perf_counter() - began)
        before = _size(folder / "vault")
        ticket = saver.save(state, step=training.steps, metrics={"loss": loss})
        ticket.require(600)
        bytes_added[_VAULT].append(_size(folder / "vault") - before)
        seconds[_VAULT].append(ticket.saving_seconds or 0.0)
        stalls.append(ticket.stalled_seconds)
        sys.stderr.write(
            f"step {training.steps}: " + ", ".join(f"{k} {v[-1]:,}" for k, v in bytes_added.items()) + "\n"
        )
    restored = saver.restore()
    same = all(torch.equal(restored["model"][name], tensor) for name, tensor in training.state()["model"].items())
    saver.close()
    if not same:
        raise SystemExit("the last checkpoint does not come back as it was")
    return {"bytes": bytes_added, "seconds": seconds, "stalled_seconds": stalls, "losses": losses}


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    count = found["checkpoints"]
    lines = [
        f"{count} checkpoints, {found['steps_apart']} steps apart, after {found['warm_steps']} steps.",
        "",
        "| run | way | all of them, MB | of torch.save | one, s (median) | training stands still, ms |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for run, ways in found["runs"].items():
        files = sum(ways["bytes"][_FILES])
        for way, added in ways["bytes"].items():
            took = sorted(ways["seconds"][way])[count // 2]
            stood = sorted(ways["stalled_seconds"])[count // 2] if way == _VAULT else took
            bytes_told = f"{sum(added) / 1e6:,.0f} | {sum(added) / files:.0%}"
            lines.append(f"| {run} | {way} | {bytes_told} | {took:.2f} | {stood * 1e3:.0f} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Bytes on the store after each checkpoint, one panel for each run."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "holdfast", "svg.fonttype": "path", "font.size": 9})
    from matplotlib.figure import Figure

    colours = {_FILES: "#9aa5b1", _DCP: "#c44536", _VAULT: "#0b6e4f"}
    figure = Figure(figsize=(9.6, 3.2), facecolor="white", layout="constrained")
    for number, (run, ways) in enumerate(found["runs"].items()):
        axes = figure.add_subplot(1, len(found["runs"]), number + 1)
        for way, added in ways["bytes"].items():
            total, line = 0, []
            for one in added:
                total += one
                line.append(total / 1e6)
            style = (0, (4, 2)) if way == _DCP else "solid"  # it lies on the line of torch.save
            axes.plot(range(1, len(line) + 1), line, color=colours[way], label=way, linestyle=style)
        axes.set_title(run, fontsize=9)
        axes.set_xlabel("checkpoints")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        if not number:
            axes.set_ylabel("MB on the store")
            axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _torch_save(state: Any, place: Path) -> int:
    torch.save(state, place)
    size = place.stat().st_size
    place.unlink()
    return size


def _dcp_save(state: Any, place: Path) -> int:
    dcp.save({name: value for name, value in state.items() if name != "rng"}, checkpoint_id=str(place), no_dist=True)
    size = _size(place)
    shutil.rmtree(place)
    return size


def _saver(folder: Path) -> Saver:
    trial = new_trial_vault(LocalStore(folder / "vault"))
    os.environ["HOLDFAST_KEY_FILE"] = str(folder / "key")
    store_credential(trial.keeper)
    return Saver(str(folder / "vault"), asset="llm")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _into_page(page: Path, text: str) -> None:
    begin, end = _MARKS
    whole = page.read_text()
    if begin not in whole:
        raise SystemExit(f"{page} has no {begin}")
    page.write_text(re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{text}{end}", whole, flags=re.DOTALL))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--checkpoints", type=int, default=50)
    parser.add_argument("--apart", type=int, default=5, help="steps between them")
    parser.add_argument("--warm", type=int, default=100, help="steps before the first")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--docs", type=Path, help="the page whose table and plot are made anew")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="holdfast-checkpoints-") as folder:
        for name in ("STATE", "CACHE", "CONFIG"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(folder) / name.lower())
        found = measure(SIZES[options.size], options.checkpoints, options.apart, options.warm, Path(folder))
        if options.docs:
            draw(found, options.docs.parent / "benchmarks" / "checkpoints50.svg")
            _into_page(options.docs, "\n" + table(found) + "\n![Bytes on the store](benchmarks/checkpoints50.svg)\n\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
