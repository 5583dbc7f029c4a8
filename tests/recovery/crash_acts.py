"""What crash cases do, and what has to be so after they were done again: retention, holds, quarantine, repair, keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from holdfast.control.vaults.retaining import read_plan
from holdfast.errors import NotFoundError
from holdfast.objectives.retention import DROP, THIN
from holdfast.testing.crashing import World
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import BrokenInvariant, check_is_clean, every_snapshot_restores, read_tree
from holdfast.vault.access.members import rotate_epoch
from holdfast.vault.collecting.collect import CollectOptions, CollectReport, collect
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.format.names import INDEX, THINNED
from holdfast.vault.repairing.repair import repair
from holdfast.vault.restoring.fallback import opened_replica
from holdfast.vault.snapshots.holds import held_by
from holdfast.vault.snapshots.thinning import dropped_components
from holdfast.vault.vault import open_vault

from .crash_worlds import PASSPHRASE, READER, SITE, WRITER, newest, plan_path
from .sample_vault import ASSET

__all__ = ["collect_again"]
__all__ += [
    "retain",
    "retain_again",
    "changing",
    "thinned_or_whole",
    "hold",
    "held",
    "unhold",
    "unhold_again",
    "quarantine",
    "quarantine_again",
    "release",
    "release_again",
]
__all__ += [
    "repair_it",
    "repair_again",
    "no_worse",
    "rotate",
    "rotate_with_passphrase",
    "rotate_again",
    "rotate_again_with_passphrase",
    "members_read",
    "passphrase_reads",
]


def collect_again(world: World) -> CollectReport:
    """Delete what the first collection condemned, rewrite what is mostly dead by now, and delete that, too."""
    return collect(world.open().handle, CollectOptions(NONE, rewrite_below=0.9))


def retain(world: World) -> None:
    world.open().apply_retention(read_plan(plan_path(world)))


def retain_again(world: World) -> None:
    """The same plan once more: what stopped in between goes on where it was, and comes to what the plan says."""
    retain(world)
    plan = read_plan(plan_path(world))
    vault = world.trial.open()
    listed = {one.root.id: one.root for one in vault.snapshots() if one.root is not None}
    dropped = {change.snapshot for change in plan.changes if change.action == DROP}
    if dropped & listed.keys() or world.expected.keys() - dropped - listed.keys():
        raise BrokenInvariant(f"there are {sorted(listed)}, and {sorted(dropped)} were to go")
    for change in plan.changes:
        if change.action == THIN:
            gone = set(dropped_components(vault.handle, listed[change.snapshot]))
            if gone != change.components.keys():
                raise BrokenInvariant(f"{change.snapshot} has given up {gone}, not {change.components.keys()}")
    left = {key.rsplit("/", 2)[1] for key in contents_of(world.vault_store) if key.startswith(THINNED)}
    if left & dropped:
        raise BrokenInvariant(f"thinned records are left of {left & dropped}, which were dropped")


def changing(world: World) -> Collection[str]:
    return {change.snapshot for change in read_plan(plan_path(world)).changes}


def thinned_or_whole(world: World, scratch: Path) -> None:
    """What stays and is to lose a component is whole, or is all but that component."""
    vault = world.trial.open()
    for change in read_plan(plan_path(world)).changes:
        if change.action == DROP:
            continue
        tree = dict(world.expected[change.snapshot])
        if dropped_components(vault.handle, vault.find(change.snapshot)):
            del tree[b"optimizer.npy"]
        every_snapshot_restores(vault, {change.snapshot: tree}, scratch)


def hold(world: World) -> None:
    world.open().hold(newest(world), "for the audit")


def held(world: World) -> None:
    """It is held now, and so retention that would drop everything else leaves it alone."""
    hold(world)
    vault = world.trial.open()
    if [hold.reason for hold in held_by(vault.tags(ASSET), newest(world))] != ["for the audit"]:
        raise BrokenInvariant(f"{newest(world)} is not held")


def unhold(world: World) -> None:
    world.open().unhold(newest(world))


def unhold_again(world: World) -> None:
    try:
        unhold(world)
    except NotFoundError as error:  # it went through, though nobody heard of it
        assert "is not held" in error.message
    if held_by(world.trial.open().tags(ASSET), newest(world)):
        raise BrokenInvariant(f"{newest(world)} is still held")


def quarantine(world: World) -> None:
    world.open().quarantine(newest(world), "it diverged")


def quarantine_again(world: World) -> None:
    """`newest` is set aside, and no pointer leads to it, nor does it lead nowhere."""
    quarantine(world)
    vault = world.trial.open()
    for reference in (ASSET, f"{ASSET}@validated"):
        if vault.find(reference).id not in world.expected.keys() - {newest(world)}:
            raise BrokenInvariant(f"{reference} leads to {vault.find(reference).id}, which is set aside")


def release(world: World) -> None:
    world.open().release(newest(world))


def release_again(world: World) -> None:
    try:
        release(world)
    except NotFoundError as error:
        assert "was not set aside" in error.message
    if newest(world) in world.trial.open().quarantined(ASSET):
        raise BrokenInvariant(f"{newest(world)} is still set aside")


def repair_it(world: World) -> None:
    repair(world.open().handle, [opened_replica(world.open(SITE).handle)])


def repair_again(world: World) -> None:
    """One more repair mends everything; after that there is nothing to be done."""
    repair_it(world)
    vault, replica = world.trial.open(), world.trial.open(store=world.sites[SITE])
    plan = repair(vault.handle, [opened_replica(replica.handle)], dry_run=True).plan
    if not plan.is_empty or plan.losses or plan.unmended:
        raise BrokenInvariant(f"a second repair finds {plan.fixes}, {plan.losses}, {plan.unmended}")


def no_worse(begun: Mapping[str, bytes], world: World, scratch: Path) -> None:
    """Damage is mended or as it was; what was sound is untouched, and so is the replica, from which all restores."""
    replica = world.sites[SITE]
    whole, now = contents_of(replica), contents_of(world.vault_store)
    for key, data in begun.items():
        if whole.get(key) == data and now.get(key) != data and not key.startswith(INDEX):
            raise BrokenInvariant(f"{key} was sound before it was repaired")
    for key in now.keys() & whole.keys():
        if now[key] not in (whole[key], begun.get(key)):
            raise BrokenInvariant(f"{key} holds what neither site had")
    other = world.trial.open(store=replica)
    check_is_clean(other)
    every_snapshot_restores(other, world.expected, scratch)
    vault = world.trial.open()
    listed = {one.root.id for one in vault.snapshots() if one.root is not None}
    here = {one: tree for one, tree in world.expected.items() if one in listed}
    every_snapshot_restores(vault.with_replicas([other]), here, scratch)


def rotate(world: World) -> None:
    rotate_epoch(world.open().handle)


def rotate_with_passphrase(world: World) -> None:
    rotate_epoch(world.open().handle, passphrase=PASSPHRASE)


def rotate_again(world: World) -> None:
    """Whoever could read before reads what is saved from now on; whoever could write still does."""
    rotate(world)
    id_ = world.trial.open().save(ASSET, world.source).root.id
    reader = world.trial.open(world.credentials[READER])
    if len(reader.handle.keys.config.epochs) < 2:
        raise BrokenInvariant("there is no new epoch")
    expected = {**world.expected, id_: read_tree(world.source)}
    every_snapshot_restores(reader, expected, world.memory / "out of reader")
    world.trial.open(world.credentials[WRITER]).save("another", world.source)


def rotate_again_with_passphrase(world: World) -> None:
    rotate_with_passphrase(world)
    id_ = world.trial.open().save(ASSET, world.source).root.id
    reader = open_vault(world.vault_store, None, passphrase=PASSPHRASE)
    expected = {**world.expected, id_: read_tree(world.source)}
    every_snapshot_restores(reader, expected, world.memory / "out of reader")


def members_read(world: World, scratch: Path) -> None:
    """Between any two operations, those who could read everything still do."""
    every_snapshot_restores(world.trial.open(world.credentials[READER]), world.expected, scratch)


def passphrase_reads(world: World, scratch: Path) -> None:
    every_snapshot_restores(open_vault(world.vault_store, None, passphrase=PASSPHRASE), world.expected, scratch)
