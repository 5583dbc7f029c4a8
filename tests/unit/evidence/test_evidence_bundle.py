"""Bundles: whole, signed, chained, and told apart from anything else; by the package and by the stand-alone script."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from factory import example_evidence, unmeasured_evidence
from runs import example_drill, example_run, example_setting, usual_course

from holdfast.errors import (
    AlreadyExistsError,
    DamageError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedError,
    UsageError,
)
from holdfast.evidence.bundle import make_files, verify_evidence, verify_files, write_evidence, write_files
from holdfast.evidence.chain import journal_file
from holdfast.evidence.encoding import decode_record, encode_record
from holdfast.evidence.manifest import make_manifest, sign_manifest
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.recording import record_of
from holdfast.objectives import Split
from holdfast.recovery.journal.entries import Deed
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite

KEY = SigningKey(bytes(range(64)))
STRANGER = SigningKey(bytes(range(64, 128)))
SCRIPT = Path(__file__).parents[3] / "docs" / "verify-evidence.py"
OLD = Path(__file__).parents[2] / "compat" / "fixtures" / "evidence-1"
change = msgspec.structs.replace


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    run = example_run()
    record = record_of(run, example_setting(), example_drill())
    return make_files(record, KEY, journal=journal_file(run.run, run.stores, run.entries, run.head))


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """The stand-alone script as a module: a process for each damage would take minutes."""
    module = ModuleType("verify_evidence_script")
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    yield module


def by_script(script: ModuleType, folder: Path, **options: Any) -> None:
    """Raises whatever the script ends with 1 for."""
    usual: dict[str, Any] = {"folder": str(folder), "signer": None, "log_key": [], "witness": [], "quorum": 0}
    script.verify(type("Options", (), usual | {"require_log": False} | options))


def resigned(files: dict[str, bytes], key: SigningKey, **changed: bytes) -> dict[str, bytes]:
    """What whoever has a key of their own can do: replace contents, and make manifest and signature fit."""
    rest = {name: data for name, data in files.items() if not name.startswith("manifest")}
    rest |= {name.replace("_", "."): data for name, data in changed.items()}
    record = json.loads(rest["evidence.json"])
    manifest = make_manifest(record["identity"]["record_id"], record["identity"].get("run", ""), rest, key)
    return {**rest, "manifest.json": manifest, "manifest.sig": sign_manifest(manifest, key)}


def test_what_was_written_verifies_and_reads_back(made: dict[str, bytes]) -> None:
    verified = verify_files(made, signer=fingerprint(KEY.public).upper())
    assert verified.record.results.outcome == "PASSED"
    assert verified.sha256 == hashlib.sha256(made["evidence.json"]).hexdigest()
    names = {"evidence.json", "evidence.html", "evidence.pdf", "journal.json", "manifest.json", "manifest.sig"}
    assert set(made) == names


def test_equal_records_give_equal_files_but_for_the_signature(made: dict[str, bytes]) -> None:
    run = example_run()
    record = record_of(run, example_setting(), example_drill())
    again = make_files(record, KEY, journal=journal_file(run.run, run.stores, run.entries, run.head))
    assert [name for name in made if made[name] != again[name]] == ["manifest.sig"]


@pytest.mark.parametrize("suite", [Suite.HYBRID_1, Suite.HYBRID_2])
def test_the_script_alone_verifies_it(made: dict[str, bytes], suite: Suite, tmp_path: Path) -> None:
    key = SigningKey(bytes(range(64)), suite)
    write_files(resigned(made, key), tmp_path / "it")
    command = [sys.executable, "-I", str(SCRIPT), str(tmp_path / "it"), "--signer", fingerprint(key.public)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"signed by {fingerprint(key.public)} (whom you named)" in done.stdout
    assert "chain unbroken" in done.stdout and "run PASSED" in done.stdout
    other = subprocess.run([*command[:-1], "0" * 32], capture_output=True, text=True, check=False)
    assert other.returncode == 1 and "DOES NOT HOLD: it is signed by" in other.stderr


def test_the_script_uses_nothing_of_the_package() -> None:
    lines = [line.split() for line in SCRIPT.read_text().splitlines() if line.startswith(("import ", "from "))]
    used = {words[1].partition(".")[0] for words in lines}
    assert used - sys.stdlib_module_names == {"cryptography"}


def test_each_changed_byte_of_any_file_is_seen_by_both(
    made: dict[str, bytes], script: ModuleType, tmp_path: Path
) -> None:
    write_files(made, tmp_path / "it")
    by_script(script, tmp_path / "it")
    chance = random.Random(7)
    for name, content in made.items():
        places = {0, 1, len(content) // 2, len(content) - 2, len(content) - 1}
        places |= {chance.randrange(len(content)) for _ in range(40 if name.startswith("manifest") else 12)}
        for place in sorted(places):
            damaged = bytearray(content)
            damaged[place] ^= 1 << chance.randrange(8)
            with pytest.raises((DamageError, UntrustedError, UnsupportedFormatError)):
                verify_files({**made, name: bytes(damaged)})
            (tmp_path / "it" / name).write_bytes(damaged)
            with pytest.raises(Exception, match=r"\w"):
                by_script(script, tmp_path / "it")
        (tmp_path / "it" / name).write_bytes(content)
    by_script(script, tmp_path / "it")


@pytest.mark.parametrize("name", ["evidence.json", "evidence.html", "evidence.pdf", "journal.json", "manifest.json"])
def test_a_missing_file_is_named(made: dict[str, bytes], script: ModuleType, tmp_path: Path, name: str) -> None:
    rest = {one: data for one, data in made.items() if one != name}
    with pytest.raises((NotFoundError, DamageError), match=name.replace(".", r"\.")):
        verify_files(rest)
    write_files(rest, tmp_path / "it")
    with pytest.raises(script.Wrong, match=name.replace(".", r"\.")):
        by_script(script, tmp_path / "it")


def test_a_file_too_many_is_not_part_of_it(made: dict[str, bytes], script: ModuleType, tmp_path: Path) -> None:
    more = {**made, "notes.txt": b"all good"}
    with pytest.raises(DamageError, match=r"notes\.txt is not part"):
        verify_files(more)
    write_files(more, tmp_path / "it")
    with pytest.raises(script.Wrong, match=r"notes\.txt"):
        by_script(script, tmp_path / "it")


def test_a_stranger_s_signature_holds_only_for_who_names_no_signer(made: dict[str, bytes]) -> None:
    files = resigned(made, STRANGER)
    assert verify_files(files).signer == fingerprint(STRANGER.public)
    with pytest.raises(UntrustedError, match="not by") as caught:
        verify_files(files, signer=fingerprint(KEY.public))
    assert "fingerprint" in caught.value.hint


LIES: list[tuple[str, list[str | int], object]] = [
    ("verdict|RTO", ["results", "verdict", "rto", "measured"], 1.0),
    ("verdict|RPO", ["results", "verdict", "rpo", "measured"], 1.0),
    ("verdict|target", ["targets", "objective", "rto_seconds"], 3600.0),
    ("verdict|copies", ["results", "measured", "copies"], 3),
    ("part 'detect'", ["results", "measured", "split", "detect"], 0.1),
    ("part 'decide'", ["timeline", 3, "offset_seconds"], 4.0),
    ("fault", ["results", "measured", "fault_ns"], 1_790_000_000_900_000_000),
    ("content time|another time", ["snapshots", 0, "content_ns"], 1_790_000_000_000_000_000),
    ("compared differs|compared", ["integrity", "checks", 0, "actual"], "0" * 64),
    ("journal", ["trust", "journal", "entries"], 3),
    ("plan", ["identity", "plan", "sha256"], "0" * 64),
    ("step|result", ["steps", 1, "seconds"], 1.0),
    ("result", ["steps", 1, "result_sha256"], "0" * 64),
    ("outcome|ended|journal", ["results", "outcome"], "FAILED"),
]


@pytest.mark.parametrize(("words", "path", "value"), LIES, ids=[".".join(map(str, path)) for _, path, _ in LIES])
def test_a_signed_lie_is_not_accepted(
    made: dict[str, bytes], script: ModuleType, tmp_path: Path, words: str, path: list[str | int], value: object
) -> None:
    """Whoever signs may lie in what nobody can compute, and in nothing else."""
    record = json.loads(made["evidence.json"])
    if path == ["results", "outcome"]:  # a run without a drill: its outcome is the journal's alone
        record["identity"] |= {"drill": "", "kind": "recovery"}
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    if path[0] == "timeline":
        decided = next(one for one in record["timeline"] if one["kind"] == "decided")
        decided["offset_seconds"] = 4.0
        record["timeline"].sort(key=lambda one: one["offset_seconds"])
    else:
        assert inner[path[-1]] != value
        inner[path[-1]] = value
    files = resigned(made, KEY, evidence_json=json.dumps(record).encode())
    with pytest.raises(DamageError, match=words):
        verify_files(files)
    write_files(files, tmp_path / "it")
    with pytest.raises(script.Wrong):
        by_script(script, tmp_path / "it")


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"schema_version":"1"}', b"[" * 100_000, b"\xff\xfe"])
@pytest.mark.parametrize("name", ["manifest.sig", "manifest.json", "evidence.json", "journal.json"])
def test_rubbish_is_damage(made: dict[str, bytes], name: str, content: bytes) -> None:
    with pytest.raises((DamageError, UntrustedError)):
        verify_files({**made, name: content})
    if name.endswith(".json") and name != "manifest.json":
        run = {**made, name: content}
        with pytest.raises(HoldfastError):
            verify_files(_signed_anyway(run))


def _signed_anyway(files: dict[str, bytes]) -> dict[str, bytes]:
    rest = {name: data for name, data in files.items() if not name.startswith("manifest")}
    manifest = make_manifest("x", "y", rest, KEY)
    return {**rest, "manifest.json": manifest, "manifest.sig": sign_manifest(manifest, KEY)}


def test_a_newer_format_is_told_apart_from_damage(made: dict[str, bytes]) -> None:
    record = json.loads(made["evidence.json"]) | {"schema_version": 3}
    with pytest.raises(UnsupportedFormatError, match="version 3"):
        verify_files(resigned(made, KEY, evidence_json=json.dumps(record).encode()))


def test_evidence_is_never_overwritten(tmp_path: Path) -> None:
    written = write_evidence(example_evidence(), tmp_path / "it", KEY)
    assert written.evidence is not None and verify_evidence(tmp_path / "it").record == example_evidence()
    before = written.evidence.read_bytes()
    with pytest.raises(AlreadyExistsError, match="evidence"):
        write_evidence(unmeasured_evidence(), tmp_path / "it", KEY)
    assert written.evidence.read_bytes() == before


def test_a_record_that_contradicts_itself_is_not_signed(tmp_path: Path) -> None:
    results = example_evidence().results
    measured = change(results.measured, split=Split())
    with pytest.raises(RefusedError, match="contradicts itself"):
        write_evidence(example_evidence(results=change(results, measured=measured)), tmp_path / "evidence", KEY)
    assert not (tmp_path / "evidence").exists()


def test_a_figure_that_json_cannot_hold_is_refused() -> None:
    example = example_evidence()
    with pytest.raises(UsageError, match="JSON cannot"):
        encode_record(change(example, clean_up=change(example.clean_up, cost_usd=float("nan"))))


def test_what_was_not_measured_says_so_in_the_file() -> None:
    content = json.loads(encode_record(unmeasured_evidence()))
    assert content["results"]["work_lost"]["gpu_hours"] == "NOT_MEASURED"
    assert content["results"]["verdict"]["rto"]["state"] == "NOT_MEASURED"
    assert decode_record(encode_record(unmeasured_evidence()), "it") == unmeasured_evidence()


def test_files_of_version_1_still_verify_and_their_damage_is_still_seen(tmp_path: Path) -> None:
    verified = verify_evidence(OLD, signer=fingerprint(KEY.public))
    assert verified.record.schema_version == 1 and verified.record.scope.asset == "demo-run"
    for name in ("evidence.json", "evidence.html", "evidence.json.sig"):
        copy = Path(shutil.copytree(OLD, tmp_path / name))
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content.replace(b"87", b"86") if b"87" in content else content[:-9] + b"x" * 9)
        with pytest.raises((DamageError, UntrustedError)):
            verify_evidence(copy)


def test_a_record_of_version_2_is_not_taken_for_one_of_version_1(made: dict[str, bytes]) -> None:
    old = {path.name: path.read_bytes() for path in OLD.iterdir()}
    mixed = {**old, "evidence.json": made["evidence.json"]}
    with pytest.raises(DamageError):
        verify_files(mixed)


def test_the_module_as_a_command(made: dict[str, bytes], tmp_path: Path) -> None:
    write_files(made, tmp_path / "it")
    command = [sys.executable, "-W", "error", "-m", "holdfast.evidence", str(tmp_path / "it")]
    done = subprocess.run([*command, "--signer", fingerprint(KEY.public)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "whom you trust" in done.stderr and done.stdout.startswith("Site a was lost")
    (tmp_path / "it" / "evidence.json").write_bytes(b"{}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and done.stderr.startswith("error: ") and done.stdout == ""


def test_a_drill_does_not_pass_where_its_run_failed(script: ModuleType, tmp_path: Path) -> None:
    run = example_run([*usual_course()[:-1], (10.1, Deed.ENDED, {"text": "FAILED"})])
    journal = journal_file(run.run, run.stores, run.entries, run.head)
    with pytest.raises(RefusedError, match="ended FAILED by the journal"):
        make_files(record_of(run, example_setting(), example_drill()), KEY, journal=journal)
    files = make_files(record_of(run, example_setting(), example_drill(outcome=Outcome.ERROR)), KEY, journal=journal)
    record = json.loads(files["evidence.json"])
    record["results"]["outcome"] = "PASSED"  # what a liar with the key would sign
    write_files(resigned(files, KEY, evidence_json=json.dumps(record).encode()), tmp_path / "it")
    with pytest.raises(script.Wrong, match="ended otherwise"):
        by_script(script, tmp_path / "it")


def test_an_empty_fingerprint_trusts_nobody(made: dict[str, bytes], script: ModuleType, tmp_path: Path) -> None:
    write_files(made, tmp_path / "it")
    with pytest.raises(script.Wrong, match="signed by"):
        by_script(script, tmp_path / "it", signer="")
