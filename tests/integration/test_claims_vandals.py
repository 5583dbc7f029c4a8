"""What somebody who may only add to the stores can do to the claims of runs that begin by themselves."""

from __future__ import annotations

import os
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from incident_world import NAMES, World

from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.incidents.claims import CLAIMS, Claim, Claims
from holdfast.control.incidents.watching import Watch
from holdfast.errors import DamageError, HoldfastError, RefusedError, StoreUnreachableError
from holdfast.stores.local import LocalStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_keeper, admit_writer, revoke_signer
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.vault import open_vault


class Acme:
    """An organisation that watches with two machines, a trainer's key, and what lies at its three stores."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        probe = {"kind": "tcp", "address": "127.0.0.1:9", "fault_site": "home", "asset": "run"}
        automatic = {"when": "trainer", "wait": "0s", "target": str(folder / "back"), "at_most": 3, "cooldown": "0s"}
        recovery = {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["second"], "automatic": automatic}
        detect = {"quorum": 1, "at_most": 3, "probes": {"trainer": probe}}
        self.world.declare(detect=detect, recoveries={"failover": recovery})
        self.vault = Watch(self.world.machine("keeper"), acts=False).vault
        self.trainer = admit_writer(self.vault.handle, "gpu-1")
        self.keys = self.newest()

    def keys_of(self, credential: Credential) -> VaultKeys:
        """As the first store knows its members now."""
        return open_vault(LocalStore(self.world.folder / "home"), credential).handle.keys

    def newest(self) -> VaultKeys:
        return replace(self.vault.handle.keys, config=self.keys_of(self.trainer).config)

    def claims(self, keys: VaultKeys | None = None, machine: str = "keeper") -> Claims:
        return Claims(self.world.machine(machine), keys or self.keys, SYSTEM_CLOCK)

    def place(self, number: int, at: int) -> Path:
        return self.world.folder / NAMES[at] / f"{CLAIMS}{number:010d}"

    def put(self, number: int, data: bytes, at: int) -> None:
        place = self.place(number, at)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def signed(self, keys: VaultKeys, number: int, **said: object) -> bytes:
        """Like a claim, with whatever key."""
        claim = {"recovery": "failover", "incident": "i", "plan": "p", "by": keys.label, "at": SYSTEM_CLOCK.now_ns()}
        body = msgspec.json.encode(claim | said)
        return write_document(keys, Kind.LEASE, f"{CLAIMS}{number:010d}", body)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Acme:
    return Acme(tmp_path_factory.mktemp("acme"))


@pytest.fixture
def acme(founded: Acme) -> Iterator[Acme]:
    """With no claims yet."""
    yield founded
    for name in NAMES:
        shutil.rmtree(founded.world.folder / name / "automatic", ignore_errors=True)


def _stranger(acme: Acme, number: int) -> bytes:
    other = new_trial_vault(MemoryStore()).open().handle.keys
    return write_document(replace(other, vault=acme.keys.vault), Kind.LEASE, f"{CLAIMS}{number:010d}", b"x")


VANDALS: dict[str, Callable[[Acme, int, int], bytes]] = {
    "bytes": lambda acme, number, at: b"garbage at %d" % at,
    "nothing at all": lambda acme, number, at: b"",
    "a trainer's claim": lambda acme, number, at: acme.signed(acme.keys_of(acme.trainer), number),
    "a stranger's": lambda acme, number, at: _stranger(acme, number),
}


def _begins_once(acme: Acme, incident: str = "i") -> None:
    """One run begins for the incident, whoever asks; both read the same."""
    made = acme.claims().claim("failover", incident, f"plan of {incident}")
    other = acme.claims(machine="ann")
    assert other.of("failover", incident) == made and other.within_limits(made.plan) == made
    with pytest.raises(RefusedError, match=r"one incident, one run|3 began by themselves"):
        other.claim("failover", incident, "another plan")
    assert len(other.read()) == len(acme.claims().read())


@pytest.mark.parametrize("vandal", list(VANDALS.values()), ids=list(VANDALS))
def test_the_next_places_are_taken_at_all_stores(acme: Acme, vandal: Callable[[Acme, int, int], bytes]) -> None:
    for number in (0, 1, 3):
        for at in range(3):
            acme.put(number, vandal(acme, number, at), at)
    for incident in ("i", "j", "k"):
        _begins_once(acme, incident)
    with pytest.raises(RefusedError, match="3 began by themselves"):
        acme.claims().claim("failover", "l", "x")
    assert [acme.place(number, 0).exists() for number in range(6)] == [True] * 6


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_next_place_is_taken_at_one_store(acme: Acme, at: int) -> None:
    acme.put(0, acme.signed(acme.keys_of(acme.trainer), 0), at)
    _begins_once(acme)
    assert not acme.place(1, 1).exists(), "it does not even cost a place"


def test_places_far_ahead_and_names_that_are_none(acme: Acme) -> None:
    for at in range(3):
        for number in (500, 9_999_999_999):
            acme.put(number, b"x", at)
        acme.place(0, at).with_name("nonsense").write_bytes(b"x")
    _begins_once(acme)


def test_objects_that_are_too_large_are_not_fetched(acme: Acme) -> None:
    for at in range(3):
        acme.put(0, b"", at)
        os.truncate(acme.place(0, at), 16 << 30)  # a hole: more than there is memory
    tracemalloc.start()
    try:
        _begins_once(acme)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_many_places_in_a_row(acme: Acme) -> None:
    many = 10_000 if os.environ.get("HOLDFAST_LONG") else 200
    for number in range(many):
        for at in range(3):
            acme.put(number, b"%d" % at, at)
    _begins_once(acme)
    assert acme.place(many, 0).exists()


def test_a_keeper_that_was_revoked_takes_no_place(acme: Acme) -> None:
    old = acme.keys_of(admit_keeper(acme.vault.handle, "thief"))
    revoke_signer(acme.vault.handle, "thief")
    for at in range(3):
        acme.put(0, acme.signed(old, 0), at)
        acme.put(1, acme.signed(old, 1, nonsense=True), at)
    now = acme.newest()
    assert acme.claims(now).read() == []
    assert acme.claims(now).claim("failover", "i", "p").by == now.label
    assert acme.claims(now).problem("failover") == ""


def test_a_keeper_whom_a_reader_does_not_know_yet_counts(acme: Acme) -> None:
    """Else its run, and one of that reader's, would begin for the same incident."""
    reader = acme.claims()
    new = acme.keys_of(admit_keeper(acme.vault.handle, "new"))  # known at the first store alone
    made = acme.claims(new).claim("failover", "i", "p")
    assert reader.of("failover", "i") == made
    with pytest.raises(RefusedError, match="one incident, one run"):
        reader.claim("failover", "i", "q")


