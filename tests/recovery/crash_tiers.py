"""The mover of tiers as a crash case: older snapshots go from the hot store to the warm one, and are dropped there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from holdfast.errors import StoreUnreachableError
from holdfast.replication.tiering.moving import carry_out
from holdfast.replication.tiering.planning import plan_tiers
from holdfast.stores.memory import MemoryStore
from holdfast.testing.crashing import World
from holdfast.testing.invariants import BrokenInvariant
from holdfast.vault.handle import Handle

from .crash_worlds import SITE
from .sample_vault import ASSET
from .tier_worlds import COLD, HOT, WARM, facts_of

__all__ = ["left", "move", "nowhere_missing"]


def move(world: World) -> None:
    """Gather, plan as of in ten days, carry out. What is held back is an answer that was lost."""
    keys = world.trial.open().handle.keys
    opened = {HOT: Handle(world.store(), keys), WARM: Handle(world.store(SITE), keys)}
    opened[COLD] = Handle(MemoryStore(name="cold"), keys)
    facts = facts_of(opened, (ASSET,), days_later=10)
    done = carry_out(plan_tiers(facts), facts, opened)
    for why in done.held.values():
        raise StoreUnreachableError(why)


def left(world: World) -> Collection[str]:
    """What the hot store does not have any more: it need not be whole there."""
    return world.expected.keys() - _roots(world.vault_store)


def nowhere_missing(world: World, scratch: Path) -> None:
    """Each snapshot has its root at one store or the other: what lies there restores (`everything_holds`)."""
    lost = world.expected.keys() - _roots(world.vault_store) - _roots(world.sites[SITE])
    if lost:
        raise BrokenInvariant(f"{sorted(lost)} lie nowhere any more")


def _roots(store: MemoryStore) -> set[str]:
    return {info.key.rpartition("/")[2] for info in store.list("snapshots/")}
