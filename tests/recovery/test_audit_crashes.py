"""The audit log after a crash at every operation on the store, a lost answer at each, and with rivals: nothing is lost,
nothing is twice, and no two histories are ever signed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.cosigning import witness_here
from holdfast.audit.entries import decode_leaf
from holdfast.audit.layout import CHECKPOINT, CHECKPOINTS, PENDING
from holdfast.audit.notes import parse_note
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.witnessing import Witness
from holdfast.errors import DamageError, HoldfastError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import TrialLog, an_entry, new_trial_log
from holdfast.testing.faults import Crash, Faults

Act = Callable[[TrialLog], object]


def _append(log: TrialLog) -> None:
    log.append(300)


def _sequence(log: TrialLog) -> None:
    log.sequence()


def _record(log: TrialLog) -> None:
    log.write("a")
    log.write("a")


def _world(act: Act) -> TrialLog:
    log = new_trial_log(MemoryStore(), "a", "b")
    log.append(250)
    for label in "aab":
        log.write(label)
    log.sequence()
    if act is _sequence:
        for label in "abba":
            log.write(label)
    return log


def _operations(log: TrialLog, act: Act) -> int:
    store = FaultyStore(log.store.fork(), Faults())  # type: ignore[attr-defined]
    act(log.on(store))
    return len(store.log)


def _check(log: TrialLog, before: Checkpoint) -> None:
    """The log goes on from what was signed before, and is whole after the next writer has come."""
    log.sequence(grace_seconds=0)
    log.append(1)
    report = log.verify(remembered=before)
    assert [one for one in report.findings if one.kind != "stray"] == []
    ids = Counter(decode_leaf(data, str(at)).entry.id for at, data in log.reader().entries(0, report.newest.checkpoint))
    assert ids.most_common(1)[0][1] == 1, "an entry is in the log twice"
    assert parse_note(log.store.get(CHECKPOINT), "x").text == report.newest.checkpoint.text
    roots = {}
    for info in log.store.list(CHECKPOINTS):
        checkpoint = log.reader().signed_at(int(info.key[-10:])).checkpoint
        assert roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root, "two histories were signed"


@pytest.mark.parametrize("act", [_append, _sequence, _record], ids=["append", "sequence", "record"])
@pytest.mark.parametrize("how", ["crash", "lost answer"])
def test_nothing_is_lost_or_twice_whatever_operation_is_the_last(act: Act, how: str) -> None:
    world = _world(act)
    before = world.checkpoint()
    points = _operations(world, act)
    assert points >= 4
    for number in range(1, points + 1):
        store = world.store.fork()  # type: ignore[attr-defined]
        written = _pending_ids(store)
        faults = Faults()
        faults.stop_after(number) if how == "crash" else faults.lose_answer("*", at=number)
        finished = False
        with suppress(Crash, HoldfastError):
            act(world.on(FaultyStore(store, faults)))
            finished = True
        after = world.on(store)
        _check(after, before)
        found = {decode_leaf(data, str(at)).entry.id for at, data in after.reader().entries(0, after.checkpoint())}
        assert written <= found, f"{how} at {number}: entries are lost"
        if finished:
            assert after.checkpoint().size >= before.size + {_append: 300, _sequence: 4, _record: 2}[act]


def _pending_ids(store: MemoryStore) -> set[str]:
    return {decode_leaf(store.get(info.key), info.key).entry.id for info in store.list(PENDING)}


def test_what_was_committed_is_completed_by_the_next_writer() -> None:
    """The crash between the commit and the tiles: the entries are in the log although their writer heard nothing."""
    world = new_trial_log(MemoryStore())
    world.append(10)
    store = world.store.fork()  # type: ignore[attr-defined]
    faults = Faults().stop_after(1, "create")
    with pytest.raises(Crash):
        world.on(FaultyStore(store, faults)).append(600)
    after = world.on(store)
    assert after.checkpoint().size == 610
    kinds = {one.kind for one in after.verify().findings}
    assert kinds == {"truncation"}, "until then, that tiles are missing shows"
    after.append(1)
    assert after.verify().findings == []
    assert after.verify().entries == 611


@pytest.mark.parametrize("turn", range(2))
def test_two_sequencers_at_once_neither_fork_nor_repeat(turn: int) -> None:
    world = new_trial_log(MemoryStore(), "a", "b", "c")
    for label in "abc" * 5:
        world.write(label)
    failures: list[BaseException] = []
    start = threading.Barrier(3)

    def work() -> None:
        try:
            start.wait()
            for _ in range(3):
                world.sequence()
                world.append(40 + turn)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    report = world.verify()
    assert report.findings == []
    assert report.entries == 15 + 9 * (40 + turn)


def test_a_rival_that_commits_between_looking_and_committing_wins() -> None:
    """The loser builds again on top of the winner: its first checkpoint is never on the store."""
    world = new_trial_log(MemoryStore())
    world.append(3)
    late = world.writer()
    late.append([b'{"x":1}'])
    world.append(5)  # `late` does not know
    late.append([b'{"x":2}'])
    sizes = [world.reader().signed_at(number).checkpoint.size for number in range(1, 5)]
    assert sizes == [3, 4, 9, 10]
    assert {one.kind for one in world.verify().findings} == {"malformed"}, "the log itself is one"


def test_who_sits_on_numbers_of_checkpoints_stops_nobody() -> None:
    world = new_trial_log(MemoryStore())
    world.append(3)
    for number in (2, 3, 4, 9999999999):
        world.store.put(f"{CHECKPOINTS}{number:010d}", b"rubbish")
    world.append(4)
    assert world.checkpoint().size == 7
    world.append(4)
    report = world.verify()
    assert (report.entries, report.sound) == (11, True)
    assert sorted(one.object[-10:] for one in report.findings) == [
        "0000000002", "0000000003", "0000000004", "9999999999",
    ]  # fmt: skip


def test_a_tile_that_somebody_put_first_is_told_and_not_taken_for_the_logs() -> None:
    world = new_trial_log(MemoryStore())
    world.append(3)
    world.store.put("audit/tile/0/000.p/7", bytes(224))
    with pytest.raises(HoldfastError, match=r"tile/0/000\.p/7"):
        world.append(4)
    world.store.delete("audit/tile/0/000.p/7")
    world.append(1)
    assert world.verify().findings == []
    assert world.checkpoint().size == 8


def test_a_gap_waits_and_then_shows_for_ever() -> None:
    world = new_trial_log(MemoryStore(), "a")
    keys = [world.write("a") for _ in range(4)]
    world.store.delete(keys[1])
    done = world.sequence()
    assert (done.entries, done.waiting) == (1, 1)
    done = world.sequence(grace_seconds=0)
    assert (done.entries, len(done.gaps)) == (2, 1)
    assert [(one.kind, one.object) for one in world.verify().findings] == [("gap", "entry 1")]


def test_heads_come_from_the_entries_where_no_batch_is_left() -> None:
    world = new_trial_log(MemoryStore(), "a", "b")
    for label in "abab":
        world.write(label)
    world.sequence()
    before = dict(world.writer().heads())
    for info in list(world.store.list("audit/batches/")):
        world.store.delete(info.key)
    assert dict(world.writer().heads()) == before
    world.write("a")
    assert world.sequence().entries == 1


def test_a_machine_that_slept_while_another_one_with_its_key_wrote_loses_nothing() -> None:
    """The numbers that it would take next are free again: what had them is in the log."""
    world = new_trial_log(MemoryStore(), "a")
    sleeper, other = world.spool("a"), world.spool("a")
    sleeper.append(an_entry(world.actor("a"), "one"))
    for _ in range(4):
        other.append(an_entry(world.actor("a"), "two"))
    world.sequence()
    assert [info.key[-10:] for info in world.store.list(PENDING)] == ["0000000005"]
    assert sleeper.append(an_entry(world.actor("a"), "three")).endswith("0000000006")
    assert other.append(an_entry(world.actor("a"), "four")).endswith("0000000007")
    assert world.sequence().entries == 2
    report = world.verify()
    assert (report.findings, report.entries) == ([], 7)


def test_many_machines_with_one_key_and_a_sequencer_at_once_lose_nothing() -> None:
    world = new_trial_log(MemoryStore(), "a")
    done = threading.Event()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            spool = world.spool("a")
            for turn in range(8):
                spool.append(an_entry(world.actor("a"), f"m{number}.{turn}"))
        except BaseException as error:
            failures.append(error)

    def sequence() -> None:
        while not done.is_set():
            world.sequence()

    machines = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    sequencer = threading.Thread(target=sequence)
    for thread in (sequencer, *machines):
        thread.start()
    for machine in machines:
        machine.join()
    done.set()
    sequencer.join()
    assert failures == []
    world.sequence()
    report = world.verify()
    assert report.findings == []
    checkpoint = world.checkpoint()
    actions = Counter(decode_leaf(data, str(at)).entry.action for at, data in world.reader().entries(0, checkpoint))
    assert actions == Counter(f"m{number}.{turn}" for number in range(4) for turn in range(8))


def test_a_witness_that_dies_at_any_operation_never_cosigns_two_histories() -> None:
    """It remembers before it answers: whatever it has cosigned, it has seen."""
    world = new_trial_log(MemoryStore())
    world.append(3)
    key, own = NoteKey.generate("witness", "b.test/w"), MemoryStore()
    witness_here(_witness(key, own, world), world.reader(), world.reader().get_newest())
    other = world.on(world.store.fork())  # type: ignore[attr-defined]
    world.append(2)
    other.append(2)
    counting = FaultyStore(own.fork(), Faults())
    witness_here(_witness(key, counting, world), world.reader(), world.reader().get_newest())
    points = len(counting.log)
    assert points >= 3
    for how in ("crash", "lost answer"):
        for number in range(1, points + 1):
            store, faults = own.fork(), Faults()
            faults.stop_after(number) if how == "crash" else faults.lose_answer("*", at=number)
            lines = []
            with suppress(Crash, HoldfastError):
                lines = witness_here(
                    _witness(key, FaultyStore(store, faults), world), world.reader(), world.reader().get_newest()
                )
            after = _witness(key, store, world)
            seen = after.seen(world.key.name)
            assert not lines or seen == world.checkpoint()
            if seen == world.checkpoint():
                with pytest.raises(DamageError):
                    witness_here(after, other.reader(), other.reader().get_newest())
            assert witness_here(after, world.reader(), world.reader().get_newest())


def _witness(key: NoteKey, store: Store, log: TrialLog) -> Witness:
    return Witness(key, store, {log.key.name: log.key.keys})


@pytest.mark.parametrize("copies", [[1], [1, 2, 3], [3], [2, 1]])
def test_a_copy_of_an_old_checkpoint_makes_no_writer_fork_the_log(copies: list[int]) -> None:
    """Who may only add to the store puts checkpoints that the log signed under later generations."""
    world = new_trial_log(MemoryStore(), "a")
    for count in (3, 4, 5):
        world.append(count)
    before = world.checkpoint()
    for at, generation in enumerate(copies, 4):
        world.store.create(f"{CHECKPOINTS}{at:010d}", world.store.get(f"{CHECKPOINTS}{generation:010d}"))
    world.write("a")
    assert world.sequence().entries == 1
    world.append(1)
    assert world.checkpoint().size == 14
    report = world.verify(remembered=before)
    assert "fork" not in {one.kind for one in report.findings}
    assert report.entries == 14