def test_where_nobody_can_tell_who_is_a_keeper_nothing_begins(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(3):
        acme.put(0, _stranger(acme, 0), at)
    listing = LocalStore.list

    def silent(store: LocalStore, prefix: str, after: str = "") -> object:
        if prefix.startswith("config") and not store.url.endswith("home"):
            raise StoreUnreachableError("no answer")
        return listing(store, prefix, after)

    with monkeypatch.context() as mute:
        mute.setattr(LocalStore, "list", silent)
        with pytest.raises(StoreUnreachableError, match=r"cannot be known: .*whose signatures count"):
            acme.claims().claim("failover", "i", "p")
    _begins_once(acme)


def test_what_a_keeper_signed_and_this_version_cannot_read_lets_nothing_begin(acme: Acme) -> None:
    for at in range(3):
        acme.put(0, acme.signed(acme.keys, 0, more="of a later version"), at)
    with pytest.raises(DamageError, match="a keeper signed it"):
        acme.claims().claim("failover", "i", "p")


def test_two_that_claim_at_once_among_rubbish_begin_one_run(acme: Acme) -> None:
    for number in range(0, 8, 2):
        acme.put(number, b"rubbish", number % 3)
    began, refused = [], []

    def claim(by: Claims) -> None:
        try:
            began.append(by.claim("failover", "i", "p"))
        except HoldfastError as error:
            refused.append(error)

    threads = [threading.Thread(target=claim, args=(acme.claims(machine=name),)) for name in ("keeper", "ann") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1 and len(refused) == 5, refused
    assert [one for one in acme.claims().read() if isinstance(one, Claim)] == began
