"""Answers that several requests get: made once, kept for a moment, with their age.

Nobody gets what they may not have: whoever asks was identified and permitted by the route's policy before, and what the
policies were asked while the answer was made is asked again for everybody else; one no, and they are answered apart.
What was done through this server, or told in its streams of events, is in every answer that is asked for afterwards:
`forget` lets go of what was made before.

All but `forget` is for the thread of the event loop. Answers are made by threads of their own: stores that do not
answer keep nobody waiting who does not ask for them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, NamedTuple

from litestar.concurrency import sync_to_thread

from holdfast.authority.principals import Principal
from holdfast.clock import Clock
from holdfast.control.authority.acting import Noted, noting
from holdfast.errors import ConflictError, FailedError, HoldfastError, StoreUnreachableError
from holdfast.web.problems import problem_of

__all__ = ["Answer", "Asked", "Given", "Shared"]

_LOG: Final = logging.getLogger("holdfast.web")
_THREADS: Final = 16
_ANSWERS: Final = 256
_CLEARED: Final = 256
_CLEARED_S: Final = 2.0  # as long as policies and people that were read are taken to be unchanged
_SHARE: Final = 10.0  # making an answer may take one part in so many of the time
_TIMES: Final = 3.0  # what is older than so many times what it should be is waited for
_TURN_S: Final = 0.5
_AGAIN_S: Final = 1.0  # what could not be made is tried again after that
_PATIENCE_S: Final = 4.0  # so long stores are waited for, where there is an older answer
_OLDEST_S: Final = 300.0  # and so old it may be
_PASSING: Final = (StoreUnreachableError, ConflictError, FailedError)  # what may be otherwise in a moment

Key = tuple[str, bytes]


class Asked(NamedTuple):
    """`key`: the verb's name, and its arguments. `make`: asks the catalog or the stores. `may`: raises HoldfastError
    unless `principal` is permitted what was asked of the policies. `keeps`: seconds.
    """

    key: Key
    principal: Principal
    keeps: float
    make: Callable[[], Any]
    may: Callable[[Principal, list[Noted]], None]


class Answer:
    """`at`: when making it began, by the monotonic clock. `pages`: what was encoded of it."""

    def __init__(self, record: Any, principal: Principal, noted: list[Noted], at: float, took: float) -> None:
        self.record, self.principal, self.at, self.took = record, principal, at, took
        self.noted = list({(one.action, repr(one.resource), repr(one.to)): one for one in noted}.values())
        # Others could be answered otherwise: not everything was permitted, or it was about a plan, which policies see
        # with who asked for it.
        self.is_personal = any(
            not one.allowed or one.principal != principal or one.resource.kind == "Plan" for one in self.noted
        )
        self.pages: dict[Any, Any] = {}
        self.cleared: OrderedDict[Principal, float] = OrderedDict()
        self.problem: HoldfastError | None = None
        self.tried = at


class Given(NamedTuple):
    """`how`: `hit`; `miss`: made for it; `request`: it was asked for anew. `age`, and for how long it is still good
    (`left`, below zero: it should be newer): seconds. `problem`: why it could not be made anew.
    """

    answer: Answer
    how: Literal["hit", "miss", "request"]
    age: float
    left: float
    problem: HoldfastError | None = None


class _Making:
    """An answer that is being made."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.forgotten = False
        self.done: asyncio.Future[Answer]


