"""What is crashed after each of its operations: every verb that writes, each on the vault that it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.replication.copying import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.crashing import Act, Points, World, every_crash_point
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import BrokenInvariant, read_tree
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE

from .sample_vault import ASSET, train, write_state

__all__ = ["CASES", "Case", "Worlds", "run_case"]

_PACK_BYTES = 24 << 10
SITE = "replica"


class Worlds:
    """Vaults to begin with, each made once below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, World] = {}

    def get(self, name: str) -> World:
        if name not in self._made:
            make = {
                "empty": self._empty,
                "two": self._two,
                "saved": self._saved,
                "copied": self._copied,
                "garbage": self._garbage,
            }[name]
            folder = self._folder / name
            folder.mkdir(parents=True)
            with own_memory(folder / "memory"):
                self._made[name] = make(folder)
        return self._made[name]

    def _empty(self, folder: Path) -> World:
        """No snapshot; a source."""
        source = folder / "source"
        source.mkdir()
        write_state(source, seed=1)
        trial = new_trial_vault(MemoryStore(), pack_bytes=_PACK_BYTES)
        return World(trial, ASSET, source, folder / "memory", {})

    def _two(self, folder: Path) -> World:
        """Two snapshots (the first is tagged and validated, the second neither), the source of a third, two members."""
        world = self._empty(folder)
        admit_writer(world.trial.open().handle, "member")
        expected = {self._save(world, step=1, tags=["kept"]): read_tree(world.source)}
        train(world.source, seed=1)
        expected[self._save(world, step=2, verify=False)] = read_tree(world.source)
        train(world.source, seed=2)
        world.expected = expected
        world.sites = {SITE: MemoryStore()}
        return world

    def _saved(self, folder: Path) -> World:
        """The same, and the third one saved: the source is as it was."""
        world = self._two(folder)
        world.expected = {**world.expected, self._save(world, step=3): read_tree(world.source)}
        return world

    def _copied(self, folder: Path) -> World:
        """The same, copied to a site before the third was saved."""
        world = self._two(folder)
        site = MemoryStore()
        replicate(world.trial.open().handle, site)
        world.expected = {**world.expected, self._save(world, step=3): read_tree(world.source)}
        world.sites = {SITE: site}
        return world

    def _garbage(self, folder: Path) -> World:
        """Three snapshots, of which the newest but one was dropped; and packs of a save that died before its root."""
        world = self._saved(folder)
        vault = world.trial.open()
        middle = sorted(world.expected)[1]
        vault.apply_drop(vault.plan_drop(middle))
        world.expected = {one: tree for one, tree in world.expected.items() if one != middle}
        state = world.source / "rng_state.bin"
        kept = state.read_bytes()
        state.write_bytes(bytes(reversed(kept)))
        with suppress(HoldfastError):
            world.trial.open(
                store=FaultyStore(world.vault_store, Faults().fail("create", matching="snapshots/*"))
            ).save(ASSET, world.source)
        state.write_bytes(kept)
        return world

    @staticmethod
    def _save(world: World, *, step: int, tags: Collection[str] = (), verify: bool = True) -> str:
        return world.trial.open().save(ASSET, world.source, step=step, tags=tuple(tags), verify=verify).root.id


def _nothing(world: World) -> Collection[str]:
    return ()


class Case(NamedTuple):
    """`begin`: name of the world. `again`: what must go through afterwards. `gone`: snapshots that may be gone."""

    begin: str
    act: Act
    points_min: int
    again: Act | None = None
    gone: Callable[[World], Collection[str]] = _nothing
    look: Callable[[World, Path], None] | None = None


def _save(world: World) -> None:
    world.open().save(ASSET, world.source, step=3, tags=["new"])


def _replicate(world: World) -> None:
    replicate(world.open().handle, world.store(SITE))


def _mirror(world: World) -> None:
    mirror(world.store(), world.store(SITE))


def _newest(world: World) -> str:
    return max(world.expected)


def _drop(world: World) -> None:
    vault = world.open()
    vault.apply_drop(vault.plan_drop(_newest(world)))


def _drop_again(world: World) -> None:
    listed = {one.root.id for one in world.trial.open().snapshots() if one.root is not None}
    if _newest(world) in listed:
        _drop(world)


def _tag(world: World) -> None:
    world.open().tag(_newest(world), "release")


def _untag(world: World) -> None:
    world.open().untag(ASSET, "kept")


def _untag_again(world: World) -> None:
    try:
        _untag(world)
    except NotFoundError:
        if "kept" in world.trial.open().tags(ASSET):
            raise


def _verify(world: World) -> None:
    world.open().verify(_newest(world))


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
    "drop": Case("two", _drop, 5, again=_drop_again, gone=lambda world: {_newest(world)}),
    "collect": Case("garbage", _collect, 60),
    "tag": Case("two", _tag, 3),
    "untag": Case("two", _untag, 3, again=_untag_again),
    "admit a writer": Case("two", _admit, 2, again=_admitted(_admit)),
    "admit a reader": Case("two", _admit_reader, 2, again=_admitted(_admit_reader)),
    "revoke": Case("two", _revoke, 2, again=_revoke_again),
}


def run_case(name: str, worlds: Worlds, scratch: Path, *, thorough: bool, stride: int = 1) -> Points:
    """Every crash point of one case. Raises BrokenInvariant."""
    case = CASES[name]
    points = every_crash_point(
        worlds.get(case.begin),
        case.act,
        scratch,
        gone=case.gone,
        again=case.again,
        look=case.look,
        thorough=thorough,
        stride=stride,
    )
    assert points.operations >= case.points_min, f"{name} has only {points.operations} operations"
    return points
