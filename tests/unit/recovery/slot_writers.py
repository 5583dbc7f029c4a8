"""Who fills a place, looks at it, or leaves a store out: one operation at a time, in any order."""

from __future__ import annotations

from collections.abc import Generator

from holdfast.errors import HoldfastError, StoreUnreachableError
from holdfast.recovery.journal.deciding import Answer, Ask


class Writer:
    """One of those who fill, look, or leave out, an operation at a time. `sees`: the stores that answer it."""

    def __init__(self, steps: Generator[Ask, Answer, bytes | None], sees: frozenset[int]) -> None:
        self.steps, self.sees = steps, sees
        self.asked: Ask | None = None
        self.result: bytes | HoldfastError | None = None
        self.heard: list[object] = []
        self.ended = False
        self._go(first=True)

    def _go(self, answer: Answer = None, *, first: bool = False) -> None:
        self.heard.append(answer if isinstance(answer, bytes) else answer is None)
        try:
            self.asked = next(self.steps) if first else self.steps.send(answer)
        except StopIteration as ended:
            self.ended, self.result = True, ended.value
        except HoldfastError as error:
            self.ended, self.result = True, error

    def act(self, stores: list[bytes | None], *, lost: bool = False) -> None:
        """One operation. `lost`: it is done, and its answer is lost."""
        asked = self.asked
        assert asked is not None
        if asked.store not in self.sees:
            self._go(StoreUnreachableError("silent"))
            return
        if asked.data is not None and stores[asked.store] is None:
            stores[asked.store] = asked.data
        self._go(StoreUnreachableError("the answer was lost") if lost else stores[asked.store])
