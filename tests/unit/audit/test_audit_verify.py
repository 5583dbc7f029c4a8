"""Whatever somebody does to a log on its store is found: by reading it, by what was seen before, and by a witness."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from holdfast.audit import reading
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.cosigning import store_cosignatures, witness_here
from holdfast.audit.entries import Actor, decode_leaf, encode
from holdfast.audit.heads import heads_from_entries
from holdfast.audit.layout import CHECKPOINT, CHECKPOINTS, COSIGNATURES, generation_key
from holdfast.audit.merkle import hash_leaf, root_of
from holdfast.audit.notes import NoteSignature, parse_note
from holdfast.audit.reading import LogReader
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.spool import sign_entry
from holdfast.audit.tiles import decode_bundle, encode_bundle
from holdfast.audit.tlog_proofs import witness_names
from holdfast.audit.witnessing import Witness
from holdfast.audit.writing import LogWriter
from holdfast.errors import DamageError, HoldfastError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import TrialLog, an_entry, new_trial_log, put_back
from holdfast.testing.counting import CountingStore
from holdfast.trust.signing import SigningKey

_BUNDLE = "audit/tile/entries/000"


@pytest.fixture(scope="module")
def grown() -> tuple[TrialLog, Checkpoint, MemoryStore]:
    """A log of 600 entries, the checkpoint at 300, and the store as it was then."""
    log = new_trial_log(MemoryStore(), "a", "b")
    log.append(290)
    for label in "aabbababab":
        log.write(label)
    log.sequence()
    seen, then = log.checkpoint(), log.store.fork()  # type: ignore[attr-defined]
    log.append(300)
    return log, seen, then


@pytest.fixture
def log(grown: tuple[TrialLog, Checkpoint, MemoryStore]) -> TrialLog:
    return grown[0].on(grown[0].store.fork())  # type: ignore[attr-defined]


@pytest.fixture
def seen(grown: tuple[TrialLog, Checkpoint, MemoryStore]) -> Checkpoint:
    return grown[1]


@pytest.fixture
def then(grown: tuple[TrialLog, Checkpoint, MemoryStore]) -> MemoryStore:
    return grown[2]


def _witness(log: TrialLog) -> Witness:
    """One that has seen the log as it is now."""
    witness = Witness(NoteKey.generate("witness", "b.test/w"), MemoryStore(), {log.key.name: log.key.keys})
    witness_here(witness, log.reader(), log.reader().get_newest())
    return witness


def _kinds(log: TrialLog, seen: Checkpoint | None = None) -> set[str]:
    return {one.kind for one in log.verify(remembered=seen).findings}


def _change_bundle(log: TrialLog, change: Callable[[list[bytes]], None]) -> None:
    entries = decode_bundle(log.store.get(_BUNDLE), 256, _BUNDLE)
    change(entries)
    log.store.put(_BUNDLE, encode_bundle(entries))


def test_a_sound_log_has_nothing_wrong(log: TrialLog, seen: Checkpoint) -> None:
    report = log.verify(remembered=seen)
    assert report.findings == []
    assert (report.entries, report.checkpoints, report.sound) == (600, 3, True)
    assert sorted(report.members.values()) == [5, 5, 590]


def test_a_fork_by_who_has_the_logs_own_key(log: TrialLog, seen: Checkpoint, then: MemoryStore) -> None:
    """Another history from 290 entries on, signed by the log itself: everything in it is consistent."""
    witness = _witness(log.on(then))
    for generation in (2, 3):
        log.store.delete(f"{CHECKPOINTS}{generation:010d}")
    for info in [*log.store.list("audit/tile/"), *log.store.list("audit/batches/")]:
        log.store.delete(info.key)
    first = log.on(MemoryStore())
    first.append(290)
    first.append(310)
    put_back(log.store, first.store)
    assert _kinds(log) == set(), "the log alone shows nothing"
    assert _kinds(log, seen) == {"fork"}
    with pytest.raises(DamageError, match="another history"):
        witness_here(witness, log.reader(), log.reader().get_newest())


def test_two_histories_on_one_store_are_a_fork_without_any_memory(log: TrialLog, then: MemoryStore) -> None:
    other = log.on(then.fork())
    other.append(300)
    key = f"{CHECKPOINTS}0000000003"
    log.store.put(f"{CHECKPOINTS}0000000004", other.store.get(key))
    assert "fork" in _kinds(log)


def test_a_rollback(log: TrialLog, then: MemoryStore) -> None:
    """The owner of the store puts it back as it was: sound, and too old."""
    newest, witness = log.checkpoint(), _witness(log)
    put_back(log.store, then)
    assert _kinds(log) == set(), "the log alone shows nothing"
    assert _kinds(log, newest) == {"rollback"}
    with pytest.raises(DamageError, match="rolled back"):
        witness_here(witness, log.reader(), log.reader().get_newest())


def test_the_whole_log_gone_is_a_rollback(log: TrialLog, seen: Checkpoint) -> None:
    for info in list(log.store.list("audit/")):
        log.store.delete(info.key)
    assert _kinds(log, seen) == {"rollback"}


def test_a_truncation(log: TrialLog, seen: Checkpoint, then: MemoryStore) -> None:
    """The last entries and tiles are gone, and the checkpoint that has them is there."""
    witness = _witness(log.on(then))
    for key in ("audit/tile/entries/002.p/88", "audit/tile/0/002.p/88"):
        log.store.delete(key)
    report = log.verify(remembered=seen)
    assert [(one.kind, one.object) for one in report.findings] == [
        ("truncation", "audit/tile/entries/002.p/88"),
        ("truncation", "audit/tile/0/002.p/88"),
    ]
    with pytest.raises(HoldfastError, match=r"002"):
        witness_here(witness, log.reader(), log.reader().get_newest())
    log.append(1)  # the batch of the last commit is still there: the writer puts back what it says
    assert log.verify(remembered=seen).findings == []


def test_a_truncation_that_nothing_is_left_to_mend_stops_the_writer(log: TrialLog) -> None:
    for key in ("audit/tile/0/002.p/88", *(info.key for info in list(log.store.list("audit/batches/")))):
        log.store.delete(key)
    with pytest.raises(DamageError, match="so is its last batch"):
        log.append(1)


def _swap(entries: list[bytes]) -> None:
    entries[3], entries[4] = entries[4], entries[3]


def test_a_reordering(log: TrialLog) -> None:
    _change_bundle(log, _swap)
    [finding] = log.verify().findings
    assert (finding.kind, finding.object) == ("reordering", _BUNDLE)


def _change_to_fit(log: TrialLog, key: str, width: int, change: Callable[[list[bytes]], None]) -> None:
    """Change a bundle, and the tile above it so that it fits."""
    entries = decode_bundle(log.store.get(f"audit/tile/entries/{key}"), width, key)
    change(entries)
    log.store.put(f"audit/tile/entries/{key}", encode_bundle(entries))
    log.store.put(f"audit/tile/0/{key}", b"".join(map(hash_leaf, entries)))


def _replace_one(entries: list[bytes]) -> None:
    entries[3] = entries[4]


@pytest.mark.parametrize("change", [_swap, _replace_one])
@pytest.mark.parametrize("fits", [True, False])
def test_a_witness_does_not_cosign_what_was_reordered_or_left_out(
    log: TrialLog, then: MemoryStore, change: Callable[[list[bytes]], None], fits: bool
) -> None:
    """Entries 512 to 599 came after it looked last; they, and perhaps their tile, are changed on the store."""
    witness, key = _witness(log.on(then)), "002.p/88"
    if fits:
        _change_to_fit(log, key, 88, change)
    else:
        entries = decode_bundle(log.store.get(f"audit/tile/entries/{key}"), 88, key)
        change(entries)
        log.store.put(f"audit/tile/entries/{key}", encode_bundle(entries))
    assert _kinds(log) & {"reordering", "alteration", "deletion"}
    with pytest.raises(DamageError, match="another history" if fits else "gone, changed or reordered"):
        witness_here(witness, log.reader(), log.reader().get_newest())
    assert witness.seen(log.key.name) == log.on(then).checkpoint()


def test_a_reordering_that_the_tiles_above_hide_is_found(log: TrialLog) -> None:
    _change_to_fit(log, "000", 256, _swap)
    assert "alteration" in _kinds(log)


def test_a_deletion(log: TrialLog) -> None:
    _change_bundle(log, lambda entries: entries.pop(7))
    [finding] = log.verify().findings
    assert (finding.kind, finding.message) == ("deletion", "1 entries that were signed are gone")


@pytest.mark.parametrize("place", ["audit/tile/0/000", "audit/tile/0/002.p/88", "audit/tile/1/000.p/2", _BUNDLE])
def test_a_flipped_bit(log: TrialLog, place: str) -> None:
    data = bytearray(log.store.get(place))
    data[40] ^= 1
    log.store.put(place, bytes(data))
    assert "alteration" in _kinds(log)


def test_every_object_of_a_log_that_goes_is_missed_or_needed_by_nobody(log: TrialLog, seen: Checkpoint) -> None:
    newest = log.checkpoint()
    unseen = set()
    for info in list(log.store.list("audit/")):
        one = log.on(log.store.fork())  # type: ignore[attr-defined]
        one.store.delete(info.key)
        if not one.verify(remembered=newest).findings:
            unseen.add(info.key.split("/")[1])
    # Copies, what is in the log already, and checkpoints that later ones continue.
    assert unseen == {"batches", "checkpoint", "checkpoints", "pending", "tile"}
    left = log.on(log.store.fork())  # type: ignore[attr-defined]
    left.store.delete(f"{CHECKPOINTS}0000000003")
    assert {one.kind for one in left.verify(remembered=newest).findings} == {"rollback"}


def test_an_entry_in_another_members_name_never_gets_in(log: TrialLog) -> None:
    """A stolen writer's key signs for somebody else, for another log, or what is not its own number."""
    thief = log.signers["a"]
    for number, wrong in enumerate(
        [
            sign_entry(thief, log.key.name, 100, "", an_entry(log.actor("b"))),
            sign_entry(thief, "another/log", 101, "", an_entry(log.actor("a"))),
            sign_entry(thief, log.key.name, 7, "", an_entry(log.actor("a"))),
            sign_entry(SigningKey.generate(), log.key.name, 103, "", an_entry(log.actor("a"))),
            encode(an_entry(log.actor("a"))),
            b"{}",
        ],
        100,
    ):
        log.store.put(f"audit/pending/{log.actor('a').fingerprint}/{number:010d}", wrong)
    done = log.sequence(grace_seconds=0)
    assert (done.entries, len(done.refused)) == (0, 6)
    assert log.write("a"), "its owner goes on"
    assert log.sequence().entries == 1
    assert _kinds(log) == set()


