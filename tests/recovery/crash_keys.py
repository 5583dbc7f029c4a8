"""Crash cases of recipients and of sealing anew: what they do, and what has to be so afterwards."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from holdfast.errors import NotFoundError, RefusedError
from holdfast.testing.crashing import World
from holdfast.testing.invariants import BrokenInvariant, every_snapshot_restores
from holdfast.trust.credentials import Credential
from holdfast.trust.recipient_file import decode_recipient_file, encode_recipient_file
from holdfast.trust.sealing import SealingKey
from holdfast.vault.access.recipients import add_from_file, remove_recipient
from holdfast.vault.access.resealing import reseal
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE

from .crash_worlds import READER

__all__ = ["add", "add_again", "remove", "remove_again", "keeper_reads", "reseal_it", "reseal_again"]

_LABEL = "dr-site"
_OPENER = SealingKey.from_seed(bytes(range(32)))


def add(world: World) -> None:
    vault = world.open()
    add_from_file(vault.handle, decode_recipient_file(encode_recipient_file(vault.id, _LABEL, _OPENER.public), "x"))


def add_again(world: World) -> None:
    """It may have been let in before the crash; then it opens everything."""
    with suppress(RefusedError):
        add(world)
    keepers = world.trial.keeper.keepers
    credential = Credential(
        role="reader", vault_id=world.trial.open().id, label=_LABEL, opener=_OPENER, keepers=keepers
    )
    every_snapshot_restores(world.trial.open(credential), world.expected, world.memory / "out of recipient")


def remove(world: World) -> None:
    remove_recipient(world.open().handle, READER)


def remove_again(world: World) -> None:
    with suppress(NotFoundError):
        remove(world)
    epochs = world.trial.open().handle.keys.config.epochs
    if any(one.label == READER for epoch in epochs for one in epoch.recipients):
        raise BrokenInvariant("the recipient is still there")


def keeper_reads(world: World, scratch: Path) -> None:
    """Between any two operations, the keeper restores everything."""
    every_snapshot_restores(world.trial.open(), world.expected, scratch)


def reseal_it(world: World) -> None:
    reseal(world.open().handle, safety=NONE, batch_bytes=1 << 16)


def reseal_again(world: World) -> None:
    """The next run ends it: one after that finds nothing to do. A collection goes through beside it."""
    reseal_it(world)
    left = reseal(world.trial.open().handle, safety=NONE)
    if left.packs or left.left:
        raise BrokenInvariant(f"{left.packs} packs are left in earlier epochs")
    collect(world.open().handle, CollectOptions(NONE))
    every_snapshot_restores(world.trial.open(), world.expected, world.memory / "out of resealed")
