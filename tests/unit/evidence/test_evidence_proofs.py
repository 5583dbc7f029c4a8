"""Proofs of the audit log beside a bundle: whose, about what, seen by whom; by the package and by the script."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from runs import example_run, example_setting

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import Actor, encode
from holdfast.audit.journal import make_entry
from holdfast.audit.merkle import hash_children, hash_leaf
from holdfast.audit.notes import Note
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.tlog_proofs import TlogProof, encode_proof
from holdfast.errors import DamageError, UntrustedError
from holdfast.evidence.bundle import make_files, verify_files, write_files
from holdfast.evidence.chain import journal_file
from holdfast.evidence.log_proofs import trimmed
from holdfast.evidence.record_trust import LogEntry, LogTrust
from holdfast.evidence.recording import record_of
from holdfast.recovery.plans import plan_hash
from holdfast.trust.signing import SigningKey

KEY = SigningKey(bytes(range(64)))
LOG = NoteKey("log", "example.com/log", bytes(range(32)), bytes(range(32, 64)))
NEW_LOG = NoteKey("log", "example.com/log", bytes(range(1, 33)), bytes(range(33, 65)))
SITE_B = NoteKey("witness", "example.com/b", bytes(range(2, 34)), bytes(range(34, 66)))
STRANGER = NoteKey("witness", "example.com/x", bytes(range(3, 35)), bytes(range(35, 67)))
SCRIPT = Path(__file__).parents[3] / "docs" / "verify-evidence.py"


def entry(objects: dict[str, str], action: str = "recover.run") -> bytes:
    actor = Actor(fingerprint="", label="keeper", role="keeper")
    return encode(make_entry(actor, action, "allowed", (), objects, "done", "", 1_790_000_000_000_000_000))


def proof(said: bytes, signers: tuple[NoteKey, ...] = (LOG, SITE_B)) -> bytes:
    """That `said` is entry 1 of two."""
    beside = hash_leaf(b"another entry")
    checkpoint = Checkpoint(LOG.name, 2, hash_children(beside, hash_leaf(said)))
    lines = [line for key in signers for line in key.sign(checkpoint, 1_790_000_100)]
    return encode_proof(TlogProof(1, [beside], Note(checkpoint.text, tuple(lines)), said))


def bundle(*, expected: bytes | None = None) -> dict[str, bytes]:
    """A signed bundle whose record names the log, and perhaps an entry that was in it."""
    entries: tuple[LogEntry, ...] = ()
    if expected is not None:
        said = msgspec.json.decode(expected)
        entries = (LogEntry(id=said["id"], action="recover.run", decision="allowed", outcome="done", utc=""),)
    log = LogTrust(
        origin=LOG.name,
        keys=tuple(key.vkey for key in LOG.keys),
        witnesses=tuple(key.vkey for key in SITE_B.keys),
        quorum=1,
        entries=entries,
    )
    run = example_run()
    return make_files(
        record_of(run, example_setting(log=log)), KEY, journal=journal_file(run.run, run.stores, run.entries, run.head)
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    module = ModuleType("verify_evidence_script")
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    return module


def by_script(script: ModuleType, files: dict[str, bytes], folder: Path, **options: Any) -> None:
    write_files(files, folder)
    usual: dict[str, Any] = {"folder": str(folder), "signer": None, "log_key": [], "witness": [], "quorum": 0}
    script.verify(type("Options", (), usual | {"require_log": False} | options))


PLAN = plan_hash(example_run().plan)


def test_an_entry_about_the_plan_and_one_about_the_evidence_are_proven(script: ModuleType, tmp_path: Path) -> None:
    said = entry({"plan": PLAN})
    files = bundle(expected=said)
    own = entry({"evidence": hashlib.sha256(files["manifest.json"]).hexdigest()}, "evidence.write")
    for place, one in enumerate((said, own)):
        whole = {**files, "proofs/1.tlog-proof": proof(one)}
        if place == 0:
            [proven] = verify_files(whole).proven
            assert (proven.action, proven.place, proven.size, proven.witnesses) == ("recover.run", 1, 2, (SITE_B.name,))
            assert not proven.of_evidence
            by_script(script, whole, tmp_path / "plan", quorum=1, witness=[key.vkey for key in SITE_B.keys])
            with pytest.raises(script.Wrong, match="witnesses that you named"):  # the record alone names it
                by_script(script, whole, tmp_path / "unnamed", quorum=1)
            with pytest.raises(script.Wrong, match="witnesses that you named"):
                by_script(script, whole, tmp_path / "x", quorum=1, witness=[key.vkey for key in STRANGER.keys])
            with pytest.raises(script.Wrong, match="itself is in the log"):
                by_script(script, whole, tmp_path / "other", require_log=True)
        else:
            with pytest.raises(DamageError, match="no proof of it"):
                verify_files(whole)
    bare = bundle()
    own = entry({"evidence": hashlib.sha256(bare["manifest.json"]).hexdigest()}, "evidence.write")
    whole = {**bare, "proofs/1.tlog-proof": proof(own)}
    assert verify_files(whole).proven[0].of_evidence
    by_script(script, whole, tmp_path / "own", require_log=True)


BAD: dict[str, tuple[str, bytes]] = {
    "about something else": ("proofs/1.tlog-proof", proof(entry({"plan": "0" * 64}))),
    "of another place": ("proofs/2.tlog-proof", proof(entry({"plan": PLAN}))),
    "not signed by the log": ("proofs/1.tlog-proof", proof(entry({"plan": PLAN}), (SITE_B,))),
    "signed by another key": ("proofs/1.tlog-proof", proof(entry({"plan": PLAN}), (NEW_LOG,))),
    "with a line of a stranger": ("proofs/1.tlog-proof", proof(entry({"plan": PLAN}), (LOG, STRANGER))),
    "rubbish": ("proofs/1.tlog-proof", b"c2sp.org/tlog-proof@v1\n"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_proof_that_proves_nothing_here_is_not_accepted(kind: str, script: ModuleType, tmp_path: Path) -> None:
    name, data = BAD[kind]
    with pytest.raises((DamageError, UntrustedError)):
        verify_files({**bundle(), name: data})
    with pytest.raises(script.Wrong):
        by_script(script, {**bundle(), name: data}, tmp_path / "it")


def test_each_changed_byte_of_a_proof_is_seen_by_both(script: ModuleType, tmp_path: Path) -> None:
    said = entry({"plan": PLAN})
    files, whole = bundle(expected=said), proof(said)
    options: dict[str, Any] = {"log_key": [], "witness": [], "quorum": 0, "require_log": False}
    log = LogTrust(
        origin=LOG.name,
        keys=tuple(key.vkey for key in LOG.keys),
        witnesses=tuple(key.vkey for key in SITE_B.keys),
    )
    told = msgspec.to_builtins(log)
    script.check_proof("proofs/1.tlog-proof", whole, told, type("Options", (), options))
    for place in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        with pytest.raises((DamageError, UntrustedError)):
            verify_files({**files, "proofs/1.tlog-proof": bytes(damaged)})
        with pytest.raises((script.Wrong, ValueError, KeyError, IndexError)):
            entry_of, *_ = script.check_proof("proofs/1.tlog-proof", bytes(damaged), told, type("Options", (), options))
            script.require(entry_of["objects"].get("plan") == PLAN, "another plan")


def test_a_log_that_changed_its_key_since_is_believed_by_who_names_the_new_key(
    script: ModuleType, tmp_path: Path
) -> None:
    whole = {**bundle(), "proofs/1.tlog-proof": proof(entry({"plan": PLAN}), (NEW_LOG, SITE_B))}
    newer = [key.vkey for key in NEW_LOG.keys]
    assert verify_files(whole, log_keys=newer).proven
    by_script(script, whole, tmp_path / "it", log_key=newer)


def test_lines_of_others_are_taken_out_before_a_proof_is_kept() -> None:
    said = entry({"plan": PLAN})
    kept = trimmed(proof(said, (LOG, SITE_B, STRANGER)), LOG.keys, SITE_B.keys)
    assert verify_files({**bundle(), "proofs/1.tlog-proof": kept}).proven
