"""Who was let in, taken out or revoked at one store is so at the others, with no snapshot to bring it along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdfast.errors import StoreUnreachableError, UntrustedError, WrongKeyError
from holdfast.replication.copying.snapshots import replicate
from holdfast.replication.following.rounds import Follower, RoundReport
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory
from holdfast.trust.signing import SigningKey
from holdfast.vault.access.configuration import load_config
from holdfast.vault.access.members import admit_keeper, admit_reader, admit_writer, revoke_signer, rotate_epoch
from holdfast.vault.access.recipients import remove_recipient
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.names import config_key
from holdfast.vault.format.records import encode_record
from holdfast.vault.vault import Vault

SITES = ("use1", "euw4", "aps1")


class Door:
    """A store that can be out of reach."""

    def __init__(self, store: Store) -> None:
        self._store, self.shut = store, False

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        if self.shut and name in ("get", "get_ranges", "head", "list", "folders", "delete", "create", "put"):
            raise StoreUnreachableError("the line is cut")
        return getattr(self._store, name)


class World:
    """A vault whose home is `use1`; one snapshot of it lies at all three stores."""

    def __init__(self, folder: Path) -> None:
        self.doors = {site: Door(LocalStore(folder / site)) for site in SITES}
        self.trial: TrialVault = new_trial_vault(self.doors["use1"])  # type: ignore[arg-type]
        self.vault: Vault = self.trial.open()
        self.vault.save("llama", {"w": np.arange(1000, dtype="f4")}, step=1)
        assert self.round().settled

    def round(self, **routes: object) -> RoundReport:
        stores = [SiteStore(f"{site}/warm", site, door) for site, door in self.doors.items()]  # type: ignore[arg-type]
        route = Route("llama", "use1/warm", ("euw4/warm", "aps1/warm"))._replace(**routes)  # type: ignore[arg-type]
        handle = self.trial.open().handle if not self.doors["use1"].shut else self.vault.handle
        return Follower(handle, stores, [route], patience_s=20, verify=False).run_round()

    def at(self, site: str) -> int:
        """The generation of the configuration that counts there."""
        return load_config(self.doors[site], self.trial.keeper.keepers).config.generation  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "own"):
        yield World(tmp_path)


def test_a_round_with_nothing_to_copy_brings_a_revocation(world: World) -> None:
    admit_writer(world.vault.handle, "gpu-1", keep=lambda credential: None)
    revoke_signer(world.trial.open().handle, "gpu-1")
    assert (world.at("use1"), world.at("euw4")) == (3, 1)
    report = world.round()
    assert report.settled and not report.copied
    assert [(one.store, one.generations, one.error) for one in report.configured] == [
        ("euw4/warm", 2, None),
        ("aps1/warm", 2, None),
    ]
    for site in ("euw4", "aps1"):
        stored = load_config(world.doors[site], world.trial.keeper.keepers)  # type: ignore[arg-type]
        assert [one.revoked is not None for one in stored.config.signers if one.label == "gpu-1"] == [True]
    assert not world.round().configured


def test_what_is_saved_at_a_replica_afterwards_is_closed_to_who_was_removed(world: World) -> None:
    out = admit_reader(world.vault.handle, "auditor", keep=lambda credential: None)
    assert world.round().settled
    there = TrialVault(world.doors["euw4"], world.trial.keeper, world.trial.clock)  # type: ignore[arg-type]
    remove_recipient(world.trial.open().handle, "auditor")
    rotate_epoch(world.trial.open().handle)
    assert world.round().settled
    there.open().save("llama", {"w": np.zeros(1000, dtype="f4")}, step=2)
    with pytest.raises(WrongKeyError, match="opens no epoch"):
        TrialVault(world.doors["euw4"], out, world.trial.clock).open()  # type: ignore[arg-type]


def test_a_site_that_was_away_gets_it_when_it_is_back(world: World) -> None:
    world.doors["aps1"].shut = True
    admit_reader(world.vault.handle, "auditor", keep=lambda credential: None)
    away = world.round()
    assert not away.settled and world.at("euw4") == 2
    world.doors["aps1"].shut = False
    assert world.at("aps1") == 1
    back = world.round()
    assert back.settled and [one.store for one in back.configured] == ["aps1/warm"] and world.at("aps1") == 2


def test_a_new_site_gets_the_newest_even_from_one_that_lies_behind(world: World, tmp_path: Path) -> None:
    """A revocation made while a replica was away; then the home dies, and a site joins that the old replica fills."""
    world.doors["aps1"].shut = True
    admit_writer(world.vault.handle, "gpu-1", keep=lambda credential: None)
    assert world.at("euw4") == 1
    world.doors["aps1"] = Door(LocalStore(tmp_path / "new"))
    replicate(world.trial.open().handle, world.doors["euw4"], asset="none", verify=False)  # type: ignore[arg-type]
    euw4, use1 = TrialVault(world.doors["euw4"], world.trial.keeper, world.trial.clock), world.doors["use1"]  # type: ignore[arg-type]
    assert world.at("euw4") == 2
    use1.shut = True
    stores = [SiteStore(f"{site}/warm", site, door) for site, door in world.doors.items()]  # type: ignore[arg-type]
    route = Route("llama", "use1/warm", ("euw4/warm", "aps1/warm"))
    report = Follower(euw4.open().handle, stores, [route], patience_s=20, verify=False).run_round()
    assert [one.arrived for one in report.copied] and world.at("aps1") == 2


def test_what_was_revoked_at_a_replica_reaches_the_home(world: World) -> None:
    admit_writer(world.vault.handle, "gpu-1", keep=lambda credential: None)
    assert world.round().settled
    world.doors["use1"].shut = True
    there = TrialVault(world.doors["euw4"], world.trial.keeper, world.trial.clock)  # type: ignore[arg-type]
    revoke_signer(there.open().handle, "gpu-1")
    world.round()
    assert world.at("aps1") == 3
    world.doors["use1"].shut = False
    report = world.round()
    assert report.settled and world.at("use1") == 3


def test_two_that_went_on_apart_are_left_alone_and_named(world: World) -> None:
    """A keeper who is revoked at the home goes on at a replica: no other site gets what it writes there."""
    second = admit_keeper(world.vault.handle, "second", keep=lambda credential: None)
    assert world.round().settled
    revoke_signer(world.trial.open().handle, "second")
    thief = TrialVault(world.doors["euw4"], second, world.trial.clock)  # type: ignore[arg-type]
    admit_writer(thief.open().handle, "evil", keep=lambda credential: None)
    admit_writer(thief.open().handle, "worse", keep=lambda credential: None)
    before = world.doors["euw4"].get(config_key(4))
    report = world.round()
    assert not report.settled and report.left.outdated
    [failed] = [one for one in report.configured if one.store == "euw4/warm"]
    assert failed.error is not None and "configured by itself" in failed.error.message
    assert world.at("use1") == 3 == world.at("aps1") and world.doors["euw4"].get(config_key(4)) == before
    stored = load_config(world.doors["aps1"], world.trial.keeper.keepers)  # type: ignore[arg-type]
    assert [one.label for one in stored.config.signers if one.revoked is None] == ["keeper"]


def test_what_nobody_signed_goes_nowhere(world: World) -> None:
    """Whoever may only add to a store puts an object there that looks like the next generation."""
    stranger = new_trial_vault(MemoryStore())
    admit_writer(stranger.open().handle, "x", keep=lambda credential: None)
    world.doors["euw4"].create(config_key(2), stranger.store.get(config_key(2)))
    report = world.round()
    assert not report.settled
    assert (world.at("use1"), world.at("aps1")) == (1, 1)


def test_a_higher_generation_of_no_keeper_of_the_vault_is_named(world: World) -> None:
    second = admit_keeper(world.vault.handle, "second", keep=lambda credential: None)
    revoke_signer(world.trial.open().handle, "second")
    assert world.round().settled
    config = msgspec.structs.replace(world.trial.open().handle.keys.config, generation=4)
    assert isinstance(second.signer, SigningKey)
    body = write_config(
        world.vault.handle.keys.vault, config.suite, config_key(4), encode_record(config), second.signer
    )
    world.doors["euw4"].create(config_key(4), body)
    report = world.round()
    [one] = report.configured
    assert one.store == "euw4/warm" and isinstance(one.error, UntrustedError) and not report.settled
    assert (world.at("use1"), world.at("aps1")) == (3, 3)


def test_a_store_that_only_gives_is_not_written_to(world: World) -> None:
    admit_reader(world.vault.handle, "auditor", keep=lambda credential: None)
    report = world.round(targets=("euw4/warm",), givers=("aps1/warm",))
    assert report.settled and (world.at("euw4"), world.at("aps1")) == (2, 1)
