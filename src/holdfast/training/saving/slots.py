"""Shared memory for so many staged states, taken and given back."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from holdfast.training.saving.memory import StagingMemory

__all__ = ["Slot", "Slots"]


class Slot:
    """Memory for one staged state. `ticket`: whose it is, None when it is free."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ticket: int | None = None
        self._memory = StagingMemory()
        self._known = 0  # the generation that the saving process has

    @property
    def size(self) -> int:
        return self._memory.size

    def prepare(self, size: int) -> None:
        """Room for so many bytes. Raises StorageFullError, FailedError."""
        if size > self._memory.size:
            self.close()
        self._memory.ensure(max(size, 1))

    def fill(self, size: int, stage: Callable[[memoryview], None]) -> None:
        """Stage into it. Raises what `prepare` and `stage` raise."""
        self.prepare(size)
        try:
            stage(self._memory.view)
        except BaseException as error:  # of a framework, or a Ctrl-C: its traceback would hold the memory
            _let_go_of_memory(error)
            raise

    def share(self, tell: Callable[[int, int, int], bool]) -> None:
        """Tell the saving process of the memory, unless it knows it already."""
        if self._known != self._memory.generation and tell(self.number, self._memory.size, self._memory.descriptor):
            self._known = self._memory.generation

    def forget_process(self) -> None:
        """A new saving process knows nothing."""
        self._known = 0

    def close(self) -> None:
        """Give the memory back."""
        accelerator = sys.modules.get("holdfast.training.saving.accelerator")
        if accelerator is not None and self._memory.size:
            accelerator.forget_registered(self._memory.view)
        self._memory.close()


def _let_go_of_memory(error: BaseException | None) -> None:
    """Whoever keeps the error (a ticket does) keeps what its frames see: a view of the memory, all of it."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class Slots:
    """All of them. Not locked."""

    def __init__(self, number: int) -> None:
        self.all = [Slot(one) for one in range(number)]

    @property
    def bytes(self) -> int:
        return sum(slot.size for slot in self.all)

    def take(self, ticket: int) -> Slot | None:
        """A free one, the one that was used before others, so that no more memory is touched than needed."""
        free = [slot for slot in self.all if slot.ticket is None]
        if not free:
            return None
        slot = max(free, key=lambda one: one.size)
        slot.ticket = ticket
        return slot

    def of(self, ticket: int) -> Slot | None:
        return next((slot for slot in self.all if slot.ticket == ticket), None)
