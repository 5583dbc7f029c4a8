"""One call of a peer's library, timed inside its process: `… zipnn|torch|dcp save|restore PLACE PATH SOURCE`.

Runs with the peers' Python. `restore` compares what came back with SOURCE.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 2


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["zipnn", "torch", "dcp"])
    parser.add_argument("verb", choices=["save", "restore"])
    parser.add_argument("place", type=Path)
    parser.add_argument("path", type=Path)
    parser.add_argument("source", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # DCP warns that there is only one process
    work: Callable[..., dict[str, Any]] = globals()[f"{options.library}_{options.verb}"]
    print(json.dumps(work(options.place, options.path if options.verb == "save" else options.source)))
    return 0


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    cpu, began = time.process_time(), time.perf_counter()
    result = work()
    return result, {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}


def zipnn_save(place: Path, source: Path) -> dict[str, Any]:
    plain = {path: path.read_bytes() for path in safetensors_files(source)}
    packers = {path: zipnn_for(data) for path, data in plain.items()}
    first = next(iter(plain))
    packers[first].compress(bytearray(plain[first][: 1 << 20]))
    # ZipNN reorders the bytes of its input in place: it gets a copy, made outside of the measured part.
    own = {path: bytearray(data) for path, data in plain.items()}
    packed, took = timed(lambda: {path: packers[path].compress(own[path]) for path in own})
    for path, data in packed.items():
        target = place / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return took


def zipnn_restore(place: Path, source: Path) -> dict[str, Any]:
    packed = {path.relative_to(place): path.read_bytes() for path in safetensors_files(place)}
    plain = {name: (source / name).read_bytes() for name in packed}
    packers = {name: zipnn_for(data) for name, data in plain.items()}
    found, took = timed(lambda: {name: packers[name].decompress(data) for name, data in packed.items()})
    return took | {"wrong": [f"{name} differs" for name, data in found.items() if bytes(data) != plain[name]]}


def zipnn_for(data: bytes) -> Any:
    """A packer for the kind of number that a safetensors file has most of."""
    from zipnn import ZipNN

    size = int.from_bytes(data[:8], "little")
    kinds = [entry["dtype"] for name, entry in json.loads(data[8 : 8 + size]).items() if name != "__metadata__"]
    kind = {"F32": "float32", "BF16": "bfloat16"}.get(max(set(kinds), key=kinds.count), "float32")
    return ZipNN(input_format="byte", bytearray_dtype=kind, threads=THREADS)


def torch_save(place: Path, source: Path) -> dict[str, Any]:
    import torch

    state = load_tensors(source)
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"warm": torch.zeros(8)}, place.with_suffix(".warm"))
    place.with_suffix(".warm").unlink()
    _, took = timed(lambda: torch.save(state, place))
    return took


def torch_restore(place: Path, source: Path) -> dict[str, Any]:
    import torch

    found, took = timed(lambda: torch.load(place, weights_only=True))
    return took | {"wrong": unequal(load_tensors(source), found)}


def dcp_save(place: Path, source: Path) -> dict[str, Any]:
    import torch
    from torch.distributed import checkpoint

    state = load_tensors(source)
    warm = place.with_suffix(".warm")
    checkpoint.save({"warm": torch.zeros(8)}, checkpoint_id=str(warm), no_dist=True)
    for path in warm.iterdir():
        path.unlink()
    warm.rmdir()
    _, took = timed(lambda: checkpoint.save(state, checkpoint_id=str(place), no_dist=True))
    return took


def dcp_restore(place: Path, source: Path) -> dict[str, Any]:
    import torch
    from torch.distributed import checkpoint

    expected = load_tensors(source)
    found = {name: torch.empty_like(tensor) for name, tensor in expected.items()}
    _, took = timed(lambda: checkpoint.load(found, checkpoint_id=str(place), no_dist=True))
    return took | {"wrong": unequal(expected, found)}


def safetensors_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def load_tensors(source: Path) -> dict[str, Any]:
    """All tensors of a folder, by file and name, in memory of their own."""
    from safetensors.torch import load

    return {
        f"{path.relative_to(source)}:{name}": tensor
        for path in safetensors_files(source)
        for name, tensor in load(path.read_bytes()).items()
    }


def unequal(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    import torch

    wrong = [f"{name} is missing" for name in expected.keys() - found.keys()]
    for name in expected.keys() & found.keys():
        one, other = expected[name].contiguous(), found[name].contiguous()
        if one.dtype != other.dtype or not torch.equal(one.view(torch.uint8), other.view(torch.uint8)):
            wrong.append(f"{name} differs")
    return sorted(wrong)[:10]


if __name__ == "__main__":
    sys.exit(main())
