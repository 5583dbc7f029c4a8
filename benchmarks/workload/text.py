"""What the models learn: the help texts that ship with Python, and for fine-tunes its library's source code."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["help_texts", "source_code", "Batches"]

Tokens = NDArray[np.int64]


def help_texts() -> bytes:
    """About 450 kB of English."""
    from pydoc_data.topics import topics

    return "\n\n".join(text for _, text in sorted(topics.items())).encode()


def source_code(megabytes: float = 2.0) -> bytes:
    """The first files of the standard library, in order of their names."""
    parts: list[bytes] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        parts.append(path.read_bytes())
        if sum(map(len, parts)) > megabytes * 1e6:
            break
    return b"\n".join(parts)


class Batches:
    """Windows of a text at random places; bytes are the tokens."""

    def __init__(self, text: bytes, context: int, batch: int, seed: int) -> None:
        self._bytes = np.frombuffer(text, np.uint8)
        self._context, self._batch = context, batch
        self._random = np.random.default_rng(seed)

    def next(self) -> tuple[Tokens, Tokens]:
        """Two arrays of (batch, context): tokens, and for each the token that follows."""
        starts = self._random.integers(0, len(self._bytes) - self._context - 1, self._batch)
        tokens = self._bytes[starts[:, None] + np.arange(self._context + 1)].astype(np.int64)
        return tokens[:, :-1], tokens[:, 1:]
