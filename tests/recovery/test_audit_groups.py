"""What several threads record at once: one object, one signature, an entry each; nothing lost and nothing twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from holdfast.audit.entries import decode_leaf, encode
from holdfast.audit.groups import GROUP_ENTRIES_MAX, decode_group, head_of, is_group
from holdfast.audit.layout import PENDING
from holdfast.audit.members import Member, check_signed
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.spool import Head, Spool
from holdfast.audit.tlog_proofs import TlogProof, verify_proof
from holdfast.errors import DamageError, FailedError, HoldfastError, UntrustedError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import TrialLog, an_entry, new_trial_log
from holdfast.testing.faults import Crash, Faults


def _together(log: TrialLog, names: Sequence[str]) -> dict[str, BaseException | str]:
    """Each of these is recorded by a thread of its own, all of them while the first one is being written."""
    gate = _Gate(log.store)
    spool = log.on(gate).spool("a")  # type: ignore[arg-type]
    done: dict[str, BaseException | str] = {}

    def record(name: str) -> None:
        try:
            done[name] = spool.append(an_entry(log.actor("a"), name))
        except BaseException as error:
            done[name] = error

    threads = [threading.Thread(target=record, args=(name,)) for name in names]
    threads[0].start()
    while not gate.entered.wait(0.001) and threads[0].is_alive():
        pass
    for thread in threads[1:]:
        thread.start()
    while threads[0].is_alive() and len(spool._queue) < len(names) - 1:  # all but the one that writes
        time.sleep(0.0005)
    gate.opened.set()
    for thread in threads:
        thread.join()
    return done


class _Gate:
    """A store whose first create waits until it may go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.entered, self.opened = threading.Event(), threading.Event()

    def create(self, key: str, data: bytes) -> object:
        self.entered.set()
        assert self.opened.wait(10)
        return self._store.create(key, data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def _names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def _in_log(log: TrialLog) -> Counter[str]:
    entries = log.reader().entries(0, log.checkpoint())
    return Counter(decode_leaf(data, str(at)).entry.action for at, data in entries)


def _pending(log: TrialLog) -> list[str]:
    return [info.key for info in log.store.list(PENDING)]


@pytest.fixture
def log() -> TrialLog:
    return new_trial_log(MemoryStore(), "a", "b")


@pytest.mark.parametrize("count", [2, 3, 9, 40])
def test_what_comes_at_once_is_one_object_and_a_leaf_each(log: TrialLog, count: int) -> None:
    log.write("a", "before")
    keys = _together(log, _names(count))
    assert len(_pending(log)) == 3 and set(keys.values()) == set(_pending(log)[1:])
    log.write("a", "after")
    assert log.sequence().entries == count + 2
    assert _in_log(log) == Counter(["before", "after", *_names(count)])
    report = log.verify()
    assert (report.findings, report.entries) == ([], count + 2)
    leaves = [data for _, data in log.reader().entries(0, log.checkpoint())]
    assert [decode_leaf(data, "x").signed.number for data in leaves] == list(range(1, count + 3))
    assert len(_pending(log)) == 1, "all but the last one are taken away"


def test_each_entry_of_a_group_is_proven_without_the_others(log: TrialLog) -> None:
    _together(log, _names(7))
    log.sequence()
    signed = log.reader().get_newest()
    for number in range(7):
        entry, hashes = log.reader().proven_entry(number, signed.checkpoint)
        verify_proof(TlogProof(number, hashes, signed.note, entry), entry, log.key.name, log.key.keys)
        leaf = decode_leaf(entry, "x")
        assert leaf.signed is not None
        check_signed(leaf.signed, log.key.name, log.members, "x")
        assert sum(f'"action":"{name}"'.encode() in entry for name in _names(7)) == 1


def test_an_entry_of_a_group_that_was_changed_or_moved_is_told(log: TrialLog) -> None:
    _together(log, _names(5))
    log.sequence()
    leaves = [decode_leaf(data, "x").signed for _, data in log.reader().entries(1, log.checkpoint())]
    for one, other in zip(leaves, [*leaves[1:], leaves[0]], strict=True):
        assert one is not None and other is not None
        for wrong in (
            msgspec.structs.replace(one, entry=other.entry),
            msgspec.structs.replace(one, signature=other.signature),
            msgspec.structs.replace(one, number=one.number + 1),
            msgspec.structs.replace(one, previous="0" * 64),
            *(
                msgspec.structs.replace(one, signature=_flipped(one.signature, at))
                for at in (0, 1, 3, 4, 40, 70, len(one.signature) - 3000, len(one.signature) - 1)
            ),
            msgspec.structs.replace(one, signature=one.signature[:-1]),
            msgspec.structs.replace(one, signature=one.signature[:36]),
        ):
            with pytest.raises(UntrustedError):
                check_signed(wrong, log.key.name, log.members, "x")
    fork = log.on(MemoryStore())
    fork.writer().append([encode(msgspec.structs.replace(leaves[2], entry=leaves[3].entry))])
    assert {one.kind for one in fork.verify().findings} == {"untrusted"}


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_an_entry_of_a_group_that_the_sequencer_left_out_or_put_elsewhere_is_told(log: TrialLog) -> None:
    _together(log, _names(4))
    log.sequence()
    leaves = [data for _, data in log.reader().entries(0, log.checkpoint())]
    for wrong, kinds in (
        ([0, 2, 3], {"gap"}),
        ([1, 2, 3], {"gap"}),
        ([0, 2, 1, 3], {"gap", "duplicate"}),
        ([0, 1, 1, 2, 3], {"duplicate"}),
    ):
        fork = log.on(MemoryStore())
        fork.writer().append([leaves[at] for at in wrong])
        assert {one.kind for one in fork.verify().findings} == kinds


def test_a_group_that_somebody_else_signed_or_that_speaks_for_another_never_gets_in(log: TrialLog) -> None:
    keys = _together(log, _names(3))
    key = max(keys.values())  # type: ignore[type-var]
    data = log.store.get(str(key))
    assert is_group(data)
    group = decode_group(data, "x")
    others = {
        "changed": msgspec.structs.replace(group, entries=group.entries[::-1]),
        "another log": msgspec.structs.replace(group, log="another/log"),
        "another number": msgspec.structs.replace(group, number=group.number + 1),
        "another one's": msgspec.structs.replace(
            group, entries=[msgspec.structs.replace(one, actor=log.actor("b")) for one in group.entries]
        ),
    }
    for why, wrong in others.items():
        one = log.on(log.store.fork())  # type: ignore[attr-defined]
        one.store.put(str(key), msgspec.json.encode(wrong, order="sorted"))
        done = one.sequence(grace_seconds=0)
        assert (done.entries, list(done.refused)) == (1, [key]), why
    for number in (1, GROUP_ENTRIES_MAX + 1):
        wrong = msgspec.structs.replace(group, entries=(group.entries * GROUP_ENTRIES_MAX)[:number])
        with pytest.raises(DamageError):
            decode_group(msgspec.json.encode(wrong, order="sorted"), "x")


def test_more_than_fits_goes_into_several_objects(log: TrialLog) -> None:
    count = GROUP_ENTRIES_MAX + 20
    done = _together(log, _names(count))
    assert not [one for one in done.values() if not isinstance(one, str)]
    assert len(_pending(log)) == 3
    assert log.sequence().entries == count
    assert log.verify().findings == []


@pytest.mark.parametrize("how", ["crash", "lost answer", "error"])
def test_a_group_whose_writer_dies_at_any_operation_is_there_wholly_once_or_not_at_all(how: str) -> None:
    world = new_trial_log(MemoryStore(), "a")
    world.write("a", "before")
    counting = FaultyStore(world.store.fork(), Faults())  # type: ignore[attr-defined]
    _together(world.on(counting), _names(5))
    points = len(counting.log)
    assert points >= 4
    for number in range(1, points + 1):
        store = world.store.fork()  # type: ignore[attr-defined]
        faults = Faults()
        if how == "crash":
            faults.stop_after(number)
        elif how == "error":
            faults.fail("*", at=number)
        else:
            faults.lose_answer("*", at=number)
        done = _together(world.on(FaultyStore(store, faults)), _names(5))
        after = world.on(store)
        after.write("a", "after")
        after.sequence(grace_seconds=0)
        found = _in_log(after)
        assert after.verify().findings == []
        assert set(found.values()) == {1}, f"{how} at {number}: something is twice"
        for name, result in done.items():
            if isinstance(result, str):
                assert name in found, f"{how} at {number}: {name} was acknowledged and is lost"
            else:
                assert isinstance(result, (HoldfastError, Crash))
        grouped = {name in found for name in _names(5)[1:]}
        assert len(grouped) == 1, f"{how} at {number}: a part of the group"


def test_who_waits_for_a_thread_that_was_interrupted_is_told(log: TrialLog) -> None:
    store = FaultyStore(log.store, Faults().stop_after(1, "create"))
    done = _together(log.on(store), _names(3))
    crashed = [one for one in done.values() if isinstance(one, Crash)]
    told = [one for one in done.values() if isinstance(one, FailedError)]
    assert (len(crashed), len(told)) == (2, 1), "of the group of two, one wrote and the other one waited"


@pytest.mark.parametrize("turn", range(2))
def test_machines_with_one_key_many_threads_each_and_sequencers_lose_nothing(turn: int) -> None:
    world = new_trial_log(MemoryStore(), "a")
    stop = threading.Event()
    failures: list[BaseException] = []
    spools = [world.spool("a") for _ in range(3)]

    def work(number: int, thread: int) -> None:
        try:
            for at in range(4):
                spools[number].append(an_entry(world.actor("a"), f"m{number}.{thread}.{at}"))
        except BaseException as error:
            failures.append(error)

    def sequence() -> None:
        while not stop.is_set():
            world.sequence()

    threads = [threading.Thread(target=work, args=(number, thread)) for number in range(3) for thread in range(5)]
    sequencers = [threading.Thread(target=sequence) for _ in range(2)]
    for one in (*sequencers, *threads):
        one.start()
    for one in threads:
        one.join()
    stop.set()
    for one in sequencers:
        one.join()
    assert failures == []
    world.sequence(grace_seconds=0)
    assert _in_log(world) == Counter(f"m{n}.{t}.{at}" for n in range(3) for t in range(5) for at in range(4))
    assert [one.kind for one in world.verify().findings] == []


def test_a_machine_that_slept_over_groups_of_another_one_loses_nothing(log: TrialLog) -> None:
    sleeper = log.spool("a")
    sleeper.append(an_entry(log.actor("a"), "one"))
    for turn in range(3):
        _together(log, [f"o{turn}.{number}" for number in range(4)])
    log.sequence()
    assert len(_pending(log)) == 1
    sleeper.append(an_entry(log.actor("a"), "two"))
    assert log.sequence().entries == 1
    assert (log.verify().findings, log.verify().entries) == ([], 14)


def test_what_a_sequencer_that_died_left_behind_goes_first(log: TrialLog) -> None:
    """Else a number could be free again while the one below it is still there."""
    spool = log.spool("a")
    for number in range(6):
        spool.append(an_entry(log.actor("a"), f"x{number}"))
    with pytest.raises(Crash):
        log.on(FaultyStore(log.store, Faults().stop_after(1, "delete"))).sequence()
    left = _pending(log)
    assert len(left) == 5
    spool.append(an_entry(log.actor("a"), "y"))
    deleted: list[str] = []
    store = FaultyStore(log.store, Faults())
    assert log.on(store).sequence().entries == 1
    deleted = [one.key for one in store.log if one.verb == "delete" and one.key.startswith(PENDING)]
    assert deleted == left
    assert len(_pending(log)) == 1


def test_the_hash_of_a_leaf_is_what_its_spool_counted_on(log: TrialLog) -> None:
    class Kept:
        head = Head(0, "")

        def recall(self, member: str) -> Head:
            return self.head

        def remember(self, member: str, head: Head) -> None:
            self.head = head

    kept = Kept()
    spool = Spool(log.store, log.key.name, log.signers["a"], memory=kept)
    spool.append(an_entry(log.actor("a"), "one"))
    log.sequence()
    [(_, data)] = log.reader().entries(0, log.checkpoint())
    assert head_of(1, data) == kept.head
    assert hash_leaf(data)
    assert isinstance(log.members[log.actor("a").fingerprint], Member)
    _together(log, _names(3))
    log.sequence()
    *_, (_, data) = log.reader().entries(0, log.checkpoint())
    with pytest.raises(DamageError):
        head_of(4, encode(an_entry(log.actor("a"))))
    kept.head = head_of(4, data)
    again = Spool(log.store, log.key.name, log.signers["a"], memory=kept)
    again.append(an_entry(log.actor("a"), "two"))
    log.sequence()
    assert log.verify().findings == []
