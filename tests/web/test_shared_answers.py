"""Answers that several requests get: how old they get, who gets them, and what happens while the stores do not answer.
Time goes on by hand.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from holdfast.authority.principals import Elevation, Grant, Principal
from holdfast.authority.resources import PLANE, plan_resource, vault_resource
from holdfast.clock import ManualClock
from holdfast.control.authority.acting import Noted, note_decision
from holdfast.errors import HoldfastError, NotFoundError, PermissionDeniedError, StoreUnreachableError
from holdfast.web.api import shared as module
from holdfast.web.api.shared import Asked, Given, Shared


def person(name: str, *roles: str) -> Principal:
    return Principal(
        kind="User", id=name, name=name, person=name, how="a test", grants=tuple(Grant(role) for role in roles)
    )


ADA, BEN, TIM = person("ada", "operator"), person("ben", "operator"), person("tim", "trainer")


class Source:
    """Something that changes. `made`: for whom it was asked. `asks`: the policies, of this. `error`: raised instead."""

    def __init__(self, resource: Any = PLANE) -> None:
        self.value, self.resource = 0, resource
        self.made: list[str] = []
        self.error: HoldfastError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def make(self, principal: Principal) -> Callable[[], str]:
        def read() -> str:
            self.made.append(principal.name)
            value = self.value
            assert self.gate.wait(20)
            may(principal, [Noted(principal, "objective.show", self.resource, None, True)])
            note_decision(Noted(principal, "objective.show", self.resource, None, True))
            if self.error is not None:
                raise self.error
            return f"{value}"

        return read


def may(principal: Principal, noted: list[Noted]) -> None:
    if noted and "operator" not in principal.roles(0):
        raise PermissionDeniedError(f"{principal} may not")


class World:
    def __init__(self, source: Source, keeps: float = 5.0) -> None:
        self.clock = ManualClock()
        self.shared, self.source, self.keeps = Shared(self.clock), source, keeps

    async def get(self, principal: Principal = ADA, *, fresh: bool = False, key: str = "objective.status") -> Given:
        asked = Asked((key, b"{}"), principal, self.keeps, self.source.make(principal), may)
        return await self.shared.get(asked, fresh=fresh)

    async def text(self, principal: Principal = ADA, **more: Any) -> str:
        return str((await self.get(principal, **more)).answer.record)

    async def settled(self) -> None:
        """Whatever is being made has been."""
        while self.shared._making:
            await asyncio.sleep(0.001)


def played(play: Callable[[World], Awaitable[None]], source: Source | None = None, keeps: float = 5.0) -> None:
    async def main() -> None:
        world = World(source or Source(), keeps)
        try:
            await asyncio.wait_for(play(world), 60)
        finally:
            world.source.gate.set()
            world.shared.close()

    asyncio.run(main())


def test_it_is_made_once_and_says_how_old_it_is() -> None:
    async def play(world: World) -> None:
        first = await world.get()
        assert (first.how, first.age, first.left) == ("miss", 0, 5)
        world.source.value = 1
        world.clock.sleep(4)
        second = await world.get()
        assert (second.how, second.answer.record, second.age, second.left) == ("hit", "0", 4, 1)
        assert world.source.made == ["ada"]

    played(play)


def test_a_change_made_elsewhere_is_seen_within_the_stated_time() -> None:
    async def play(world: World) -> None:
        await world.get()
        world.source.value = 1
        world.clock.sleep(6)  # due: the old one once more, and a new one is begun
        late = await world.get()
        assert (late.answer.record, late.how, late.left) == ("0", "hit", -1)
        await world.settled()
        assert await world.text() == "1"
        world.source.value = 2
        world.clock.sleep(16)  # older than three times what it should be: waited for
        assert await world.text() == "2"

    played(play)


def test_asked_for_anew_it_is_made_after_that() -> None:
    async def play(world: World) -> None:
        await world.get()
        world.source.value = 1
        given = await world.get(fresh=True)
        assert (given.answer.record, given.how) == ("1", "request")
        assert await world.text(BEN) == "1"  # others have it from it, too

    played(play)


def test_those_who_ask_at_once_share_one_look() -> None:
    async def play(world: World) -> None:
        world.source.gate.clear()
        asking = [asyncio.create_task(world.text(one)) for one in (ADA, BEN) * 20]
        while not world.source.made:
            await asyncio.sleep(0.001)
        world.source.gate.set()
        assert await asyncio.gather(*asking) == ["0"] * 40
        assert world.source.made == ["ada"]

    played(play)


def test_what_was_done_is_in_every_answer_afterwards() -> None:
    """Also where an answer was being made while it was done."""

    async def play(world: World) -> None:
        await world.get()
        world.source.value = 1
        world.shared.forget()
        assert await world.text() == "1"
        world.clock.sleep(6)
        world.source.gate.clear()
        assert await world.text() == "1"  # a new one is begun behind it, and has looked
        while len(world.source.made) < 3:
            await asyncio.sleep(0.001)
        [making] = world.shared._making.values()
        world.source.value = 2
        world.shared.forget()
        world.source.gate.set()
        await asyncio.wait({making.done})  # what had looked before is nobody's
        await asyncio.sleep(0)
        assert await world.text() == "2"
        assert await world.text() == "2"

    played(play)


def test_only_what_is_named_is_forgotten() -> None:
    async def play(world: World) -> None:
        await world.get(key="recover.runs")
        await world.get()
        world.source.value = 1
        world.shared.forget("recover.", "evidence.")
        assert await world.text(key="recover.runs") == "1"
        assert await world.text() == "0"

    played(play)


def test_nobody_gets_what_the_policies_do_not_permit_them() -> None:
    async def play(world: World) -> None:
        await world.get(ADA)
        assert await world.text(BEN) == "0"
        assert world.source.made == ["ada"]
        with pytest.raises(PermissionDeniedError, match="tim"):
            await world.get(TIM)
        fewer = replace(ADA, grants=())  # the same person, with a role less
        with pytest.raises(PermissionDeniedError, match="ada"):
            await world.get(fewer)
        assert await world.text(BEN) == "0"
        assert world.source.made == ["ada", "tim", "ada"]

    played(play)


def test_the_policies_are_asked_again_of_an_answer_that_stays() -> None:
    async def play(world: World) -> None:
        await world.get(ADA)
        allowed = True

        def sometimes(principal: Principal, noted: list[Noted]) -> None:
            if not allowed:
                raise PermissionDeniedError("not any more")

        async def get(principal: Principal) -> str:
            asked = Asked(("objective.status", b"{}"), principal, 60, world.source.make(principal), sometimes)
            return str((await world.shared.get(asked)).answer.record)

        assert await get(BEN) == "0"
        world.clock.sleep(1)
        allowed = False
        world.source.error = PermissionDeniedError("not any more")
        assert await get(BEN) == "0"  # as long as policies that were read count
        world.clock.sleep(2)
        for one in (ADA, BEN):
            with pytest.raises(PermissionDeniedError, match="not any more"):
                await get(one)

    played(play)


@pytest.mark.parametrize("why", ["a plan", "a no", "another"])
def test_what_could_be_otherwise_for_others_is_not_shared(why: str) -> None:
    vault = vault_resource("v", encrypted=True)
    plan = plan_resource("p", initiator="ada", approvals=frozenset(), vault=vault)

    class Personal(Source):
        def make(self, principal: Principal) -> Callable[[], str]:
            def read() -> str:
                self.made.append(principal.name)
                whose = TIM if why == "another" else principal
                resource = plan if why == "a plan" else PLANE
                note_decision(Noted(whose, "recover.review", resource, None, why != "a no"))
                return f"for {principal.name}"

            return read

    async def play(world: World) -> None:
        assert await world.text(ADA) == "for ada"
        assert await world.text(BEN) == "for ben"
        assert await world.text(ADA) == "for ada"
        assert world.source.made.count("ben") == 1

    played(play, Personal())


def test_each_look_under_break_glass_is_one_of_its_own() -> None:
    async def play(world: World) -> None:
        elevated = ADA.elevated(Elevation("e", "everything burns", 0, 1 << 62))
        await world.get(elevated)
        await world.get(elevated)
        assert world.source.made == ["ada", "ada"]
        assert (await world.get(BEN)).how == "miss"

    played(play)


def test_an_error_is_whose_look_it_was() -> None:
    async def play(world: World) -> None:
        world.source.gate.clear()
        world.source.error = NotFoundError("there is no such asset")
        asking = [asyncio.create_task(world.get(one)) for one in (ADA, ADA, TIM)]
        while not world.source.made:
            await asyncio.sleep(0.001)
        world.source.gate.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(one) for one in found] == [NotFoundError, NotFoundError, PermissionDeniedError]
        assert world.source.made == ["ada", "tim"]

    played(play)


def test_while_the_stores_do_not_answer_the_older_one_is_given_and_says_so() -> None:
    async def play(world: World) -> None:
        await world.get()
        world.source.error = StoreUnreachableError("eu/warm does not answer")
        world.clock.sleep(20)
        given = await world.get()
        assert (given.answer.record, given.how, given.age) == ("0", "hit", 20)
        assert given.problem is world.source.error
        asked = len(world.source.made)
        assert (await world.get(BEN)).problem is world.source.error
        assert len(world.source.made) == asked  # not again within a second
        world.clock.sleep(2)
        assert (await world.get()).age == 22
        await world.settled()
        assert len(world.source.made) == asked + 1
        with pytest.raises(StoreUnreachableError):
            await world.get(fresh=True)
        world.clock.sleep(300)
        with pytest.raises(StoreUnreachableError):  # that is too old for anybody
            await world.get()
        world.source.error = None
        world.source.value = 1
        world.clock.sleep(2)
        assert await world.text() == "1"
        assert (await world.get()).problem is None

    played(play)


def test_after_a_change_nothing_older_is_given_even_if_the_stores_do_not_answer() -> None:
    async def play(world: World) -> None:
        await world.get()
        world.shared.forget()
        world.source.error = StoreUnreachableError("eu/warm does not answer")
        with pytest.raises(StoreUnreachableError):
            await world.get()

    played(play)


def test_a_store_that_never_answers_is_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)

    async def play(world: World) -> None:
        await world.get()
        world.clock.sleep(20)
        world.source.gate.clear()
        given = await world.get()
        assert (given.answer.record, given.age) == ("0", 20)
        assert isinstance(given.problem, StoreUnreachableError)
        monkeypatch.setattr(module, "_PATIENCE_S", 3600)
        assert (await world.get(BEN)).problem is not None  # nobody waits a second time
        world.source.gate.set()
        await world.settled()
        given = await world.get()
        assert (given.age, given.problem) == (0, None)

    played(play)


def test_what_is_gone_is_not_given_any_longer() -> None:
    async def play(world: World) -> None:
        await world.get()
        world.source.error = NotFoundError("there is no such asset")
        world.clock.sleep(6)
        assert await world.text() == "0"
        await world.settled()
        with pytest.raises(NotFoundError):
            await world.get()

    played(play)


def test_a_defect_is_raised_to_whoever_asks_and_ends_nothing() -> None:
    class Broken(Source):
        def make(self, principal: Principal) -> Callable[[], str]:
            def read() -> str:
                raise ZeroDivisionError

            return read

    async def play(world: World) -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await world.get()
        world.source = Source()
        assert await world.text() == "0"

    played(play, Broken())


def test_making_takes_a_tenth_of_the_time_at_most() -> None:
    class Slow(Source):
        def make(self, principal: Principal) -> Callable[[], str]:
            read = super().make(principal)

            def slowly() -> str:
                world.clock.sleep(3)
                return read()

            return slowly

    async def play(given: World) -> None:
        nonlocal world
        world = given
        await world.get()
        world.clock.sleep(26)  # it is 29 s old, and took 3
        assert (await world.get()).left == 1
        await world.settled()
        assert world.source.made == ["ada"]

    world: World
    played(play, Slow())


def test_it_keeps_so_many_answers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWERS", 3)

    async def play(world: World) -> None:
        for name in "abcd":
            await world.get(key=name)
        await world.get(key="b")  # used: it stays
        await world.get(key="e")
        assert [key for key, _ in world.shared._known] == ["d", "b", "e"]

    played(play)