def _changed(data: bytes) -> bytes:
    """An honest entry of a member, with another outcome and the old signature."""
    signed = decode_leaf(data, "x").signed
    assert signed is not None
    return encode(replace(signed, entry=replace(signed.entry, outcome="all is well")))


def test_an_entry_that_was_changed_after_it_was_signed_never_gets_in(log: TrialLog) -> None:
    key = log.write("a")
    log.store.put(key, _changed(log.store.get(key)))
    done = log.sequence(grace_seconds=0)
    assert (done.entries, list(done.refused)) == (0, [key])
    log.writer().append([log.store.get(key)])
    assert _kinds(log) == {"untrusted"}, "the log's keeper cannot change it either"


def test_an_entry_that_the_logs_keeper_forged_for_a_member_is_told(log: TrialLog) -> None:
    forged = sign_entry(SigningKey.generate(), log.key.name, 6, "", an_entry(log.actor("a")))
    log.writer().append([forged])
    assert _kinds(log) == {"untrusted"}
    honest = sign_entry(log.signers["a"], log.key.name, 1, "", an_entry(log.actor("a")))
    log.writer().append([honest])
    assert _kinds(log) == {"untrusted", "duplicate"}


def test_an_entry_that_the_logs_keeper_wrote_as_if_a_member_had_is_told(log: TrialLog) -> None:
    log.writer().append([encode(an_entry(log.actor("a"), "snapshot.drop"))])
    assert _kinds(log) == {"untrusted"}


