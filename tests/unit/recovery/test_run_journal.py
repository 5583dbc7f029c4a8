"""A run's journal: durable at a majority, one owner at a time, and every forgery found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.clock import ManualClock
from holdfast.errors import (
    DamageError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    StoreUnreachableError,
    UntrustedError,
)
from holdfast.recovery.journal.entries import FIRST, Deed, Entry, decode_entry, encode_entry
from holdfast.recovery.journal.journal import Journal, new_plane
from holdfast.recovery.journal.slots import Slots
from holdfast.recovery.journal.state import StepPhase, run_state
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.stores.readonly import ReadOnlyStore
from holdfast.trust.signing import SIGNATURE_SIZES, SigningKey, verify


class Signed:
    """Ed25519 over the name and the body, and a nonce, so that sealing twice gives other bytes."""

    def __init__(self, key: SigningKey | None = None) -> None:
        self.key = key or SigningKey.generate()
        self.count = 0

    def seal(self, name: str, body: bytes) -> bytes:
        self.count += 1
        nonce = self.count.to_bytes(4, "big") + id(self).to_bytes(8, "big")
        return self.key.sign(name.encode() + nonce + body) + nonce + body

    def open(self, name: str, data: bytes) -> bytes:
        size = min(SIGNATURE_SIZES)
        nonce, body = data[size : size + 12], data[size + 12 :]
        verify(self.key.public, name.encode() + nonce + body, data[:size])
        return body


class Flaky(MemoryStore):
    """Writes, and loses the answer, or does not answer at all, when it is told to."""

    trouble = ""

    def create(self, key: str, data: Buffer | list[Buffer]) -> ObjectInfo:  # type: ignore[override]
        if self.trouble == "silent":
            raise StoreUnreachableError(f"{self.url} does not answer")
        written = super().create(key, data)
        if self.trouble == "loses answers":
            raise StoreUnreachableError(f"{self.url}: the answer was lost")
        return written

    def get(self, key: str) -> bytes:
        if self.trouble:
            raise StoreUnreachableError(f"{self.url} does not answer")
        return super().get(key)

    def head(self, key: str) -> ObjectInfo:
        if self.trouble:
            raise StoreUnreachableError(f"{self.url} does not answer")
        return super().head(key)


@pytest.fixture
def stores() -> list[Flaky]:
    return [Flaky(name=name) for name in ("a", "b", "c")]


@pytest.fixture
def seal() -> Signed:
    return Signed()


def started(stores: list[Flaky], seal: Signed, plane: str) -> Journal:
    journal = Journal("r1", stores, seal, plane, ManualClock())
    journal.append(Deed.PLANNED, plan='{"steps": []}')
    journal.append(Deed.TAKEN)
    return journal


def test_what_one_wrote_another_reads(stores: list[Flaky], seal: Signed) -> None:
    mine = started(stores, seal, "plane:1")
    mine.append(Deed.BEGUN, step="fence", attempt=1)
    mine.append(Deed.DONE, step="fence", facts={"epoch": 5})
    mine.append(Deed.BEGUN, step="restore", attempt=1)
    state = Journal("r1", stores, seal, "plane:2").read()
    assert state.owner == "plane:1" and state.done == ("fence",)
    assert state.steps["fence"].facts == {"epoch": 5}
    assert state.steps["restore"].phase is StepPhase.BEGUN, "whoever goes on has to look whether it is in effect"
    with pytest.raises(NotFoundError):
        Journal("r2", stores, seal, "plane:2").read()


def test_two_that_both_believe(stores: list[Flaky], seal: Signed) -> None:
    """The one from whom a run was taken can change nothing any more, though nobody told it."""
    first = started(stores, seal, "plane:1")
    first.append(Deed.BEGUN, step="restore", attempt=1)
    second = Journal("r1", stores, seal, "plane:2")
    second.read()
    second.append(Deed.TAKEN)
    with pytest.raises(RefusedError, match="plane:2 has the run r1, and this is plane:1"):
        first.append(Deed.DONE, step="restore")
    second.append(Deed.DONE, step="restore")
    state = Journal("r1", stores, seal, "x").read()
    assert (state.owner, state.taken, state.done, state.ignored) == ("plane:2", 2, ("restore",), ())


def test_people_may_speak_while_a_plane_works(stores: list[Flaky], seal: Signed) -> None:
    plane = started(stores, seal, "plane:1")
    person = Journal("r1", stores, seal, "bela")
    person.read()
    person.append(Deed.PAUSED, text="wait for the storage team")
    plane.append(Deed.BEGUN, step="fence", attempt=1)
    assert plane.state.paused, "it was read on the way to the end"
    with pytest.raises(RefusedError, match="this is bela"):
        person.append(Deed.DONE, step="fence")
    plane.append(Deed.ENDED, text="PASSED")
    with pytest.raises(RefusedError, match="has ended: PASSED"):
        person.append(Deed.PAUSED)


def test_one_of_three_stores_may_be_lost(stores: list[Flaky], seal: Signed) -> None:
    journal = started(stores, seal, "plane:1")
    stores[0].trouble = "silent"
    journal.append(Deed.BEGUN, step="fence", attempt=1)
    stores[1].trouble = "silent"
    with pytest.raises(StoreUnreachableError, match="2 of the 3 stores"):
        journal.append(Deed.DONE, step="fence")
    stores[1].trouble = ""
    journal.append(Deed.DONE, step="fence")
    assert Journal("r1", stores, seal, "x").read().done == ("fence",)


def test_a_lost_answer_is_decided_by_the_same_call(stores: list[Flaky], seal: Signed) -> None:
    journal = started(stores, seal, "plane:1")
    stores[0].trouble = stores[1].trouble = "loses answers"
    with pytest.raises(StoreUnreachableError):
        journal.append(Deed.BEGUN, step="fence", attempt=1)
    stores[0].trouble = stores[1].trouble = ""
    journal.append(Deed.BEGUN, step="fence", attempt=1)
    state = Journal("r1", stores, seal, "x").read()
    assert state.steps["fence"].attempts == 1 and len(journal.entries) == 3


def test_forgeries(stores: list[Flaky], seal: Signed) -> None:
    journal = started(stores, seal, "plane:1")
    entry = Entry(run="r1", number=2, before=FIRST, deed=Deed.TAKEN, by="plane:9", at=0)
    forged = Signed().seal("runs/r1/0000000002", encode_entry(entry))
    for number, store in enumerate(stores):
        store.create("runs/r1/0000000002", forged)
        store.create("runs/r1/0000000003", bytes([number]))
    with pytest.raises(DamageError, match="no two stores"):
        Slots(stores, "runs/r1/").look(3)
    with pytest.raises(UntrustedError):
        journal.append(Deed.BEGUN, step="fence", attempt=1)
    for store in stores:
        store.create("runs/r2/0000000000", stores[0].get("runs/r1/0000000000"))
    with pytest.raises(UntrustedError):
        Journal("r2", stores, seal, "x").read()
    unchained = [Flaky(name=name) for name in "de"]
    wrong = seal.seal("runs/r1/0000000001", encode_entry(replace(entry, number=1)))
    for store in unchained:
        store.create("runs/r1/0000000000", stores[0].get("runs/r1/0000000000"))
        store.create("runs/r1/0000000001", wrong)
    with pytest.raises(DamageError, match="does not continue"):
        Journal("r1", unchained, seal, "x").read()


def test_a_store_that_may_not_be_written_has_no_say(stores: list[Flaky], seal: Signed) -> None:
    started([stores[0], stores[1]], seal, "plane:1")
    only = Journal("r1", [stores[0], ReadOnlyStore(stores[1])], seal, new_plane())
    assert only.read().owner == "plane:1"
    with pytest.raises(StoreUnreachableError):
        only.append(Deed.TAKEN)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Deed)), st.sampled_from(["plane:1", "plane:2", "ada"]), st.sampled_from("xy"))
    )
)
def test_whatever_the_entries(deeds: list[tuple[Deed, str, str]]) -> None:
    """Only the owner's steps count, and what is in effect was done after it was last undone."""
    entries = [
        Entry(run="r", number=number, before=FIRST, deed=deed, by=by, at=number, step=step, plan="{}", text="PASSED")
        for number, (deed, by, step) in enumerate(deeds)
    ]
    state = run_state(entries)
    counted = [one for one in entries if one.number not in state.ignored]
    assert [one.deed for one in counted].count(Deed.PLANNED) <= 1
    owner = ""
    for one in counted:
        if one.deed is Deed.TAKEN:
            owner = one.by
        elif one.deed in (Deed.BEGUN, Deed.DONE, Deed.FAILED, Deed.UNDONE, Deed.ENDED):
            assert one.by == owner
    for step in "xy":
        said = [one.deed for one in counted if one.step == step and one.deed.value in set(StepPhase)]
        assert (step in state.done) == (bool(said) and said[-1] is Deed.DONE)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        entry = decode_entry("x", data)
    except HoldfastError as error:
        assert isinstance(error, DamageError)
    else:
        assert decode_entry("x", encode_entry(entry)) == entry
