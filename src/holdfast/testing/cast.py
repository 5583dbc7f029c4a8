"""Who takes part in a `holdfast.testing.machine.Scene`, and what each of them does."""

from __future__ import annotations

from functools import partial

from holdfast.errors import ConflictError, NotFoundError, RefusedError
from holdfast.replication.copying.snapshots import replicate
from holdfast.testing.machine import Member, Scene
from holdfast.testing.older import OlderStore
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import FULL, Safety
from holdfast.vault.vault import Vault

__all__ = [
    "AT_THE_REPLICA",
    "COLLECTOR",
    "DROPPER",
    "OLDER",
    "REPLICATOR",
    "WRITERS",
    "collect_work",
    "drop_work",
    "replicate_work",
    "save_work",
]

_WEIGHTS, _STATES = 4, 8  # contents that come back, also after they were dropped


def save_work(scene: Scene, member: Member) -> str:
    """Save something, partly new and partly what was saved before, as an asset of the writer's own."""
    scene.saves += 1
    new = _STATES + scene.saves
    content = scene.random.randrange(_WEIGHTS), scene.random.choice((scene.random.randrange(_STATES), new))
    report = scene.open(member).save(member.name, scene.blueprint.source(*content))
    scene.committed[report.root.id] = scene.blueprint.tree(*content)
    return report.root.id


def replicate_work(scene: Scene, member: Member) -> str:
    """Copy the vault to the replica."""
    done = replicate(scene.open(member).handle, scene.store(member, "replica"))
    return f"{done.objects} objects"


def drop_work(scene: Scene, member: Member) -> str:
    """Drop some snapshots that nothing forbids to drop."""
    vault = scene.open(member)
    # A save that is under way is left alone, as retention does: its pointers would lead to what was dropped.
    candidates = [one.root.id for one in vault.snapshots() if one.root is not None and one.root.id in scene.committed]
    scene.random.shuffle(candidates)
    wanted = scene.random.randint(1, 4)
    dropped = 0
    for snapshot in candidates:
        dropped += dropped < wanted and _dropped(scene, vault, snapshot)
    return f"dropped {dropped}"


def _dropped(scene: Scene, vault: Vault, snapshot: str) -> bool:
    try:
        plan = vault.plan_drop(snapshot)
    except (RefusedError, NotFoundError):
        return False
    scene.dropping.add(snapshot)
    try:
        vault.apply_drop(plan)
    except (ConflictError, RefusedError):
        scene.dropping.discard(snapshot)  # decided before anything was deleted
        return False
    scene.committed.pop(snapshot, None)
    return True


def collect_work(scene: Scene, member: Member, site: str = "", safety: Safety = FULL) -> str:
    """One run of a collection, with the safety delays that everybody has."""
    report = collect(scene.open(member, site).handle, CollectOptions(safety))
    return f"condemned {report.condemned.objects}, rescued {report.rescued}, deleted {report.deleted.objects}"


WRITERS = (
    Member("left", save_work, clock_ahead=5400.0),
    Member("right", save_work, clock_ahead=-86_400.0),
)
OLDER = Member("older", save_work, view=OlderStore)
REPLICATOR = Member("replicator", replicate_work)
DROPPER = Member("dropper", drop_work)
COLLECTOR = Member("collector", collect_work, clock_ahead=3 * 86_400.0)
AT_THE_REPLICA = Member("collector there", partial(collect_work, site="replica"))