def test_an_entry_of_a_member_that_the_sequencer_left_out_is_a_gap(log: TrialLog) -> None:
    spool = log.spool("a")
    keys = [spool.append(an_entry(log.actor("a"))) for _ in range(3)]
    log.writer().append([log.store.get(keys[0]), log.store.get(keys[2])])
    assert _kinds(log) == {"gap"}


def test_a_quorum_of_witnesses(log: TrialLog) -> None:
    witnesses = [
        Witness(NoteKey.generate("witness", f"{name}.test/w"), MemoryStore(), {log.key.name: log.key.keys})
        for name in "bc"
    ]
    keys = [key for one in witnesses for key in one.key.keys]
    signed = log.reader().get_newest()
    for count, one in enumerate(witnesses, 1):
        store_cosignatures(log.store, signed.generation, witness_here(one, log.reader(), signed))
        report = log.verify(witnesses=keys, quorum=2)
        assert len(report.witnesses) == count
        assert {one.kind for one in report.findings} == (set() if count == 2 else {"unwitnessed"})
    log.append(1)
    report = log.verify(witnesses=keys, quorum=2)
    assert (report.witnessed, report.witnesses, report.sound) == (600, set(), True)
    log.writer().publish()
    assert log.store.get(CHECKPOINT).decode().count("— ") == 2


