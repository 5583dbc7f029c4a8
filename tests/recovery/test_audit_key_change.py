"""A log's key that turns over: who died when, what an old key can do afterwards, and that every attack still shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.cosigning import witness_here
from holdfast.audit.declaration import Since, decode_declaration
from holdfast.audit.entries import Actor, decode_leaf, encode
from holdfast.audit.key_changes import KEY_CHANGE, change_objects, named_keys
from holdfast.audit.layout import CHECKPOINTS, DECLARATIONS
from holdfast.audit.log_keys import LogKeys
from holdfast.audit.notes import Note
from holdfast.audit.reading import LogReader, open_checkpoint
from holdfast.audit.signing_keys import NoteKey, load_note_key
from holdfast.audit.tlog_proofs import decode_proof, verify_proof
from holdfast.audit.witness_http import WitnessServer
from holdfast.audit.witnessing import Request, Witness, encode_request
from holdfast.audit.writing import LogWriter
from holdfast.control.audit.auditing import AuditLog, audit_key_path, create_log, declare_anew, find_log, log_of
from holdfast.control.audit.log_key_changes import Rotated, rotate_log_key
from holdfast.control.audit.recording import journal_of
from holdfast.errors import CredentialError, DamageError, HoldfastError, RefusedError, UntrustedError, UsageError
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import an_entry, put_back
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.workspace import TrialVault, new_trial_vault, own_memory

_SCRIPT = Path(__file__).parents[2] / "docs" / "verify-tlog-proof.py"
_PROGRAM = Actor(fingerprint="", label="program", role="log")


class World:
    """A vault with a log on a store in memory, and the home of the machine that keeps its key."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = folder / "home"
        self.config = self.home / "config"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(self.config))
        self.trial: TrialVault = new_trial_vault(MemoryStore())
        create_log(self.trial.open().handle)
        self.old = self.key()

    @property
    def store(self) -> MemoryStore:
        store = self.trial.store
        assert isinstance(store, MemoryStore)
        return store

    @property
    def path(self) -> Path:
        return audit_key_path(self.log().vault_id)

    def key(self) -> NoteKey:
        return load_note_key(audit_key_path(self.trial.open().handle.keys.vault.hex()), "log")

    def log(self, store: object = None) -> AuditLog:
        return log_of(self.trial.open(store=store or self.store).handle)  # type: ignore[arg-type]

    def add(self, count: int = 1) -> None:
        self.log().append([an_entry(_PROGRAM) for _ in range(count)])

    def record(self, count: int = 1) -> None:
        journal = journal_of(self.trial.open().handle)
        for _ in range(count):
            assert journal.record("save", required=True)

    def rotate(self, store: object = None, **options: object) -> Rotated:
        return rotate_log_key(self.trial.open(store=store or self.store).handle, **options)  # type: ignore[arg-type]

    def findings(self, **options: object) -> set[str]:
        return {one.kind for one in self.log().verify(**options).findings}  # type: ignore[arg-type]

    def checkpoint(self) -> Checkpoint:
        return self.log().reader.get_newest().checkpoint

    def witness(self) -> Witness:
        """One that knows the keys that count now."""
        log = self.log()
        own = NoteKey.generate("witness", "b.test/w")
        return Witness(own, MemoryStore(), {log.declared.origin: log.declared.keys})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with own_memory(tmp_path / "state"):
        yield World(tmp_path, monkeypatch)


def test_a_new_key_takes_over_and_everything_before_still_counts(world: World, tmp_path: Path) -> None:
    world.add(300)
    early = world.log().prove(1)
    done = world.rotate()
    assert (done.size, done.handed_over) == (301, True)
    assert world.key().keys != world.old.keys and done.retired is not None
    assert load_note_key(done.retired, "log").keys == world.old.keys
    handed = world.log().prove(1)
    world.record(2)
    assert world.log().sequence().entries == 2
    world.add(5)
    assert world.findings() == set()
    late, new = world.log().prove(1), world.key()
    entry = decode_proof(early, "x").extra
    keys = world.log().declared.all_keys
    for data, fitting in ((early, [world.old]), (handed, [world.old, new]), (late, [new])):
        proof = decode_proof(data, "x")
        verify_proof(proof, entry, world.old.name, keys)
        for key in (world.old, new):
            if key in fitting:
                verify_proof(proof, entry, world.old.name, key.keys)
            else:
                with pytest.raises(UntrustedError):
                    verify_proof(proof, entry, world.old.name, key.keys)
            assert _script(tmp_path, data, key) is (key in fitting)


