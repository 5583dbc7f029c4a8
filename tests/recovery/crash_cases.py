"""What is crashed after each of its operations: every verb that writes, each on the vault that it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import NotFoundError, RefusedError
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.testing.crashing import Act, Points, World, every_crash_point
from holdfast.testing.damage import contents_of
from holdfast.testing.invariants import BrokenInvariant
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE

from . import crash_acts as acts
from . import crash_keys as keys
from . import crash_tiers as tiers
from .crash_worlds import SITE, Worlds, newest
from .sample_vault import ASSET

__all__ = ["CASES", "Case", "Worlds", "run_case"]


def _nothing(world: World) -> Collection[str]:
    return ()


class Case(NamedTuple):
    """`begin`: name of the world. `again`: what must go through afterwards. `gone`: snapshots that need not be whole.

    `look` looks at what else should hold. `meanwhile`, of a world that is damaged: what holds until it was mended,
    given the objects that it began with. `is_dear`: a point takes a second.
    """

    begin: str
    act: Act
    points_min: int
    again: Act | None = None
    gone: Callable[[World], Collection[str]] = _nothing
    look: Callable[[World, Path], None] | None = None
    meanwhile: Callable[[Mapping[str, bytes], World, Path], None] | None = None
    is_dear: bool = False


def _save(world: World) -> None:
    world.open().save(ASSET, world.source, step=3, tags=["new"])


def _replicate(world: World) -> None:
    replicate(world.open().handle, world.store(SITE))


def _mirror(world: World) -> None:
    mirror(world.store(), world.store(SITE))


def _drop(world: World) -> None:
    vault = world.open()
    vault.apply_drop(vault.plan_drop(newest(world)))


def _drop_again(world: World) -> None:
    listed = {one.root.id for one in world.trial.open().snapshots() if one.root is not None}
    if newest(world) in listed:
        _drop(world)


def _tag(world: World) -> None:
    world.open().tag(newest(world), "release")


def _untag(world: World) -> None:
    world.open().untag(ASSET, "kept")


def _untag_again(world: World) -> None:
    try:
        _untag(world)
    except NotFoundError:
        if "kept" in world.trial.open().tags(ASSET):
            raise


def _verify(world: World) -> None:
    world.open().verify(newest(world))


def _verified(world: World, scratch: Path) -> None:
    if world.trial.open().find(f"{ASSET}@validated").id not in world.expected:
        raise BrokenInvariant("`validated` leads to nothing that was saved")


def _admit(world: World) -> None:
    admit_writer(world.open().handle, "somebody")


def _admit_reader(world: World) -> None:
    admit_reader(world.open().handle, "somebody")


def _admitted(admit: Act) -> Act:
    def again(world: World) -> None:
        try:
            admit(world)
        except RefusedError as error:  # it went through, though nobody heard of it
            assert "already" in error.message

    return again


def _revoke(world: World) -> None:
    revoke_signer(world.open().handle, "member")


def _revoke_again(world: World) -> None:
    try:
        _revoke(world)
    except NotFoundError as error:
        assert "no writer" in error.message


def _collect(world: World) -> None:
    collect(world.open().handle, CollectOptions(NONE))


CASES: Mapping[str, Case] = {
    "save, fresh": Case("empty", _save, 15),
    "save, delta": Case("two", _save, 30),
    "save, unchanged": Case("saved", _save, 20),
    "verify": Case("two", _verify, 10, look=_verified),
    "replicate, fresh": Case("two", _replicate, 30),
    "replicate, update": Case("copied", _replicate, 30),
    "mirror": Case("two", _mirror, 20),
    "drop": Case("two", _drop, 5, again=_drop_again, gone=lambda world: {newest(world)}),
    "retention": Case("aged", acts.retain, 35, again=acts.retain_again, gone=acts.changing, look=acts.thinned_or_whole),
    "hold": Case("two", acts.hold, 6, again=acts.held),
    "unhold": Case("held", acts.unhold, 8, again=acts.unhold_again),
    "quarantine": Case("saved", acts.quarantine, 25, again=acts.quarantine_again),
    "release": Case("quarantined", acts.release, 8, again=acts.release_again),
    "repair": Case("broken", acts.repair_it, 60, again=acts.repair_again, meanwhile=acts.no_worse),
    "collect": Case("garbage", _collect, 60),
    "collect, rewriting": Case("sparse", acts.collect_again, 150),
    "move between tiers": Case(
        "aged enough to cool", tiers.move, 200, gone=tiers.left, look=tiers.nowhere_missing, is_dear=True
    ),
    "tag": Case("two", _tag, 3),
    "untag": Case("two", _untag, 3, again=_untag_again),
    "admit a writer": Case("two", _admit, 2, again=_admitted(_admit)),
    "admit a reader": Case("two", _admit_reader, 2, again=_admitted(_admit_reader)),
    "revoke": Case("two", _revoke, 2, again=_revoke_again),
    "rotate": Case("members", acts.rotate, 10, again=acts.rotate_again, look=acts.members_read),
    "add a recipient": Case("members", keys.add, 2, again=keys.add_again, look=keys.keeper_reads),
    "remove a recipient": Case("members", keys.remove, 2, again=keys.remove_again, look=keys.keeper_reads),
    "reseal": Case("rotated", keys.reseal_it, 10, again=keys.reseal_again, look=keys.keeper_reads, is_dear=True),
    "rotate, passphrase": Case(
        "with a passphrase",
        acts.rotate_with_passphrase,
        9,
        again=acts.rotate_again_with_passphrase,
        look=acts.passphrase_reads,
        is_dear=True,
    ),
}


def run_case(name: str, worlds: Worlds, scratch: Path, *, thorough: bool, stride: int = 1) -> Points:
    """Every crash point of one case. Raises BrokenInvariant."""
    case = CASES[name]
    begin = worlds.get(case.begin)
    meanwhile = partial(case.meanwhile, contents_of(begin.vault_store)) if case.meanwhile is not None else None
    points = every_crash_point(
        begin,
        case.act,
        scratch,
        gone=case.gone,
        again=case.again,
        look=case.look,
        meanwhile=meanwhile,
        thorough=thorough,
        stride=stride,
    )
    assert points.operations >= case.points_min, f"{name} has only {points.operations} operations"
    return points