class Shared:
    """Of one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="holdfast-answers")
        self._turns = threading.Semaphore(1)
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, Answer] = OrderedDict()
        self._making: dict[Key, _Making] = {}

    async def get(self, asked: Asked, *, fresh: bool = False) -> Given:
        """`fresh`: made after this call. Raises what making it raises, where there is nothing older to give."""
        if asked.principal.elevation is not None:  # each of their decisions is to be recorded
            return await self._apart(asked)
        known = None if fresh else self._known.get(asked.key)
        if known is not None and known.is_personal and known.principal != asked.principal:
            known = None
        given = await self._make(asked, fresh) if known is None else await self._renewed(asked, known)
        if given is not None and await self._is_cleared(given.answer, asked):
            return given
        return await self._apart(asked)

    def forget(self, *prefixes: str) -> None:
        """Whoever asks from now on gets what is made from now on. `prefixes`: of names of verbs; without any, of all.

        For any thread.
        """
        with self._lock:
            for key in [key for key in self._known if not prefixes or key[0].startswith(prefixes)]:
                del self._known[key]
            for key in [key for key in self._making if not prefixes or key[0].startswith(prefixes)]:
                self._making.pop(key).forgotten = True

    def close(self) -> None:
        """What is being made is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _renewed(self, asked: Asked, known: Answer) -> Given | None:
        """The older one, or a newer one where that is worth waiting for."""
        now = self._clock.monotonic()
        interval = max(asked.keeps, _SHARE * known.took)
        self._used(asked.key)
        if now - known.at <= interval:
            return self._given(known, asked, "hit")
        making = self._making.get(asked.key)
        if making is None and (known.problem is None or now - known.tried > _AGAIN_S):
            making = self._begin(asked, behind=True)
        if now - known.at <= (_OLDEST_S if known.problem is not None else _TIMES * interval):
            return self._given(known, asked, "hit")
        if making is None:
            making = self._begin(asked)
        await asyncio.wait({making.done}, timeout=_PATIENCE_S)
        older = self._clock.monotonic() - known.at <= _OLDEST_S and not making.forgotten
        if not making.done.done():
            if older:  # the next one does not wait again
                known.problem, known.tried = _late(), self._clock.monotonic()
                return self._given(known, asked, "hit")
            await asyncio.wait({making.done})
        if older and isinstance(making.done.exception(), _PASSING):
            return self._given(known, asked, "hit")
        return self._outcome(making, asked)

    async def _apart(self, asked: Asked) -> Given:
        """For this one alone."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._made, asked)
        return self._given(found, asked, "miss")

    async def _make(self, asked: Asked, fresh: bool) -> Given | None:
        making = None if fresh else self._making.get(asked.key)
        if making is None:
            making = self._begin(asked)
        await asyncio.wait({making.done})
        given = self._outcome(making, asked)
        return given._replace(how="request") if fresh and given is not None else given

    def _outcome(self, making: _Making, asked: Asked) -> Given | None:
        """None: it was made for somebody else, who is not answered as this one may be."""
        error = making.done.exception()
        if error is None:
            return self._given(making.done.result(), asked, "miss")
        if making.principal != asked.principal:
            return None
        raise error

    def _begin(self, asked: Asked, *, behind: bool = False) -> _Making:
        """`behind`: nobody waits for it (yet): one after the other, so that requests find the processor free."""
        making = _Making(asked.principal)
        with self._lock:
            self._making[asked.key] = making
        make = self._made_in_turn if behind else self._made
        making.done = asyncio.get_running_loop().run_in_executor(self._threads, make, asked)
        making.done.add_done_callback(lambda done: self._ended(asked.key, making))
        return making

    def _made_in_turn(self, asked: Asked) -> Answer:
        """A store that does not answer keeps the others for a moment."""
        mine = self._turns.acquire(timeout=_TURN_S)
        try:
            return self._made(asked)
        finally:
            if mine:
                self._turns.release()

    def _made(self, asked: Asked) -> Answer:
        begun = self._clock.monotonic()
        with noting() as noted:
            record = asked.make()
        return Answer(record, asked.principal, noted, begun, self._clock.monotonic() - begun)

    def _ended(self, key: Key, making: _Making) -> None:
        error = None if making.done.cancelled() else making.done.exception()
        if error is not None and not isinstance(error, HoldfastError):
            _LOG.error("%s: %s", key[0], problem_of(error).detail)
        with self._lock:
            if self._making.get(key) is making:
                del self._making[key]
            if making.forgotten or making.done.cancelled():
                return
            known = self._known.get(key)
            if error is None:
                found = making.done.result()
                if known is None or known.at <= found.at:
                    self._known[key] = found
                    self._known.move_to_end(key)
                    while len(self._known) > _ANSWERS:
                        self._known.popitem(last=False)
            elif isinstance(error, _PASSING) and known is not None:
                known.problem, known.tried = error, self._clock.monotonic()
            else:  # it is gone, or not for whoever asked: nobody gets an older one
                self._known.pop(key, None)

    def _used(self, key: Key) -> None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)

    async def _is_cleared(self, answer: Answer, asked: Asked) -> bool:
        """Whether all that was permitted to whoever it was made for is permitted to this one, too."""
        principal, now = asked.principal, self._clock.monotonic()
        since = answer.cleared.get(principal, answer.at if principal == answer.principal else None)
        if since is not None and now - since <= _CLEARED_S:
            return True
        if answer.is_personal and principal != answer.principal:
            return False
        try:
            if answer.noted:
                await sync_to_thread(asked.may, principal, answer.noted)
        except HoldfastError:
            return False
        answer.cleared[principal] = now
        answer.cleared.move_to_end(principal)
        while len(answer.cleared) > _CLEARED:
            answer.cleared.popitem(last=False)
        return True

    def _given(self, answer: Answer, asked: Asked, how: Literal["hit", "miss"]) -> Given:
        age = max(0.0, self._clock.monotonic() - answer.at)
        left = max(asked.keeps, _SHARE * answer.took) - age
        return Given(answer, how, age, left, answer.problem)


def _late() -> StoreUnreachableError:
    return StoreUnreachableError(f"no answer came within {_PATIENCE_S:g} s")