def _script(folder: Path, proof: bytes, key: NoteKey) -> bool:
    """What the stand-alone script says."""
    path = folder / "x.tlog-proof"
    path.write_bytes(proof)
    vkeys = [one.vkey for one in key.keys]
    return subprocess.run([sys.executable, _SCRIPT, path, *vkeys], capture_output=True, check=False).returncode == 0


def test_it_turns_over_again_and_again(world: World) -> None:
    keys = [world.old]
    for turn in range(3):
        world.add(turn * 200 + 56)  # once, the last entry of a key is that of a full bundle
        world.rotate()
        keys.append(world.key())
    world.add()
    assert world.findings() == set()
    assert len({key.keys for key in keys}) == 4
    assert [era.keys for era in world.log().declared.all_keys.eras] == [key.keys for key in keys]
    assert world.findings() == set(), "a second look continues the first one"
    declare_anew(world.trial.open().handle, witnesses=[], quorum=0)
    world.add()
    assert world.findings() == set()


def test_the_last_entry_of_the_old_key_names_the_new_one(world: World) -> None:
    world.add(7)
    world.rotate()
    log = world.log()
    data = [entry for _, entry in log.entries()][-1]
    leaf = decode_leaf(data, "x")
    assert (leaf.entry.action, leaf.entry.actor.role, leaf.signed) == (KEY_CHANGE, "keeper", None)
    named = named_keys(data)
    assert named is not None and named.ed25519 == world.key().keys[0].vkey
    signed = log.reader.get_newest()
    lines = {(one.name, one.key_id) for one in signed.note.signatures}
    assert lines == {(one.name, one.key_id) for key in (world.old, world.key()) for one in key.keys}


@pytest.mark.parametrize("how", ["crash", "lost answer"])
def test_whatever_operation_on_the_store_is_the_last_the_change_is_finished_by_the_next_try(
    world: World, how: str
) -> None:
    """And until then nobody signs what would not count, and nothing that a member recorded is lost."""
    world.add(255)
    world.record(2)
    before, kept = world.checkpoint(), world.home.with_name("kept")
    shutil.copytree(world.home, kept)
    original = world.trial.store
    counting = FaultyStore(world.store.fork(), Faults())
    opened = len(counting.log)
    world.rotate(counting)
    points = len(counting.log) - opened
    assert points > 10
    outcomes = set()
    for number in range(1, points + 1):
        _back(world, kept)
        store, faults = original.fork(), Faults()  # type: ignore[attr-defined]
        faults.stop_after(number) if how == "crash" else faults.lose_answer("*", at=number)
        with suppress(Crash, HoldfastError):
            world.rotate(FaultyStore(store, faults))
        world.trial = _on(world.trial, store)
        refused = _try_to_append(world)
        declared = len(world.log().declared.counting)
        outcomes.add((declared, refused))
        if world.key().keys == world.old.keys:
            world.rotate()
        world.log().sequence(grace_seconds=0)
        world.add()
        assert world.key().keys != world.old.keys
        report = world.log().verify()
        assert (report.findings, report.sound) == ([], True), f"{how} at {number}"
        world.log().reader.check_extends(before, report.newest.checkpoint)  # type: ignore[union-attr]
        actions = [decode_leaf(data, "x").entry.action for _, data in world.log().entries()]
        assert actions.count("save") == 2 and actions.count(KEY_CHANGE) == 1
        world.trial = _on(world.trial, original)
    assert {(1, False), (1, True), (2, False)} <= outcomes, "not begun, handed over, declared"


def _on(trial: TrialVault, store: object) -> TrialVault:
    return replace(trial, store=store)  # type: ignore[arg-type]


def _back(world: World, kept: Path) -> None:
    shutil.rmtree(world.home)
    shutil.copytree(kept, world.home)
    for path in Path(os.environ["XDG_STATE_HOME"]).rglob("*.log.json"):
        path.unlink()  # another world's log is no fork of this one's


def _try_to_append(world: World) -> bool:
    try:
        world.add()
    except RefusedError as error:
        assert "handed over" in error.message
        return True
    return False


@pytest.mark.parametrize("step", ["link", "replace"])
def test_who_dies_before_the_new_key_has_its_place_finds_it(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world.add(3)
    moved = Path.replace

    def dies(*args: object) -> None:
        raise Crash("here")

    def dies_there(path: Path, target: Path) -> Path:
        if path.name.endswith(".next"):
            raise Crash("here")
        return moved(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "link", dies) if step == "link" else (Path, "replace", dies_there)))
        with pytest.raises(Crash):
            world.rotate()
    assert world.key().keys == world.old.keys
    world.add(2)  # the declared key is used from where it lies
    done = world.rotate()
    assert done.size == 4 and world.key().keys == tuple(world.log().declared.keys)
    world.add()
    assert world.findings() == set()


