"""The vaults that crash cases begin with, each made once and copied for each point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from holdfast.control.vaults.retaining import write_plan
from holdfast.errors import HoldfastError
from holdfast.objectives.retention import DROP, THIN
from holdfast.objectives.retention_policy import parse_policy
from holdfast.objectives.retention_rules import Policy
from holdfast.replication.copying.snapshots import mirror, replicate
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.crashing import World
from holdfast.testing.damage import Delete, Flip, Truncate, contents_of
from holdfast.testing.faults import Faults
from holdfast.testing.invariants import read_tree
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.access.members import admit_reader, admit_writer, rotate_epoch
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import Safety
from holdfast.vault.format.names import INDEX, PACKS, PARTS
from holdfast.vault.snapshots.thinning import give_up

from .sample_vault import ASSET, train, write_state

__all__ = ["PASSPHRASE", "READER", "SITE", "WRITER", "Worlds", "newest", "plan_path"]

_PACK_BYTES = 24 << 10
SITE = "replica"
READER, WRITER = "reader", "writer"
PASSPHRASE = "correct horse"
_POLICY: Policy = parse_policy(
    """
    version: 1
    recent: 0s
    rules:
      - assets: "*"
        keep: {last: 3}
        components:
          optimizer: {last: 1}
    """
)
_WAITING = Safety(fresh=0.0, grace=3600.0, listing=0.0, settle=0.0)
"""What is condemned stays for the collection that comes next."""


def newest(world: World) -> str:
    return max(world.expected)


def plan_path(world: World) -> Path:
    """Where the retention plan of a world lies, that was made of it as it was."""
    return world.source.with_name("plan.json")


class Worlds:
    """Vaults to begin with, each made once below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, World] = {}

    def get(self, name: str) -> World:
        if name not in self._made:
            folder = self._folder / name
            folder.mkdir(parents=True)
            with own_memory(folder / "memory"):
                self._made[name] = _MAKE[name](folder)
        return self._made[name]


def _empty(folder: Path, *, passphrase: str | None = None) -> World:
    """No snapshot; a source."""
    source = folder / "source"
    source.mkdir()
    write_state(source, seed=1)
    trial = new_trial_vault(MemoryStore(), pack_bytes=_PACK_BYTES, passphrase=passphrase)
    return World(trial, ASSET, source, folder / "memory", {})


def _two(folder: Path, *, passphrase: str | None = None) -> World:
    """Two snapshots (the first is tagged and validated, the second neither), the source of a third, two members."""
    world = _empty(folder, passphrase=passphrase)
    admit_writer(world.trial.open().handle, "member")
    _save(world, step=1, tags=["kept"])
    train(world.source, seed=1)
    _save(world, step=2, verify=False)
    train(world.source, seed=2)
    world.sites = {SITE: MemoryStore()}
    return world


def _saved(folder: Path) -> World:
    """The same, and the third one saved: the source is as it was."""
    world = _two(folder)
    _save(world, step=3)
    return world


def _copied(folder: Path) -> World:
    """The same, copied to a site before the third was saved."""
    world = _two(folder)
    site = MemoryStore()
    replicate(world.trial.open().handle, site)
    _save(world, step=3)
    world.sites = {SITE: site}
    return world


def _garbage(folder: Path) -> World:
    """Three snapshots, of which the newest but one was dropped; and packs of a save that died before its root."""
    world = _saved(folder)
    _drop(world, sorted(world.expected)[1])
    state = world.source / "rng_state.bin"
    kept = state.read_bytes()
    state.write_bytes(bytes(reversed(kept)))
    with suppress(HoldfastError):
        world.trial.open(store=FaultyStore(world.vault_store, Faults().fail("create", matching="snapshots/*"))).save(
            ASSET, world.source
        )
    state.write_bytes(kept)
    return world


def _aged(folder: Path) -> World:
    """Six snapshots, and a plan that drops and thins; one that is dropped has given up a component before."""
    world = _empty(folder)
    for step in range(1, 7):
        _save(world, step=step)
        train(world.source, seed=2 * step - 1)  # the optimizer changes every time
    vault = world.trial.open()
    give_up(vault.handle, vault.find(min(world.expected)), ["optimizer"], "by hand")
    plan = vault.plan_retention(_POLICY)
    assert Counter(change.action for change in plan.changes) == {DROP: 3, THIN: 2}, plan.changes
    write_plan(plan, plan_path(world))
    return world


def _held(folder: Path) -> World:
    """The newest of three snapshots is held."""
    world = _saved(folder)
    world.trial.open().hold(newest(world), "for the audit")
    return world


