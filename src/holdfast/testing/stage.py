"""What a `holdfast.testing.machine.Scene` begins with, and what makes it repeatable."""

from __future__ import annotations

import os
import random as random_numbers
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from holdfast.clock import Clock, ManualClock
from holdfast.replication.copying.snapshots import replicate
from holdfast.stores.memory import MemoryStore
from holdfast.testing.invariants import TreeState, read_tree
from holdfast.testing.workspace import new_trial_vault

__all__ = ["Blueprint", "predictable"]

_PACK_BYTES = 24 << 10


class Blueprint:
    """What scenes begin with, made once: a vault with one snapshot, its copy, and contents for saves.

    Names in an encrypted vault follow from what its ciphers draw, which no seed decides: a scene on one that is not can
    be repeated exactly.
    """

    def __init__(self, folder: Path, *, encrypted: bool = True) -> None:
        self.folder = folder
        self.clock_start_ns = ManualClock().now_ns()
        clock = ManualClock(self.clock_start_ns)
        self._store, self._replica = MemoryStore(clock, name="vault"), MemoryStore(clock, name="replica")
        self.trial = new_trial_vault(self._store, encrypted=encrypted, clock=clock, pack_bytes=_PACK_BYTES)
        self._trees: dict[tuple[int, int], TreeState] = {}
        self.first = self.trial.open().save("first", self.source(0, 0)).root.id
        replicate(self.trial.open().handle, self._replica)

    def stores(self, clock: Clock) -> tuple[MemoryStore, MemoryStore]:
        """The two sites, for one scene."""
        return self._store.fork(clock), self._replica.fork(clock)

    def source(self, weights: int, state: int) -> Path:
        """A folder with two files, each of one of many contents."""
        folder = self.folder / f"source {weights} {state}"
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "weights.bin").write_bytes(Random(f"weights {weights}").randbytes(20_000))
            (folder / "state.bin").write_bytes(Random(f"state {state}").randbytes(9_000))
            for path in (folder / "weights.bin", folder / "state.bin", folder):
                os.utime(path, ns=(self.clock_start_ns, self.clock_start_ns))
        return folder

    def tree(self, weights: int, state: int) -> TreeState:
        """What restoring it must give."""
        if (weights, state) not in self._trees:
            self._trees[weights, state] = read_tree(self.source(weights, state))
        return self._trees[weights, state]


@contextmanager
def predictable(seed: int) -> Iterator[None]:
    """What the system gives as random bytes follows from the seed while it lasts: names and keys of a scene."""
    made = Random(seed).randbytes
    # `secrets` draws through the module `random`, which has a name of its own for the function.
    before = [(vars(os), "urandom", os.urandom), (vars(random_numbers), "_urandom", os.urandom)]
    for module, name, _ in before:
        module[name] = made
    try:
        yield
    finally:
        for module, name, function in before:
            module[name] = function