def test_an_append_that_was_under_way_when_the_key_was_handed_over_is_refused(world: World) -> None:
    world.add(3)
    late = world.log().writer()
    late.heads()
    world.rotate()
    entry = encode(an_entry(_PROGRAM))
    with pytest.raises(RefusedError, match="handed over"):
        late.append([entry])
    with pytest.raises(UsageError):
        late.hand_over(world.key(), entry)
    world.add()
    assert world.findings() == set()


def _naming(key: NoteKey) -> bytes:
    entry = an_entry(_PROGRAM, KEY_CHANGE)
    return encode(msgspec.structs.replace(entry, objects=change_objects(key.keys)))


def test_a_change_that_was_begun_elsewhere_is_not_taken_over_unless_asked_for(world: World) -> None:
    world.add(3)
    other = NoteKey.generate("log", world.old.name)
    world.log().hand_over(other, _naming(other))
    with pytest.raises(RefusedError, match="handed over"):
        world.rotate()
    with pytest.raises(RefusedError, match="handed over"):
        world.add()
    world.rotate(anew=True)
    world.add()
    assert world.findings() == set()


# --- an old key in wrong hands -----------------------------------------------------------------------------------


def _signed_by(key: NoteKey, checkpoint: Checkpoint) -> bytes:
    return Note(checkpoint.text, tuple(key.sign(checkpoint, 1_700_000_000))).encode()


def _forged(world: World, count: int, more: int) -> MemoryStore:
    """The log as whoever stole the old key before the change would have gone on: `more` entries after `count`."""
    fork = MemoryStore()
    entries = [data for _, data in world.log().entries()][:count]
    writer = LogWriter(fork, world.old, reader=LogReader(fork, world.old.name, world.old.keys))
    writer.append([*entries, *(encode(an_entry(_PROGRAM, "forged")) for _ in range(more))])
    return fork


def test_an_old_key_signs_nothing_that_counts_beyond_the_change(world: World) -> None:
    world.add(5)
    world.rotate()
    world.add(2)
    real, keys = world.checkpoint(), world.log().declared.all_keys
    fork = _forged(world, 6, 20)
    bigger = LogReader(fork, world.old.name, world.old.keys).get_newest()
    assert bigger.checkpoint.size == 26
    with pytest.raises(UntrustedError):
        open_checkpoint(bigger.note.encode(), world.old.name, keys, "x")
    for checkpoint in (bigger.checkpoint, real, Checkpoint(world.old.name, 3, bytes(32))):
        world.store.put(f"{CHECKPOINTS}0000000009", _signed_by(world.old, checkpoint))
        assert world.checkpoint() == real, "whatever the old key signs, later or larger, is passed over"
        assert world.findings() == {"stray"}
    request = encode_request(Request(0, [], bigger.note.encode()))
    assert world.witness().add_checkpoint(request).status == 403
    world.add()
    assert world.checkpoint().size == 9
    assert world.findings() == {"stray"}


def test_an_old_key_cannot_rewrite_what_was_before_the_change(world: World) -> None:
    """The declaration holds the root that was handed over, and the new key has signed it."""
    world.add(5)
    world.rotate()
    world.add(2)
    store = MemoryStore()
    writer = LogWriter(store, world.old, reader=LogReader(store, world.old.name, world.old.keys))
    key = world.key()
    writer.append([encode(an_entry(_PROGRAM, "forged")) for _ in range(5)])
    signed = writer.hand_over(key, _naming(key))  # even if it had the new one's signatures
    with pytest.raises(UntrustedError, match="keys changed"):
        open_checkpoint(signed.note.encode(), world.old.name, world.log().declared.all_keys, "x")
    for info in store.list("audit/"):
        world.store.put(info.key, store.get(info.key))
    assert world.findings() & {"fork", "alteration"}


def test_batches_of_the_old_key_do_not_count_after_the_change(world: World) -> None:
    """Else a thief of the old key could tell the sequencer that a member's entries are in the log already."""
    from holdfast.audit.batches import Batch, batch_key, encode_batch
    from holdfast.audit.groups import Head

    world.record()
    world.log().sequence()
    world.rotate()
    world.add()
    newest = world.log().reader.get_newest()
    mark = next(iter(world.log().members))
    lie = Batch(newest.generation, newest.checkpoint.size, newest.checkpoint.root, {mark: Head(99, "0" * 64)}, [])
    data = encode_batch(lie, world.old)
    for info in list(world.store.list("audit/batches/")):
        world.store.delete(info.key)
    world.store.put(batch_key(newest.generation, data), data)
    world.record()
    assert world.log().sequence().entries == 1


