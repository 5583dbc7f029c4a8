"""What somebody who may only add to the stores can do to the journal of a run: cost it places, and nothing else."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.recovering.seals import VaultSeal
from holdfast.control.recovering.signers import Signers
from holdfast.errors import RefusedError, StoreUnreachableError, UntrustedError
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, encode_entry
from holdfast.recovery.journal.journal import Journal
from holdfast.replication.copying.snapshots import mirror
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_keeper, admit_writer, revoke_signer
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys

RUN = "a" * 20


class World:
    """A vault at up to three stores, a trainer's key, and a run that a control plane has."""

    def __init__(self, stores: list[Store]) -> None:
        self.stores = stores
        self.trial: TrialVault = new_trial_vault(stores[0])
        self.trainer = admit_writer(self.trial.open().handle, "gpu-1")
        for other in stores[1:]:
            mirror(stores[0], other)
        self.journal = self.of()
        self.journal.append(Deed.PLANNED, plan="{}")
        self.journal.append(Deed.TAKEN)

    def of(self, by: str = "plane:1", keys: VaultKeys | None = None) -> Journal:
        named = {store.url: store for store in self.stores}
        seal = VaultSeal(keys or self.trial.open().handle.keys, Signers(named))
        return Journal(RUN, self.stores, seal, by)

    def keys(self, credential: Credential | None = None, store: int = 0) -> VaultKeys:
        return self.trial.open(credential, store=self.stores[store]).handle.keys

    def put(self, number: int, data: bytes, at: int) -> None:
        self.stores[at].create(f"runs/{RUN}/{number:010d}", data)

    def signed(self, credential: Credential, number: int, **said: object) -> bytes:
        """A document like an entry, by whoever has that key; the record is one of a seal, or garbage."""
        name = f"runs/{RUN}/{number:010d}"
        keys = self.keys(credential)
        if not said:
            return write_document(keys, Kind.LEASE, name, b"garbage")
        entry = Entry(run=RUN, number=number, before=FIRST, deed=Deed.STOPPED, by=credential.label, at=0)
        import zstandard

        packed = zstandard.ZstdCompressor(write_content_size=True).compress(encode_entry(entry))
        return write_document(keys, Kind.LEASE, name, packed)

    def goes_on(self, *, same: bool = True) -> None:
        """The control plane writes on, and others read the same."""
        self.journal.append(Deed.BEGUN, step="x", attempt=1)
        other = self.of("plane:2")
        state = other.read()
        assert (state.owner, state.stopped, state.steps["x"].attempts) == ("plane:1", False, 1)
        if same:
            read = [one.data for one in other.stored]
            assert read[: len(self.journal.stored)] == [one.data for one in self.journal.stored]


@pytest.fixture(params=[1, 2, 3])
def world(request: pytest.FixtureRequest) -> World:
    return World([MemoryStore(name=name) for name in "abc"[: request.param]])


Vandal = Callable[[World, int, int], bytes]
VANDALS: dict[str, Vandal] = {
    "bytes": lambda world, number, at: b"garbage at %d" % at,
    "nothing at all": lambda world, number, at: b"",
    "a trainer's document": lambda world, number, at: world.signed(world.trainer, number),
    "a trainer's entry": lambda world, number, at: world.signed(world.trainer, number, deed="stopped"),
    "a stranger's": lambda world, number, at: stranger(world, number),
}


def stranger(world: World, number: int) -> bytes:
    """Of somebody who has the vault's id alone, from the names of its objects."""
    other = new_trial_vault(MemoryStore())
    from dataclasses import replace

    keys = replace(other.open().handle.keys, vault=world.keys().vault)
    return write_document(keys, Kind.LEASE, f"runs/{RUN}/{number:010d}", b"x")


@pytest.mark.parametrize("vandal", list(VANDALS.values()), ids=list(VANDALS))
def test_the_next_places_are_taken_at_all_stores(world: World, vandal: Vandal) -> None:
    number = len(world.journal.stored)
    for place in (number, number + 1, number + 3):  # and a place beyond the one that is free
        for at in range(len(world.stores)):
            world.put(place, vandal(world, place, at), at)
    world.goes_on()
    assert [one.entry is not None for one in world.journal.stored] == [True, True, False, False, True]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_next_place_is_taken_at_one_store(at: int) -> None:
    for count in range(at + 1, 4):
        world = World([MemoryStore(name=name) for name in "abc"[:count]])
        number = len(world.journal.stored)
        world.put(number, world.signed(world.trainer, number), at)
        world.goes_on()
        assert len(world.journal.stored) == (3 if count == 3 else 4), "with three stores it does not even cost a place"


