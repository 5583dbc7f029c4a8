"""Small checkpoints as a training run writes them, one step after the other, and what a folder holds, to compare."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import ml_dtypes
import numpy as np
from blake3 import blake3
from safetensors.numpy import save_file

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}
BEFORE_1970_NS = -1_234_567_891
FIRST_STEP_NS = 1_700_000_000_123_456_789


def write_checkpoint(folder: Path, step: int, *, elements: int) -> None:
    """Write step 1, 2, … over what the step before it left in the folder. `elements`: of each tensor, a multiple of 8.

    From step to step the tensors change as weights do: nearly every number, and each by very little.
    """
    folder.mkdir(exist_ok=True)
    save_file(_tensors(step, elements), folder / "model.safetensors", metadata={"format": "pt", "note": "ünïcode"})
    np.save(folder / "steps.npy", np.arange(elements) * 1000 + step)
    (folder / "log.txt").write_text("".join(f"step {n}: the loss is {9 / (n + 1):.6f}\n" for n in range(200 * step)))
    if step == 1:
        _write_what_stays(folder, elements)
    _set_times(folder, FIRST_STEP_NS + step * 3_600_000_000_001)


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Percent-encoded path → what there is: type, permission bits, time of modification, content or a link's target."""
    top = os.fsencode(folder)
    found = {".": _description(top)}
    for parent, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(parent, name)
            found[quote_from_bytes(os.path.relpath(path, top))] = _description(path)
    return found


def stored_bytes(path: Path) -> int:
    """Bytes of disk that a file takes, holes apart."""
    return path.stat().st_blocks * 512


def _tensors(step: int, elements: int) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for name, dtype in FLOATS.items():
        rng = np.random.default_rng(len(tensors))
        values = rng.normal(scale=0.02, size=elements)
        for _ in range(1, step):
            values = values + rng.normal(scale=2e-5, size=elements)
        tensors[f"layers.{name}"] = values.astype(dtype).reshape(8, -1)
    tensors["layers.i64"] = np.random.default_rng(64).integers(-(2**40), 2**40, elements) + step
    tensors["layers.special"] = np.array([0.0, -0.0, 5e-324, 2**-1022, 1e308], np.float64)
    tensors["layers.none"] = np.zeros((0, 7), np.float32)
    return tensors


def _write_what_stays(folder: Path, elements: int) -> None:
    (folder / "noise.bin").write_bytes(np.random.default_rng(256).bytes(2 * elements + 3))
    (folder / "empty").touch()
    with (folder / "sparse.img").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"an island" * 500)
        file.truncate((3 << 20) + 17)
    odd = folder / "odd names ☃"
    odd.mkdir()
    for name in (b"-dash", b".hidden", b"new\nline", b"not \xff\xfe utf-8", "grüße.txt".encode(), b"%41 \"quoted' \\"):
        (odd / os.fsdecode(name)).write_bytes(b"I am " + name)
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "run.sh").write_text("#!/bin/sh\necho run\n")
    (folder / "latest").symlink_to("odd names ☃/grüße.txt")
    (deep / "nowhere").symlink_to(b"../no such \xff thing".decode(errors="surrogateescape"))
    (deep / "run.sh").chmod(0o755)
    (folder / "noise.bin").chmod(0o440)
    (folder / "empty").chmod(0o600)
    (folder / "a").chmod(0o1777)
    (folder / "a" / "b").chmod(0o750)


def _set_times(folder: Path, newest_ns: int) -> None:
    """Distinct times; one file is older than the epoch. Whatever umask and clock made of the rest goes away."""
    paths = sorted(folder.rglob("*"), reverse=True)
    for number, path in enumerate([*paths, folder]):
        at = BEFORE_1970_NS if path.name == "empty" else newest_ns - number * 1_000_003
        if path.name in ("model.safetensors", "steps.npy", "log.txt"):
            path.chmod(0o644)
        os.utime(path, ns=(at, at), follow_symlinks=False)


def _description(path: bytes) -> dict[str, Any]:
    status = os.lstat(path)
    described: dict[str, Any] = {"mtime_ns": status.st_mtime_ns}
    if stat.S_ISLNK(status.st_mode):
        return {"type": "link", **described, "target": quote_from_bytes(os.readlink(path))}
    described["mode"] = f"{stat.S_IMODE(status.st_mode):04o}"
    if stat.S_ISDIR(status.st_mode):
        return {"type": "folder", **described}
    with open(path, "rb") as file:
        data = file.read()
    return {"type": "file", **described, "size": len(data), "blake3": blake3(data).hexdigest()}
