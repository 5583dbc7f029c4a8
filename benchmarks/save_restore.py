"""Save and restore beside what a user would type instead: `cp` and `zstd -1`, in one run, on a real AdamW checkpoint.

`python -m benchmarks.save_restore [--steps 410] [--learning-rate 3e-4] [--json]`. Everything lies in RAM (/dev/shm)
unless --folder says otherwise. The limit is told beside: memcpy and BLAKE3 of the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.units import format_size

ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description="Holdfast beside cp and zstd, in one run.")
    parser.add_argument("--steps", type=int, default=410, help="train so many; the last two checkpoints are 10 apart")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--size", choices=["small", "medium"], default="small")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=options.folder))
    try:
        os.environ.update(XDG_CONFIG_HOME=str(folder / "config"), XDG_STATE_HOME=str(folder / "state"))
        os.environ.pop("HOLDFAST_KEY_FILE", None)
        results = measure(folder, options.steps, options.learning_rate, options.size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        show(results)
    return 0


def measure(folder: Path, steps: int, rate: float, size: str) -> dict[str, Any]:
    """Sizes in bytes, speeds in bytes per second of the source, ratios stored / source."""
    trainer = [sys.executable, "-m", "holdfast.drills.trainer", "--dir", str(folder / "run"), "--every", "10", "--bf16"]
    trainer += ["--steps", str(steps), "--learning-rate", str(rate), "--size", size]
    subprocess.run(trainer, check=True, stdout=subprocess.DEVNULL)
    newest, older = folder / f"run/step-{steps}", folder / f"run/step-{steps - 10}"
    for checkpoint in (older, newest):
        (checkpoint / "bf16").mkdir()
        (checkpoint / "model_bf16.safetensors").rename(checkpoint / "bf16/model.safetensors")
        (checkpoint / "fp32").mkdir()
        for name in ("model.safetensors", "optimizer.safetensors"):
            (checkpoint / name).rename(checkpoint / "fp32" / name)
    return {
        "fp32 full state": _measure_kind(folder, older / "fp32", newest / "fp32"),
        "bf16 weights": _measure_kind(folder, older / "bf16", newest / "bf16"),
        "limits": _limits(newest / "fp32/optimizer.safetensors"),
    }


def _measure_kind(folder: Path, older: Path, newest: Path) -> dict[str, Any]:
    import holdfast

    source = sum(path.stat().st_size for path in newest.iterdir())
    vault = holdfast.create(folder / f"vault-{older.name}")

    def size() -> int:
        return sum(info.size for info in vault.handle.store.list(""))

    def save(path: Path) -> tuple[float, float]:
        before = size()
        seconds = _seconds(lambda: vault.save("run", path, verify=False))
        return (size() - before) / source, source / seconds

    names = ("fresh", "10 steps later", "the same again")
    rows = {name: save(path) for name, path in zip(names, (older, newest, newest), strict=True)}
    targets = [folder / f"restored-{older.name}-{number}" for number in range(ROUNDS)]
    rows["restore"] = (0.0, max(source / _seconds(lambda t=t: vault.restore("run", t)) for t in targets))
    rows["cp -r"] = (1.0, max(source / _seconds(lambda n=n: _copy(newest, folder / f"cp{n}")) for n in range(ROUNDS)))
    rows["zstd -1 -T2"] = _zstd(newest, folder, source)
    return {"bytes": source, "rows": {name: {"ratio": ratio, "speed": speed} for name, (ratio, speed) in rows.items()}}


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    shutil.rmtree(target)


def _zstd(source: Path, folder: Path, size: int) -> tuple[float, float]:
    import zstandard

    packed = 0
    begin = time.perf_counter()
    for path in source.iterdir():
        compressor = zstandard.ZstdCompressor(level=1, threads=2)
        target = folder / "packed.zst"
        with path.open("rb") as plain, target.open("wb") as out:
            compressor.copy_stream(plain, out)
        packed += target.stat().st_size
    return packed / size, size / (time.perf_counter() - begin)


def _limits(path: Path) -> dict[str, float]:
    import numpy as np
    from blake3 import blake3

    data = np.frombuffer(path.read_bytes(), "u1")
    target = np.empty_like(data)
    np.copyto(target, data)
    copy = min(_seconds(lambda: np.copyto(target, data)) for _ in range(ROUNDS))
    digest = min(_seconds(lambda: blake3(data).digest()) for _ in range(ROUNDS))
    return {"memcpy": data.nbytes / copy, "BLAKE3, one core": data.nbytes / digest}


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def show(results: dict[str, Any]) -> None:
    """The results as tables of at most 80 columns."""
    for kind, result in results.items():
        if kind == "limits":
            continue
        copy = result["rows"]["cp -r"]["speed"]
        print(f"{kind}, {format_size(result['bytes'])}")
        print(f"  {'':18} {'stored/source':>14} {'MB/s':>8} {'of cp':>8}")
        for name, row in result["rows"].items():
            ratio = f"{row['ratio']:.4f}" if row["ratio"] else ""
            print(f"  {name:18} {ratio:>14} {row['speed'] / 1e6:8.0f} {row['speed'] / copy:8.2f}")
    print("limits: " + ", ".join(f"{name} {speed / 1e9:.1f} GB/s" for name, speed in results["limits"].items()))


if __name__ == "__main__":
    sys.exit(main())
