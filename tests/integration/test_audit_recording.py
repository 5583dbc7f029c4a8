"""What is done with a vault is in its audit log: by whom, to what, how it ended; and what was refused is, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.audit.copying import copy_log
from holdfast.audit.entries import Leaf, decode_leaf
from holdfast.audit.journal import SilentJournal
from holdfast.audit.layout import PENDING
from holdfast.control.audit.audited_vault import AuditedVault, JournalDecisions, audited, decision_logs, recorded_on
from holdfast.control.audit.auditing import AuditLog, create_log, log_of
from holdfast.control.audit.recorded import recorded
from holdfast.control.audit.recording import journal_of
from holdfast.control.authority.decision_log import DecisionRecord, denial_record
from holdfast.errors import DamageError, FailedError, HoldfastError, RefusedError
from holdfast.replication.copying.snapshots import mirror
from holdfast.stores.faulty import FaultyStore
from holdfast.stores.memory import MemoryStore
from holdfast.testing.faults import Crash, Faults
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault, own_memory
from holdfast.trust.credentials import Credential
from holdfast.vault.access.members import admit_reader, admit_writer, revoke_signer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with own_memory(tmp_path / "state"):
        yield


@pytest.fixture
def trial() -> TrialVault:
    trial = new_trial_vault(MemoryStore())
    create_log(trial.open().handle)
    return trial


def _open(trial: TrialVault, credential: Credential | None = None, **options: object) -> AuditedVault:
    return audited(trial.open(credential, **options))  # type: ignore[arg-type]


def _log(trial: TrialVault) -> AuditLog:
    return log_of(trial.open().handle)


def _entries(trial: TrialVault) -> list[Leaf]:
    log = _log(trial)
    log.sequence(grace_seconds=0)
    assert log.verify().findings == []
    return [decode_leaf(data, str(at)) for at, data in log.entries()]


def _source(tmp_path: Path, content: str = "weights") -> Path:
    path = tmp_path / "secret-run.bin"
    path.write_text(content * 100)
    return path


def test_a_life_is_recorded_verb_by_verb_without_a_plain_name(trial: TrialVault, tmp_path: Path) -> None:
    vault = _open(trial)
    first = vault.save("secret-asset", _source(tmp_path), step=1).root
    second = vault.save("secret-asset", _source(tmp_path, "other"), step=2).root
    vault.verify("secret-asset")
    vault.restore("secret-asset", tmp_path / "secret-place")
    vault.tag("secret-asset", "secret-tag")
    vault.hold(first.id, "an inquiry")
    with pytest.raises(RefusedError):
        vault.plan_drop(first.id)
    vault.unhold(first.id)
    vault.apply_drop(vault.plan_drop(first.id))
    vault.check()
    found = [(leaf.entry.action, leaf.entry.decision, leaf.entry.outcome) for leaf in _entries(trial)]
    assert found == [
        ("save", "allowed", "done"),
        ("save", "allowed", "done"),
        ("verify", "allowed", "done"),
        ("restore", "allowed", "done"),
        ("tag", "allowed", "done"),
        ("hold", "allowed", "done"),
        ("drop", "denied", "refused"),
        ("unhold", "allowed", "done"),
        ("drop", "allowed", "done"),
        ("vault.check", "allowed", "done"),
    ]
    leaves = _entries(trial)
    assert [leaves[at].entry.objects["snapshot"] for at in (0, 1, 8)] == [first.id, second.id, first.id]
    assert leaves[0].entry.objects["asset-hash"] == leaves[1].entry.objects["asset-hash"]
    assert {leaf.entry.actor.label for leaf in leaves} == {"keeper"}
    assert all(leaf.signed is not None for leaf in leaves)
    stored = b"".join(trial.store.get(info.key) for info in trial.store.list("audit/"))
    assert b"secret" not in stored


def test_a_restore_with_the_help_of_a_replica_is_recorded(trial: TrialVault, tmp_path: Path) -> None:
    _open(trial).save("a", _source(tmp_path))
    replica = MemoryStore()
    mirror(trial.store, replica)
    helped = _open(trial).with_replicas([trial.open(store=replica)])
    helped.restore("a", tmp_path / "out")
    assert [leaf.entry.action for leaf in _entries(trial)] == ["save", "restore"]


def test_a_writer_is_recorded_in_its_own_name_and_its_denials_are(trial: TrialVault, tmp_path: Path) -> None:
    writer = admit_writer(trial.open().handle, "gpu-1", keep=lambda credential: None)
    vault = _open(trial, writer)
    vault.save("a", _source(tmp_path))
    for verb in (lambda: vault.restore("a", tmp_path / "out"), lambda: vault.verify("a")):
        with pytest.raises(HoldfastError):
            verb()
    found = [(leaf.entry.actor.label, leaf.entry.action, leaf.entry.decision) for leaf in _entries(trial)]
    assert found == [
        ("gpu-1", "save", "allowed"),
        ("gpu-1", "restore", "denied"),
        ("gpu-1", "verify", "denied"),
    ]


def test_what_a_revoked_writer_writes_does_not_come_in(trial: TrialVault, tmp_path: Path) -> None:
    writer = admit_writer(trial.open().handle, "gpu-1", keep=lambda credential: None)
    stolen = _open(trial, writer)
    stolen.save("a", _source(tmp_path))
    assert len(_entries(trial)) == 1
    revoke_signer(trial.open().handle, "gpu-1")
    assert stolen.journal.record("save"), "it still can write to the store"
    log = _log(trial)
    done = log.sequence(grace_seconds=0)
    assert done.entries == 0 and "revoked" in next(iter(done.refused.values()))
    assert log.verify().findings == []


def test_a_log_that_cannot_be_written_is_loud_and_fails_nothing_unless_it_must(
    trial: TrialVault, tmp_path: Path
) -> None:
    notes, faults = NoteTaker(), Faults()
    faults.fail("create", matching="audit/*")
    vault = _open(trial, store=FaultyStore(trial.store, faults), progress=notes)
    assert vault.save("a", _source(tmp_path)).validated
    assert [note for note in notes.notes if note.startswith("NOT IN THE AUDIT LOG: save")]
    ran = False
    with pytest.raises(FailedError, match="was not begun"), recorded(vault.journal, "drop", required=True):
        ran = True
    assert not ran
    with pytest.raises(FailedError):
        JournalDecisions(vault.journal).record(denial_record("x", at_ns=1, origin="cli"), required=True)


def test_a_reader_without_the_logs_key_is_told_that_nothing_is_recorded(
    trial: TrialVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open(trial).save("a", _source(tmp_path))
    reader = admit_reader(trial.open().handle, "auditor", keep=lambda credential: None)
    _open(trial, reader).restore("a", tmp_path / "one")
    [own] = [leaf for leaf in _entries(trial) if leaf.entry.actor.label == "auditor"]
    assert (own.entry.action, own.signed) == ("restore", None), "in the log's own name"
    monkeypatch.setenv("HOLDFAST_AUDIT_KEY_FILE", str(tmp_path / "elsewhere.key"))
    notes = NoteTaker()
    _open(trial, reader, progress=notes).restore("a", tmp_path / "two")
    assert [note for note in notes.notes if note.startswith("NOT IN THE AUDIT LOG: restore")]


def test_a_vault_without_a_log_costs_nothing_and_says_nothing(tmp_path: Path) -> None:
    trial, notes = new_trial_vault(MemoryStore()), NoteTaker()
    vault = _open(trial, progress=notes)
    vault.save("a", _source(tmp_path))
    assert isinstance(journal_of(vault.handle), SilentJournal)
    assert not [note for note in notes.notes if "audit" in note.lower()]
    with pytest.raises(FailedError):
        journal_of(vault.handle).record("drop", required=True)


def test_plain_names_where_they_are_allowed_are_made_to_fit(tmp_path: Path) -> None:
    trial = new_trial_vault(MemoryStore())
    create_log(trial.open().handle, names=True)
    journal = journal_of(trial.open().handle)
    assert journal.record("restore", names={"asset": "llama", "target": "x" * 5000 + "\n\udcff"}, outcome="a\nb")
    [leaf] = _entries(trial)
    assert leaf.entry.objects["asset"] == "llama"
    assert len(leaf.entry.objects["target"]) == 512
    assert leaf.entry.outcome == "a\\nb"


def test_decisions_go_the_same_way(trial: TrialVault) -> None:
    journal = journal_of(trial.open().handle)
    JournalDecisions(journal).record(denial_record("the token is expired", at_ns=1, origin="api"), required=True)
    [leaf] = _entries(trial)
    assert (leaf.entry.action, leaf.entry.decision) == ("authenticate", "denied")
    assert list(leaf.entry.objects) == ["reason-hash"]


def test_what_is_allowed_is_in_the_entry_of_what_was_done(trial: TrialVault, tmp_path: Path) -> None:
    vault = _open(trial)
    [log] = decision_logs(vault)
    log.record(_decision("allow", ["trainers-save"]), required=False)
    assert not _entries(trial)
    vault.save("a", _source(tmp_path))
    [leaf] = _entries(trial)
    assert (leaf.entry.action, leaf.entry.policies) == ("save", ["trainers-save"])
    log.record(_decision("deny", ["nobody-drops"]), required=False)
    denied = _entries(trial)[-1].entry
    assert (denied.action, denied.decision, denied.policies) == ("save", "denied", ["nobody-drops"])


def test_a_vault_without_a_log_takes_no_decisions() -> None:
    assert decision_logs(new_trial_vault(MemoryStore()).open()) == ()
    trial = new_trial_vault(MemoryStore())
    [log] = decision_logs(_open(trial))
    log.record(_decision("deny", []), required=True)
    assert not [info.key for info in trial.store.list("audit/")]


def _decision(word: str, policies: list[str]) -> DecisionRecord:
    return DecisionRecord(
        at_ns=1,
        action="save",
        decision=word,
        principal={"kind": "Member", "id": "x/keeper"},
        roles=["keeper"],
        resource=None,
        policies=policies,
        reasons=[],
        errors=[],
        break_glass=None,
        origin="cli",
    )


def test_what_is_no_verb_of_a_vault_is_recorded_too(trial: TrialVault) -> None:
    with recorded_on(_open(trial), "key.revoke", names={"member": "gpu-1"}):
        pass
    assert [leaf.entry.action for leaf in _entries(trial)] == ["key.revoke"]


def test_a_record_is_one_create_and_one_look(trial: TrialVault) -> None:
    store = FaultyStore(trial.store, Faults())
    journal = journal_of(trial.open(store=store).handle)
    journal.record("save")
    before = len(store.log)
    journal.record("save")
    assert [(one.verb, one.key.startswith(PENDING)) for one in store.log[before:]] == [("create", True), ("head", True)]


def test_a_copy_of_the_log_is_sound_at_each_moment_and_another_history_is_refused(trial: TrialVault) -> None:
    for _ in range(3):
        journal_of(trial.open().handle).record("save")
    assert len(_entries(trial)) == 3
    target = MemoryStore()
    store = FaultyStore(target.fork(), Faults())
    copy_log(trial.store, store)
    points = len(store.log)
    for number in range(1, points):
        at = target.fork()
        with pytest.raises(Crash):
            copy_log(trial.store, FaultyStore(at, Faults().stop_after(number)))
        if next(at.list("audit/checkpoints/"), None) is not None:
            copied = log_of(trial.open().handle)
            reader = type(copied.reader)(at, copied.declared.origin, copied.declared.all_keys)
            newest = reader.get_newest()
            assert len(list(reader.checked_entries(newest.checkpoint))) == newest.checkpoint.size
    journal_of(trial.open().handle).record("drop")
    copy_log(trial.store, target)
    assert copy_log(trial.store, target).objects == 0
    assert {info.key: target.get(info.key) for info in target.list("audit/")} == {
        info.key: trial.store.get(info.key) for info in trial.store.list("audit/")
    }
    target.put("audit/checkpoints/0000000001", b"another history")
    with pytest.raises(DamageError, match="two histories"):
        copy_log(trial.store, target)
    assert target.get("audit/checkpoints/0000000001") == b"another history"
    assert os.environ["XDG_CONFIG_HOME"]
