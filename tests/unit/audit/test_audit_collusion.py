"""A witness against everybody else, and with the log against everybody else."""

from __future__ import annotations

import pytest

from holdfast.audit.cosigning import store_cosignatures, witness_here
from holdfast.audit.notes import Note
from holdfast.audit.reading import open_checkpoint
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.witnessing import Witness
from holdfast.errors import UntrustedError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import TrialLog, new_trial_log


def a_witness(log: TrialLog) -> Witness:
    return Witness(NoteKey.generate("witness", "b.test/w"), MemoryStore(), {log.key.name: log.key.keys})


def test_a_witness_signs_no_checkpoint() -> None:
    """Its cosignature alone, however it is named, makes no state of the log count."""
    log = new_trial_log(MemoryStore())
    log.append(3)
    witness = a_witness(log)
    signed = log.reader().get_newest()
    bigger = signed.checkpoint._replace(size=4)
    for key in (witness.key, NoteKey.generate("log", log.key.name)):
        lines = key.sign(bigger, 1_700_000_000)
        note = Note(bigger.text, tuple(lines)).encode()
        with pytest.raises(UntrustedError):
            open_checkpoint(note, log.key.name, log.key.keys, "x")
        log.store.put("audit/checkpoints/0000000002", note)
        assert log.reader().get_newest().checkpoint == signed.checkpoint
        assert "stray" in {one.kind for one in log.verify().findings}


def test_witnesses_who_collude_hide_no_fork_from_who_looked_before() -> None:
    """Log and witness together cosign another history. Whoever remembers the first one is told."""
    log = new_trial_log(MemoryStore())
    log.append(5)
    remembered = log.checkpoint()
    other = log.on(MemoryStore())
    other.append(9)
    colluding = a_witness(other)  # it forgets what it saw: a new store
    signed = other.reader().get_newest()
    store_cosignatures(other.store, signed.generation, witness_here(colluding, other.reader(), signed))
    report = other.verify(remembered=remembered, witnesses=list(colluding.key.keys), quorum=1)
    assert report.witnesses == {"b.test/w"}
    assert "fork" in {one.kind for one in report.findings}


def test_one_witness_counts_once() -> None:
    """Two keys, two cosignatures, one name: a quorum of two is not reached."""
    log = new_trial_log(MemoryStore())
    log.append(5)
    witness = a_witness(log)
    signed = log.reader().get_newest()
    for _ in range(2):
        store_cosignatures(log.store, signed.generation, witness_here(witness, log.reader(), signed))
    report = log.verify(witnesses=list(witness.key.keys), quorum=2)
    assert report.witnesses == {"b.test/w"}
    assert "unwitnessed" in {one.kind for one in report.findings}


def test_a_log_is_no_witness_of_itself() -> None:
    """Its ML-DSA key is of the kind that witnesses have, and its line is below every checkpoint."""
    log = new_trial_log(MemoryStore())
    log.append(5)
    report = log.verify(witnesses=[log.key.keys[1]], quorum=1)
    assert report.witnesses == set()
    assert {one.kind for one in report.findings} == {"unwitnessed"}