def _quarantined(folder: Path) -> World:
    """The newest of three snapshots was set aside; the pointers moved to the one before."""
    world = _saved(folder)
    world.trial.open().quarantine(newest(world), "it diverged")
    return world


def _broken(folder: Path) -> World:
    """A vault with a replica, and damage of every kind that repairing mends. `before` is what it was."""
    world = _saved(folder)
    site = MemoryStore(name="second")
    mirror(world.vault_store, site)
    world.sites = {SITE: site}
    store, vault = world.vault_store, world.trial.open()
    keys = sorted(contents_of(store))
    packs = [key for key in keys if key.startswith(PACKS)]
    root = vault.find(newest(world))
    first, second = sorted(key for key in keys if key.startswith(PARTS))[:2]
    indexes = [key for key in keys if key.startswith(INDEX)]
    for damage in (
        Flip(packs[0], 700),
        Delete(packs[1]),
        Truncate(packs[2], 900),
        Delete(vault.handle.keys.names.snapshot_key(ASSET, root.id)),  # type: ignore[arg-type]  # of a snapshot
        Flip(indexes[0], 90),
        Delete(indexes[1]),
        Delete(first),
        Truncate(second, 50),
    ):
        damage.apply(store)
    return world


def _sparse(folder: Path) -> World:
    """Packs that are mostly dead, and chunks that lie in two packs; a first collection has condemned what it could."""
    world = _empty(folder)
    for step in range(1, 5):
        if step > 2:  # what later snapshots have, too: of what this save has indexed, something stays
            (world.source / f"frozen {step}.bin").write_bytes(Random(step).randbytes(2 * _PACK_BYTES))
        _save(world, step=step)
        train(world.source, seed=step)
    _save_twice(world)
    for snapshot in sorted(world.expected)[1:3]:
        _drop(world, snapshot)
    done = collect(world.trial.open().handle, CollectOptions(_WAITING, rewrite_below=0.9))
    assert done.condemned.objects and done.rewritten.objects and not done.deleted.objects, done
    # What the second one finds besides: a snapshot more is gone, and most of what it alone had.
    _drop(world, sorted(world.expected)[1])
    return world


def _save_twice(world: World) -> None:
    """Two programs save the same content, neither of which sees what the other one stores."""
    programs = [world.trial.open() for _ in range(2)]
    for program in programs:
        len(program.handle.index)  # as it is now
    for number, program in enumerate(programs):
        with own_memory(world.memory.with_name(f"memory of program {number}")):
            id_ = program.save(ASSET, world.source, step=10 + number).root.id
        world.expected = {**world.expected, id_: read_tree(world.source)}


def _cooling(folder: Path) -> World:
    """Three snapshots at the hot store, each read back by this machine; the warm one is empty."""
    world = _empty(folder)
    for step in range(1, 4):
        _save(world, step=step)
        train(world.source, seed=step)
    world.sites = {SITE: MemoryStore(name="warm")}
    return world


def _members(folder: Path) -> World:
    """Two snapshots; one who reads and one who writes were let in."""
    world = _two(folder)
    handle = world.trial.open().handle
    world.credentials = {READER: admit_reader(handle, READER)}
    world.credentials |= {WRITER: admit_writer(world.trial.open().handle, WRITER)}
    return world


def _rotated(folder: Path) -> World:
    """Two snapshots, and keys that are newer than both."""
    world = _two(folder)
    rotate_epoch(world.trial.open().handle)
    return world


def _with_passphrase(folder: Path) -> World:
    """Two snapshots of a vault that opens by a passphrase, too."""
    return _two(folder, passphrase=PASSPHRASE)


def _save(world: World, *, step: int, tags: Collection[str] = (), verify: bool = True) -> None:
    saved = world.trial.open().save(ASSET, world.source, step=step, tags=tuple(tags), verify=verify)
    world.expected = {**world.expected, saved.root.id: read_tree(world.source)}


def _drop(world: World, snapshot: str) -> None:
    vault = world.trial.open()
    vault.apply_drop(vault.plan_drop(snapshot))
    world.expected = {one: tree for one, tree in world.expected.items() if one != snapshot}


_MAKE: Mapping[str, Callable[[Path], World]] = {
    "empty": _empty,
    "two": _two,
    "saved": _saved,
    "copied": _copied,
    "garbage": _garbage,
    "aged": _aged,
    "held": _held,
    "quarantined": _quarantined,
    "broken": _broken,
    "sparse": _sparse,
    "aged enough to cool": _cooling,
    "members": _members,
    "rotated": _rotated,
    "with a passphrase": _with_passphrase,
}