def test_a_declaration_that_is_not_the_old_keys_word_is_told(world: World) -> None:
    """A keeper who leaves the old key out of it, or says something else than what was handed over."""
    from holdfast.audit.declaration import declare
    from holdfast.audit.log_keys import Change

    world.add(5)
    newest = world.log().reader.get_newest()
    handle = world.trial.open().handle
    log, new = world.log(), NoteKey.generate("log", world.old.name)

    def change(since: Change) -> None:
        declare(
            handle.store, handle.keys.require_keeper("x"), origin=world.old.name, keys=new.keys, witnesses=[],
            quorum=0, names=False, created_ns=2, before=log.declared, since=since,
        )  # fmt: skip

    change(Change(newest.generation, 5, newest.checkpoint.root))
    assert world.findings() == {"fork"}
    world.store.delete(f"{DECLARATIONS}0000000002")
    change(Change(newest.generation, 4, bytes(32)))
    assert "fork" in world.findings()
    world.store.delete(f"{DECLARATIONS}0000000002")
    change(Change(newest.generation + 7, 50, bytes(32)))
    assert "fork" in world.findings()


def test_a_declaration_with_other_keys_has_to_say_since_when(world: World) -> None:
    world.add(5)
    world.rotate()
    place = f"{DECLARATIONS}0000000002"
    said = decode_declaration(world.store.get(place), "x")
    keeper = world.trial.open().handle.keys.require_keeper("x")
    assert isinstance(said.since, Since)
    first = decode_declaration(world.store.get(f"{DECLARATIONS}0000000001"), "x")
    for wrong in (
        msgspec.structs.replace(said, since=msgspec.UNSET),
        msgspec.structs.replace(said, keys=first.keys),
        msgspec.structs.replace(first, generation=2, since=said.since),
    ):
        bare = msgspec.structs.replace(wrong, signature=b"")
        signed = msgspec.structs.replace(bare, signature=keeper.sign(bare.message))
        world.store.put(place, msgspec.json.encode(signed, order="sorted"))
        assert tuple(world.log().declared.keys) == world.old.keys, "it does not count"


# --- a key that is lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [0, 5])
def test_a_lost_key_is_replaced_by_the_keeper_alone_and_that_is_told(world: World, entries: int) -> None:
    if entries:
        world.add(entries)
    with pytest.raises(RefusedError, match="not lost"):
        world.rotate(lost=True)
    world.path.unlink()
    with pytest.raises(CredentialError):
        world.rotate()
    done = world.rotate(lost=True)
    assert (done.size, done.handed_over, done.retired) == (entries, False, None)
    world.add(3)
    report = world.log().verify()
    assert report.sound and [one.kind for one in report.findings] == ["stray"]
    assert "alone" in report.findings[0].message
    assert world.checkpoint().size == entries + 3


# --- detection across a change -------------------------------------------------------------------------------------

_Damage = Callable[[World], None]


def _rolled_back(world: World) -> None:
    earlier = MemoryStore()
    put_back(earlier, world.store)
    world.add(3)
    world.log().verify()
    put_back(world.store, earlier)


def _declaration_rolled_back(world: World) -> None:
    """Also the change itself is taken back, and the old key goes on."""
    world.log().verify()
    world.store.delete(f"{DECLARATIONS}0000000002")


def _truncated(world: World) -> None:
    world.store.delete("audit/tile/entries/001")


def _reordered(world: World) -> None:
    _with_bundle(world, lambda entries: [entries[1], entries[0], *entries[2:]])


def _deleted(world: World) -> None:
    _with_bundle(world, lambda entries: entries[1:])


def _with_bundle(world: World, change: Callable[[list[bytes]], list[bytes]]) -> None:
    from holdfast.audit.tiles import decode_bundle, encode_bundle

    place = "audit/tile/entries/000"
    world.store.put(place, encode_bundle(change(decode_bundle(world.store.get(place), None, "x"))))