def test_places_far_ahead_and_names_that_are_none(world: World) -> None:
    for at in range(len(world.stores)):
        world.put(9_999_999_999, b"x", at)
        world.put(500, world.signed(world.trainer, 500), at)
        world.stores[at].create(f"runs/{RUN}/nonsense", b"x")
        world.stores[at].create(f"runs/{RUN}/0000000002/deeper", b"x")
    world.goes_on()
    assert len(world.journal.stored) == 3


def test_objects_that_are_too_large_are_not_fetched(tmp_path: Path) -> None:
    world = World([LocalStore(tmp_path / name) for name in "abc"])
    number = len(world.journal.stored)
    for name in "abc":
        place = tmp_path / name / "runs" / RUN / f"{number:010d}"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            os.truncate(file.fileno(), 16 << 30)  # a hole: more than there is memory
    tracemalloc.start()
    try:
        world.goes_on()
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
        for name in "abc":
            (tmp_path / name / "runs" / RUN / f"{number:010d}").unlink()


def test_thousands_of_places_in_a_row() -> None:
    many = 10_000 if os.environ.get("HOLDFAST_LONG") else 1_500
    world = World([MemoryStore(name=name) for name in "abc"])
    number = len(world.journal.stored)
    for place in range(number, number + many):
        for at in range(3):
            world.put(place, b"%d" % at, at)
    world.goes_on()
    assert len(world.journal.stored) == many + 3


def test_a_keeper_that_was_revoked_blocks_nothing_and_says_nothing() -> None:
    world = World([MemoryStore(name=name) for name in "abc"])
    thief = admit_keeper(world.trial.open().handle, "thief")
    for store in world.stores[1:]:
        mirror(world.stores[0], store)
    old = world.keys(thief)
    revoke_signer(world.trial.open().handle, "thief")
    stolen = world.of("plane:9", old)
    stolen.read()
    stolen.append(Deed.TAKEN)  # on a machine that has not heard of it
    stolen.spoken_by("thief").append(Deed.STOPPED)
    world.journal = world.of()
    assert world.journal.read().owner == "plane:1"
    world.goes_on()


def test_a_keeper_whom_a_reader_does_not_know_yet_is_obeyed() -> None:
    """And whom the journal's stores did not know: who writes brings the configuration to a majority of them first."""
    world = World([MemoryStore(name=name) for name in "abc"])
    reader = world.of("plane:2")
    reader.read()
    new = admit_keeper(world.trial.open().handle, "new")  # known at the first store alone
    late = world.of("new", world.keys(new))
    late.read()
    late.append(Deed.STOPPED)
    assert reader.read().stopped, "it knew an older configuration"
    assert world.keys(new, 1).config.generation == world.keys(new, 2).config.generation == 3
    assert world.of("x", world.keys(store=2)).read().stopped


def test_where_too_few_stores_say_who_is_a_keeper_nobody_decides() -> None:
    class Mute(MemoryStore):
        mute = False

        def list(self, prefix: str, after: str = ""):  # type: ignore[no-untyped-def]
            if self.mute and prefix.startswith("config"):
                raise StoreUnreachableError("no answer")
            return super().list(prefix, after)

    stores = [Mute(name=name) for name in "abc"]
    world = World(list(stores))
    number = len(world.journal.stored)
    for at in range(3):
        world.put(number, stranger(world, number), at)
    reader = world.of("plane:2")
    stores[1].mute = stores[2].mute = True
    with pytest.raises(StoreUnreachableError, match="whose signatures count"):
        reader.read()
    stores[1].mute = False
    assert reader.read().owner == "plane:1" and len(reader.stored) == 3
    new = admit_keeper(world.trial.open().handle, "new")
    late = world.of("new", world.keys(new))
    late.read()
    stores[1].mute = True
    with pytest.raises(StoreUnreachableError, match="know the keeper"):
        late.append(Deed.STOPPED)


def test_a_keeper_who_speaks_in_anothers_name_stays_loud() -> None:
    """That is no vandal, but a member who may decide: people have to look."""
    world = World([MemoryStore(name="a")])
    admitted = admit_keeper(world.trial.open().handle, "bela")
    liar = world.of("keeper", world.keys(admitted))
    liar.read()
    with pytest.raises((UntrustedError, RefusedError)):
        liar.append(Deed.APPROVED, text="x", until=SYSTEM_CLOCK.now_ns())
    with pytest.raises(UntrustedError, match="speaks for"):
        world.of("plane:2").read()
