"""One rank's part of a snapshot: only the chunks that hold it are read, straight into memory that is ready.

    python examples/read_shard.py VAULT REFERENCE RANK WORLD

With PyTorch installed the memory is PyTorch's, else NumPy's.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import holdfast

try:
    import torch
except ImportError:
    torch = None


def allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """What a training loop has already: its own parameters."""
    return np.empty(shape, dtype) if torch is None else torch.empty(shape, dtype=getattr(torch, dtype.name))


def main(vault: str, reference: str, rank: int, world: int) -> None:
    state = holdfast.open(vault).load(reference)

    mine = {}
    for name, tensor in state.items():
        shape = tensor.shape
        if shape:  # as torch.chunk: ⌈rows / world⌉ rows each, the last ranks may have fewer, or none
            rows = tensor.shard_key(rank, world)[0]
            shape = (rows.stop - rows.start, *shape[1:])
        mine[name] = allocate(shape, tensor.dtype)

    state.shard(rank, world, into=mine)

    for name, part in mine.items():
        print(f"{name}: {list(part.shape)} of {list(state[name].shape)}, {part.dtype}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
