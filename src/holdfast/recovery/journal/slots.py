"""The places of a journal at stores, as objects that are created once: what is asked there, and how often."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from holdfast.errors import AlreadyExistsError, HoldfastError, ObjectNotFoundError, UsageError
from holdfast.recovery.journal.deciding import (
    NOTHING,
    STORES_MAX,
    Answer,
    Ask,
    Decides,
    Voids,
    filling,
    looking,
    no_voids,
    nothing_decides,
)
from holdfast.stores.protocol import Store

__all__ = ["STORES_MAX", "Slots"]

_AHEAD: Final = 64  # places that are read at once where several were nothing, as more of that may follow
_READERS: Final = 16


class Slots:
    """The places under one prefix (`runs/<id>/`), numbered from 0 on, at one to three stores in the order of all."""

    def __init__(self, stores: Sequence[Store], prefix: str, bytes_max: int = 0) -> None:
        """`bytes_max`: a larger object is nothing, and is not fetched; 0: of any size. Raises UsageError for another
        number of stores, or two of one name.
        """
        if not 1 <= len(stores) <= STORES_MAX or len({store.url for store in stores}) < len(stores):
            raise UsageError(f"a journal lies at one to {STORES_MAX} different stores")
        self._stores = stores
        self._prefix, self._bytes_max = prefix, bytes_max
        self._hanging: dict[int, Future[Answer]] = {}
        self._ahead: dict[tuple[int, str], bytes] = {}  # store, key: what was read ahead, which never changes
        self.whole = True
        """Whether these stores are all that have a say."""

    def fill(self, number: int, proposal: bytes, decides: Decides = nothing_decides, void: Voids = no_voids) -> bytes:
        """What the place is filled with: `proposal`, or what somebody else was faster with, or NOTHING. Durable at a
        majority.

        Raises StoreUnreachableError, ConflictError, and what the stores raise besides.
        """
        steps = filling(len(self._stores), proposal, decides, void, whole=self.whole)
        filled = self._drive(number, steps, {})
        assert filled is not None
        return filled

    def look(self, number: int, decides: Decides = nothing_decides, void: Voids = no_voids) -> bytes | None:
        """What the place is filled with, or NOTHING; None: nothing yet. Raises as `fill` does.

        All stores are asked at once, and their answers taken in the order of all: to look changes nothing, so it does
        not matter which was asked first. Nobody waits for one whose answer is not needed.
        """
        key, count = self._key(number), len(self._stores)
        free = [one for one in range(count) if self._is_free(one) and (one, key) not in self._ahead]
        asked = {one: self._asked(one, key) for one in free if count > 1}
        return self._drive(number, looking(count, decides, void, whole=self.whole), asked)

    def has_read(self, number: int) -> bool:
        """Whether the place is among those that were read ahead, and there."""
        return any((store, self._key(number)) in self._ahead for store in range(len(self)))

    def read_ahead(self, number: int) -> None:
        """The places from this one on, many at a time, for the looks that follow: somebody may have filled thousands
        with what is nothing. What cannot be read is asked again by these.
        """
        wanted = [(store, self._key(one)) for one in range(number, number + _AHEAD) for store in range(len(self))]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="journal ahead") as pool:
            answers = pool.map(lambda one: self._ask(one[1], Ask(one[0], None)), wanted)
            self._ahead = {
                one: answer for one, answer in zip(wanted, answers, strict=True) if isinstance(answer, bytes)
            }

    def _is_free(self, store: int) -> bool:
        """Whether an earlier question to it was answered; else it is asked when its answer is wanted, not before."""
        return store not in self._hanging or self._hanging[store].done()

    def _asked(self, store: int, key: str) -> Future[Answer]:
        answer: Future[Answer] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._ask(key, Ask(store, None)))
            except BaseException as error:  # noqa: BLE001 - raised where the answer is taken
                answer.set_exception(error)

        self._hanging[store] = answer
        threading.Thread(target=ask, name=f"journal {store}", daemon=True).start()  # one that hangs keeps nobody alive
        return answer

    def at(self, store: int, number: int) -> bytes | None:
        """What that one store has at the place. Raises what it raises."""
        answer = self._ask(self._key(number), Ask(store, None))
        if isinstance(answer, HoldfastError):
            raise answer
        return answer

    def without(self, store: int, *, whole: bool = True) -> Slots:
        """The same places, at the other stores. `whole`: in no place that is asked for that one has a say any more."""
        other = Slots(
            [one for number, one in enumerate(self._stores) if number != store], self._prefix, self._bytes_max
        )
        other.whole = whole
        return other

    def __len__(self) -> int:
        return len(self._stores)

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:010d}"

    def _drive(
        self, number: int, steps: Generator[Ask, Answer, bytes | None], looked: dict[int, Future[Answer]]
    ) -> bytes | None:
        """`looked`: looks that are under way; each is good for the first look that is wanted of its store."""
        key = self._key(number)
        try:
            asked = next(steps)
            while True:
                under_way = looked.pop(asked.store, None) if asked.data is None else None
                answer = self._ask(key, asked) if under_way is None else under_way.result()
                asked = steps.send(answer)
        except StopIteration as ended:
            value: bytes | None = ended.value
            return value

    def _ask(self, key: str, asked: Ask) -> Answer:
        store = self._stores[asked.store]
        if (asked.store, key) in self._ahead:
            return self._ahead[asked.store, key]
        try:
            if asked.data is None:
                return self._bounded(store, key)
            try:
                store.create(key, asked.data)
            except AlreadyExistsError:
                return self._bounded(store, key)
            return asked.data
        except ObjectNotFoundError:
            return None
        except HoldfastError as error:
            # Also a store that refuses or is full: it has no say now, and what it may have written is found later.
            return error

    def _bounded(self, store: Store, key: str) -> bytes:
        """What is there; NOTHING for what is too large to be anything. Raises what the store raises."""
        return NOTHING if self._bytes_max and store.head(key).size > self._bytes_max else store.get(key)