def test_a_cosignature_that_is_wrong_counts_for_nothing(log: TrialLog) -> None:
    witness = Witness(NoteKey.generate("witness", "b.test/w"), MemoryStore(), {log.key.name: log.key.keys})
    signed = log.reader().get_newest()
    lines = witness_here(witness, log.reader(), signed)
    wrong = [one._replace(signature=one.signature[:-1] + bytes([one.signature[-1] ^ 1])) for one in lines]
    store_cosignatures(log.store, signed.generation, wrong)
    report = log.verify(witnesses=list(witness.key.keys), quorum=1)
    assert report.witnesses == set()
    assert {one.kind for one in report.findings} == {"untrusted", "unwitnessed"}


@pytest.mark.parametrize("whose", ["of strangers", "in the witness's name"])
def test_cosignatures_are_not_buried_below_others(log: TrialLog, whose: str) -> None:
    witness = Witness(NoteKey.generate("witness", "b.test/w"), MemoryStore(), {log.key.name: log.key.keys})
    signed, keys = log.reader().get_newest(), witness.key.keys
    store_cosignatures(log.store, signed.generation, witness_here(witness, log.reader(), signed))
    names = [("x.test", b"abcd")] * 64 if whose == "of strangers" else [(one.name, one.key_id) for one in keys] * 32
    lines = [NoteSignature(name, key_id, bytes([at])) for at, (name, key_id) in enumerate(names)]
    junk = "".join(one.line for one in lines).encode()
    log.store.put(f"{generation_key(COSIGNATURES, signed.generation)}/{'0' * 32}", junk)
    report = log.verify(witnesses=keys, quorum=1)
    assert (report.witnesses, report.findings) == ({"b.test/w"}, [])
    reader = LogReader(log.store, log.key.name, log.key.keys, witnesses=keys)
    LogWriter(log.store, log.key, reader=reader).publish()
    published = parse_note(log.store.get(CHECKPOINT), CHECKPOINT)
    assert witness_names(published, keys, CHECKPOINT) == {"b.test/w"}


def test_heads_are_not_taken_from_entries_that_were_not_signed(log: TrialLog) -> None:
    """Else whoever can write to the store silences a member for ever, by a number that it will never reach."""
    log.append(1)  # the batch of the last commit has the heads: without it, they are taken from the entries
    newest = log.reader().get_newest()
    for info in list(log.store.list("audit/batches/")):
        log.store.delete(info.key)
    assert {head.number for head in heads_from_entries(log.reader(), newest.checkpoint).values()} == {5}

    def claim(entries: list[bytes]) -> None:
        at, signed = next((at, leaf.signed) for at, one in enumerate(entries) if (leaf := decode_leaf(one, "x")).signed)
        assert signed is not None
        entries[at] = encode(replace(signed, number=9_000_000_000))

    key = "audit/tile/entries/001"
    entries = decode_bundle(log.store.get(key), 256, key)
    claim(entries)
    log.store.put(key, encode_bundle(entries))
    with pytest.raises(DamageError, match="not what was signed"):
        log.append(1)


class _TwoFaced(CountingStore):
    """A store that shows one object as it is for some times, and then, like others, as somebody changed it."""

    def __init__(self, store: Store, changed: dict[str, bytes], key: str, times: int) -> None:
        super().__init__(store)
        self._changed, self._key, self._times = changed, key, times

    def get(self, key: str) -> bytes:
        if key == self._key and self._times > 0:
            self._times -= 1
            return super().get(key)
        return self._changed.get(key) or super().get(key)


@pytest.mark.parametrize("times", range(6))
def test_a_tile_that_is_another_one_when_it_is_read_again(
    log: TrialLog, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It was compared with the root, and had to make room for others since: in a log of 131,072 entries it has to."""
    monkeypatch.setattr(reading, "_TILES_KEPT", 1)
    key, above = "audit/tile/entries/001", "audit/tile/1/000.p/2"
    forged = decode_bundle(log.store.get(key), 256, key)
    forged[0] = encode(an_entry(Actor(fingerprint="", label="program", role="log")))
    leaves = [hash_leaf(one) for one in forged]
    changed = {
        key: encode_bundle(forged),
        "audit/tile/0/001": b"".join(leaves),
        above: log.store.get(above)[:32] + root_of(leaves),
    }
    reader = LogReader(_TwoFaced(log.store, changed, above, times), log.key.name, log.key.keys)
    given: list[bytes] = []
    with pytest.raises(DamageError):
        for _, entry in reader.checked_entries(log.checkpoint()):
            given.append(entry)
    assert forged[0] not in given
