"""Mistakes that somebody could make in collecting, and who is needed to meet them. Each loses data; the machine must
find that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from holdfast.replication.copying.needing import packs_of
from holdfast.testing.cast import DROPPER, OLDER, REPLICATOR, WRITERS, collect_work
from holdfast.testing.machine import Member, Scene
from holdfast.testing.older import HidingStore
from holdfast.vault.collecting import collect as collecting
from holdfast.vault.collecting.safety import NONE, Safety
from holdfast.vault.format.names import PACKS, pack_key

__all__ = ["PLANTED", "Planted", "SOUND"]

HASTY = Safety(fresh=0.0, grace=60.0, listing=60.0, settle=600.0)
"""Delays that are too short for programs that know no leases, and enough for all others."""


class Planted(NamedTuple):
    """A mistake, planted while a context lasts, or in what somebody does or sees."""

    members: Sequence[Member]
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    seed: int = 1  # of the first play
    plays: int = 8  # the budget: so many, each with the next seed, of so many scenes
    scenes: int = 10


def _collect_at_once(scene: Scene, member: Member) -> None:
    """What a naive program does: look what is needed, and delete the rest."""
    handle = scene.open(member, keep=False).handle
    needed = {
        pack_key(pack)
        for one in scene.open(member).snapshots()
        if one.root is not None
        for pack in packs_of(handle, one.root)
    }
    for info in list(handle.store.list(PACKS)):
        if info.key not in needed:
            handle.store.delete(info.key)


@contextmanager
def _method_of_runs(name: str, instead: Callable[..., Any]) -> Iterator[None]:
    run: Any = collecting._Run
    before = getattr(run, name)
    setattr(run, name, instead)
    try:
        yield
    finally:
        setattr(run, name, before)


def _not_marked_again(run: Any, keys: Any) -> list[str]:
    return list(keys)


def _collect_twice(scene: Scene, member: Member, safety: Safety) -> str:
    """What is condemned is deleted soon after: who stands still for a minute meanwhile has done nothing wrong."""
    first = collect_work(scene, member, safety=safety)
    scene.clock.sleep(safety.grace + 1)
    return f"{first}; {collect_work(scene, member, safety=safety)}"


def _collector(safety: Safety, *hidden: str) -> Member:
    return Member(
        "collector", partial(_collect_twice, safety=safety), view=lambda store, clock: HidingStore(store, hidden, clock)
    )


def _writers(*hidden: str) -> tuple[Member, ...]:
    return tuple(writer._replace(view=lambda store, clock: HidingStore(store, hidden, clock)) for writer in WRITERS)


# Six hours are longer than any save takes here: enough for programs that know no leases, as long as it marks again.
_SLOW_COLLECTOR = Member("collector", partial(collect_work, safety=Safety(fresh=0.0, grace=21_600.0)))

PLANTED: Mapping[str, Planted] = {
    "no phases at all": Planted((*WRITERS, DROPPER, Member("collector", _collect_at_once))),
    "no grace for older programs": Planted((OLDER, DROPPER, _collector(NONE)), seed=3),
    "not marked again before deleting": Planted(
        (OLDER, DROPPER, _SLOW_COLLECTOR), partial(_method_of_runs, "_still_unneeded", _not_marked_again), seed=4
    ),
    "leases ignored": Planted((*WRITERS, DROPPER, _collector(HASTY, "leases/")), seed=3),
    "writers who rely on what is condemned": Planted((*_writers("trash/"), DROPPER, _collector(HASTY)), seed=10),
}

SOUND: Mapping[str, Planted] = {
    "hasty, and everybody knows leases": Planted((*WRITERS, DROPPER, REPLICATOR, _collector(HASTY))),
    "six hours for older programs": Planted((OLDER, DROPPER, _SLOW_COLLECTOR)),
    "no delays, and everybody knows leases": Planted((*WRITERS, DROPPER, _collector(NONE))),
}
"""The same without the mistakes: nothing is lost."""
