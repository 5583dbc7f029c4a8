"""What the review warned of is in the record, and a record that leaves it out does not hold."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from runs import example_run, example_setting, usual_course
from scripted import by_script, loaded_script

from holdfast.errors import RefusedError
from holdfast.evidence.bundle import make_files, verify_files
from holdfast.evidence.chain import journal_file
from holdfast.evidence.gathered import Reviewed
from holdfast.evidence.manifest import MANIFEST, SIGNATURE
from holdfast.evidence.recording import record_of
from holdfast.recovery.journal.entries import Deed
from holdfast.trust.signing import SigningKey

KEY = SigningKey(bytes(range(64)))


def test_warnings_are_deviations_that_nobody_can_leave_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        (at, deed, {**words, "facts": {"warning0": "RTO_MISSED: run: it takes 9 s: too long"}})
        if deed is Deed.TAKEN
        else (at, deed, words)
        for at, deed, words in usual_course()
    ]
    run = example_run(said)
    journal = journal_file(run.run, run.stores, run.entries, run.head)
    warned = Reviewed(code="RTO_MISSED", about="run", reason="it takes 9 s: too long", refused=False)
    record = record_of(run, example_setting(reviewed=(warned,)))
    files = make_files(record, KEY, journal=journal)
    texts = [getattr(one, "text", one) for one in verify_files(files).record.deviations]
    assert "The review warned: run: it takes 9 s: too long (RTO_MISSED)" in texts
    assert b"it takes 9 s: too long" in files["evidence.html"]
    script = loaded_script()
    by_script(script, files, tmp_path)
    silent = record_of(run, example_setting())
    with pytest.raises(RefusedError, match="leaves out what the review warned of: RTO_MISSED"):
        make_files(silent, KEY, journal=journal)
    monkeypatch.setattr("holdfast.evidence.bundle.chain_problems", lambda journal, record: [])  # a liar's own program
    with pytest.raises(script.Wrong, match="leaves out what the review warned of: RTO_MISSED"):
        by_script(script, make_files(silent, KEY, journal=journal), tmp_path)
    assert {MANIFEST, SIGNATURE} <= files.keys()
    assert msgspec.json.decode(files["evidence.json"])["deviations"]