def _forked(world: World) -> None:
    """The old key signs another history up to the change, the store shows that one."""
    world.log().verify()
    fork = MemoryStore()
    writer = LogWriter(fork, world.old, reader=LogReader(fork, world.old.name, world.old.keys))
    writer.append([encode(an_entry(_PROGRAM, "forged")) for _ in range(530)])
    for info in list(world.store.list("audit/checkpoints/")):
        world.store.delete(info.key)
    for info in list(world.store.list("audit/tile/")):
        world.store.delete(info.key)
    for info in fork.list("audit/"):
        world.store.put(info.key, fork.get(info.key))


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (_rolled_back, {"rollback"}),
        (_declaration_rolled_back, {"rollback"}),
        (_truncated, {"truncation"}),
        (_reordered, {"reordering"}),
        (_deleted, {"deletion"}),
        (_forked, {"fork", "rollback"}),
    ],
)
def test_every_attack_shows_across_a_change(world: World, damage: _Damage, kinds: set[str]) -> None:
    world.add(400)
    world.rotate()
    world.add(300)
    assert world.findings() == set()
    damage(world)
    assert world.findings() & kinds


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["rollback", "truncation", "reordering", "deletion", "fork"])
def test_a_witness_refuses_every_attack_across_a_change(world: World, when: str, what: str) -> None:
    """It saw the log last before the change or after it, is told of the new key, and then something was done."""
    world.add(100)
    own, key = MemoryStore(), NoteKey.generate("witness", "b.test/w")

    def look() -> None:
        log = world.log()
        witness = Witness(key, own, {log.declared.origin: log.declared.keys})
        witness_here(witness, LogReader(log.store, log.declared.origin, log.declared.all_keys), log.reader.get_newest())

    earlier = MemoryStore()
    put_back(earlier, world.store)
    if when == "before":
        world.add(1)
        look()
    world.rotate()
    look()
    world.add(200)
    if when == "after":
        look()
        put_back(earlier, world.store)
        world.add(300)
    if what == "rollback":
        if when == "after":
            look()
        put_back(world.store, earlier)
    elif what == "fork":
        _fork_with_the_new_key(world)
    elif what == "truncation":
        world.store.delete([info.key for info in world.store.list("audit/tile/entries/")][-1])
    else:
        _with_last_bundle(world, reverse=what == "reordering")
    with pytest.raises((DamageError, UntrustedError)):
        look()


def _with_last_bundle(world: World, *, reverse: bool) -> None:
    from holdfast.audit.tiles import decode_bundle, encode_bundle

    place = [info.key for info in world.store.list("audit/tile/entries/")][-1]
    entries = decode_bundle(world.store.get(place), None, "x")
    world.store.put(place, encode_bundle(entries[::-1] if reverse else entries[:-1]))


def _fork_with_the_new_key(world: World) -> None:
    """Whoever has the key that counts now signs another history of that size."""
    size, fork = world.checkpoint().size, MemoryStore()
    writer = LogWriter(fork, world.key(), reader=LogReader(fork, world.old.name, world.key().keys))
    writer.append([encode(an_entry(_PROGRAM, "forged")) for _ in range(size + 50)])
    newest = LogReader(fork, world.old.name, world.key().keys).get_newest()
    for info in list(world.store.list("audit/tile/")):
        world.store.delete(info.key)
    for info in fork.list("audit/tile/"):
        world.store.put(info.key, fork.get(info.key))
    world.store.put(f"{CHECKPOINTS}0000000099", newest.note.encode())


def test_a_witness_that_listens_cosigns_what_is_handed_over(world: World) -> None:
    world.add(5)
    witness = world.witness()
    declare_anew(world.trial.open().handle, witnesses=witness.key.keys, quorum=1)
    with WitnessServer(witness, "127.0.0.1", 0) as server:
        done = world.rotate(witness_urls=[server.url])
        assert done.cosigned == ["b.test/w"]
        assert world.findings() == set()
        world.add()
        assert world.log().ask_witnesses([server.url]) == [], "it knows the old key only, until it is told"
    told = world.witness()
    told.key = witness.key
    assert world.findings() == {"unwitnessed"}


def test_a_machine_that_knows_the_new_key_takes_no_older_description(world: World) -> None:
    """Also where it only witnessed: the thief of the old key has the declaration of the new one taken away."""
    world.add(5)
    world.rotate()
    shutil.rmtree(os.environ["XDG_STATE_HOME"])
    world.log().remember_declared()
    world.store.delete(f"{DECLARATIONS}0000000002")
    log = world.log()
    assert tuple(log.declared.keys) == world.old.keys
    with pytest.raises(DamageError, match="described anew before"):
        log.require_declared()
    shutil.copy(next(world.home.rglob("*.retired")), world.path)
    with pytest.raises(DamageError, match="described anew before"):
        world.add()


def test_the_log_of_a_vault_without_changes_is_as_it_was(world: World) -> None:
    world.add()
    keys = world.log().declared.all_keys
    assert isinstance(keys, LogKeys) and keys.current == world.old.keys == tuple(keys)
    assert b"since" not in world.store.get(f"{DECLARATIONS}0000000001")
    assert find_log(world.trial.open().handle) is not None
