"""A crash after each single operation on any site, and each answer that is lost: stripes lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import pytest

from holdfast.errors import HoldfastError, RefusedError
from holdfast.replication.striping import (
    Converted,
    StripedStore,
    adopt_home,
    create_stripes,
    heal_stripes,
    rebuild_site,
    stripe_packs,
    unstripe_packs,
    verify_stripes,
)
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.damage import contents_of
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.single_thread import without_pools
from holdfast.testing.striped_sites import Rig, pack_of
from holdfast.testing.workspace import new_trial_vault

LARGE = dict(pack_of(3_000 + 500 * number, seed=number) for number in range(2))
NEW, NEW_BYTES = pack_of(4_000, seed=70)


def a_vault() -> dict[str, bytes]:
    store = MemoryStore()
    new_trial_vault(store)
    return contents_of(store)


CONTENT = {"audit/a": b"one", "audit/checkpoint": b"old", **a_vault(), **LARGE, **dict([pack_of(300, seed=99)])}


def opened(stores: list[Store]) -> StripedStore:
    return StripedStore(stores, retry_seconds=0.0, whole_below=1000)


def filled() -> Rig:
    rig = Rig()
    for key, data in CONTENT.items():
        rig.open().put(key, data)
    return rig


def whole() -> Rig:
    """A vault and its replica on two of three sites, which were made a set of stripes."""
    rig = Rig()
    rig.bare = [MemoryStore(name=f"site-{number}") for number in range(3)]
    for key, data in CONTENT.items():
        rig.bare[0].put(key, data)
        rig.bare[1].put(key, data)
    create_stripes(rig.bare, 2)
    return rig


def behind() -> Rig:
    """One site missed objects, packs and a deletion."""
    rig = Rig(spares=0)
    for key, data in CONTENT.items():
        if key not in LARGE:
            rig.open().put(key, data)
    rig.open().create("audit/gone", b"gone")
    rig.down(2)
    for key, data in LARGE.items():
        rig.open().put(key, data)
    rig.open().delete("audit/gone")
    rig.up()
    return rig


def lost(position: int) -> Rig:
    rig = filled()
    rig.lose(position)
    return rig


def unbegun() -> Rig:
    rig = Rig()
    rig.bare = [MemoryStore(name=f"site-{number}") for number in range(3)]
    for key, data in CONTENT.items():
        rig.bare[0].put(key, data)
    return rig


def adopt(store: StripedStore) -> None:
    with suppress(RefusedError):  # it was done already
        adopt_home(store, 1)


def rebuild(position: int) -> Callable[[StripedStore], None]:
    def act(store: StripedStore) -> None:
        with suppress(RefusedError):
            assert rebuild_site(store, position).is_complete

    return act


def create(store: StripedStore) -> None:
    with suppress(HoldfastError):
        store.create("audit/new", b"new")


def convert(how: Callable[[StripedStore], Converted]) -> Callable[[StripedStore], None]:
    def act(store: StripedStore) -> None:
        done = how(store)
        assert not done.failed and not done.fragments

    return act


class Case(NamedTuple):
    """`changed`: what may be there besides, or instead, and must be afterwards (None: must not)."""

    begin: Callable[[], Rig]
    act: Callable[[StripedStore], object]
    changed: Mapping[str, bytes | None] = {}
    operations_min: int = 5


CASES = {
    "put a pack": Case(filled, lambda store: store.put(NEW, NEW_BYTES), {NEW: NEW_BYTES}),
    "put": Case(filled, lambda store: store.put("audit/checkpoint", b"new"), {"audit/checkpoint": b"new"}),
    "create": Case(filled, create, {"audit/new": b"new"}),
    "delete a pack": Case(filled, lambda store: store.delete(next(iter(LARGE))), {next(iter(LARGE)): None}),
    "delete": Case(filled, lambda store: store.delete("audit/a"), {"audit/a": None}),
    "heal": Case(behind, heal_stripes, operations_min=20),
    "rebuild": Case(lambda: lost(2), rebuild(2), operations_min=20),
    "rebuild the home": Case(lambda: lost(0), rebuild(0), operations_min=20),
    "adopt": Case(lambda: lost(0), adopt, operations_min=10),
    "stripe": Case(whole, convert(stripe_packs), operations_min=30),
    "unstripe": Case(filled, convert(unstripe_packs), operations_min=30),
}


def holds(rig: Rig, changed: Mapping[str, bytes | None], *, done: bool, what: str) -> None:
    """Everything can be read that was there; what was being changed is as before or as after."""
    found = contents_of(opened(list(rig.bare)))
    for key, data in CONTENT.items():
        if key not in changed:
            assert found.get(key) == data, f"{what}: {key}"
    for key, after in changed.items():
        allowed = [after] if done else [after, CONTENT.get(key)]
        assert found.get(key) in allowed, f"{what}: {key}"
    assert found.keys() <= CONTENT.keys() | changed.keys(), what


@pytest.mark.parametrize("name", CASES)
def test_a_crash_or_a_lost_answer_at_each_operation(name: str) -> None:
    case = CASES[name]
    begin = case.begin()
    with without_pools():
        count = 0
        while True:
            count += 1
            what = f"{name}, a crash after operation {count}"
            rig, ended = begin.fork(), False
            script = Faults().stop_after(count)
            try:
                case.act(opened([script.over(store) for store in rig.bare]))
                ended = True
            except Crash:
                pass
            holds(rig, case.changed, done=ended, what=what)
            case.act(opened(list(rig.bare)))
            holds(rig, case.changed, done=True, what=f"{what}, and again")
            if ended:
                break
            if count % 4 == 1:
                self_heals(rig, case.changed, what)
            if count % 2:
                continue
            what = f"{name}, no answer to operation {count}"
            rig = begin.fork()
            script = Faults().lose_answer("*", at=count)
            with suppress(HoldfastError, AssertionError):
                case.act(opened([script.over(store) for store in rig.bare]))
            holds(rig, case.changed, done=False, what=what)
            case.act(opened(list(rig.bare)))
            holds(rig, case.changed, done=True, what=f"{what}, and again")
    assert count > case.operations_min


def self_heals(rig: Rig, changed: Mapping[str, bytes | None], what: str) -> None:
    """Afterwards, all sites can be made whole, and any one of them may go."""
    for position in range(3):
        if next(rig.bare[position].list("stripes/layout/"), None) is None:
            assert rebuild_site(opened(list(rig.bare)), position).is_complete, what
    assert heal_stripes(opened(list(rig.bare))).is_complete, what
    assert verify_stripes(opened(list(rig.bare))).is_clean, what
    for position in range(3):
        without = rig.fork()
        without.bare[position] = MemoryStore(name="empty")
        holds(without, changed, done=True, what=f"{what}, without site {position}")


@pytest.mark.parametrize("lose_answer", [False, True])
def test_creating_a_set_goes_on_after_a_crash(lose_answer: bool) -> None:
    begin = unbegun()
    for count in range(1, 100):
        rig = begin.fork()
        script = Faults().lose_answer("*", at=count) if lose_answer else Faults().stop_after(count)
        ended = False
        try:
            create_stripes([script.over(store) for store in rig.bare], 2)
            ended = True
        except (Crash, HoldfastError):
            with suppress(RefusedError):
                create_stripes(rig.bare, 2)
        stripe_packs(opened(list(rig.bare)))
        holds(rig, {}, done=True, what=f"operation {count}")
        self_heals(rig, {}, f"operation {count}")
        if ended:
            break
    assert 6 <= count < 99
