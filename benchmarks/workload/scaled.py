"""Any amount of states from a few real ones: `python -m benchmarks.workload.scaled STATES POOL BYTES`.

Copy number k of a float32 tensor is the tensor times 1 − k/4096: other mantissas in every element, nearly the same
exponents. So copies share no chunk, and pack like the originals.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import numpy as np

from .tensors import read_safetensors, write_safetensors

__all__ = ["write_scaled"]


def write_scaled(states: Path, pool: Path, size: int) -> None:
    """Fill the new folder `pool` with files of at least `size` bytes in all."""
    pool.mkdir(parents=True)
    written = 0
    paths = sorted(states.rglob("*.safetensors"))
    for number in count():
        path = paths[number % len(paths)]
        factor = np.float32(1 - number / 4096)
        arrays = {name: array * factor for name, array in read_safetensors(path).items()}
        target = pool / f"{number:04}-{path.name}"
        write_safetensors(target, arrays)
        written += target.stat().st_size
        if written >= size:
            return


if __name__ == "__main__":
    write_scaled(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
