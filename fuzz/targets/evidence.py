"""Evidence of runs: it comes from strangers, to people who want to believe it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import msgspec

from fuzz.model import Broken, Target
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import Actor, encode
from holdfast.audit.journal import make_entry
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import Note
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.tlog_proofs import TlogProof, encode_proof
from holdfast.control.evidencing.sealing import Kept, decode_kept, encode_kept
from holdfast.evidence.bundle import make_files, verify_files
from holdfast.evidence.chain import JOURNAL, chain_problems, decode_journal, journal_file
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.controls import controls_csv
from holdfast.evidence.encoding import decode_record
from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.findings import open_findings
from holdfast.evidence.headline import headline_of
from holdfast.evidence.log_proofs import check_proofs
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_trust import LogTrust
from holdfast.evidence.trends import trends_of
from holdfast.evidence.trends_svg import trends_svg
from holdfast.recovery.journal.entries import FIRST, Deed, Entry
from holdfast.trust.signing import SigningKey

__all__ = ["TARGETS"]

_SEEDS = Path(__file__).parents[1] / "seeds"
_COMPAT = Path(__file__).parents[2] / "tests" / "compat" / "fixtures" / "evidence-1"
_KEY = SigningKey(bytes(64))
_RUN = "0123456789abcdef0123"
_LOG_KEY = NoteKey("log", "example.com/log", bytes(range(32)), bytes(range(32, 64)))


def _evidence(data: bytes) -> None:
    """A record that its signer meant: what a reader makes of it."""
    record = decode_record(data, "evidence.json")
    if contradictions(record):
        return
    headline_of(record)
    render_page(record, Seal(sha256="0" * 64, signer="0" * 32, suite="x"))
    controls_csv(record)
    trends_svg(trends_of([record], [], 1_800_000_000_000_000_000))
    open_findings([record])


def _changed(name: str, data: bytes) -> None:
    """One file of a bundle that was signed is another one: then nothing holds."""
    files = _bundle()
    if verify_files({**files, name: data}).sha256 and data != files[name]:
        raise Broken(f"{name} was changed, and is believed")


def _old(data: bytes) -> None:
    files = {path.name: path.read_bytes() for path in _COMPAT.iterdir()}
    verify_files({**files, "evidence.json.sig": data})


@lru_cache
def _bundle() -> dict[str, bytes]:
    return make_files(_record(), _KEY)


@lru_cache
def _record() -> Evidence:
    return decode_record((_SEEDS / "evidence.json").read_bytes(), "evidence.json")


def _journal(data: bytes) -> None:
    chain_problems(decode_journal(data, JOURNAL), _record())


@lru_cache
def _journal_seed() -> bytes:
    entry = Entry(run=_RUN, number=0, before=FIRST, deed=Deed.PLANNED, by="keeper", at=1, plan="{}")
    other = Entry(run=_RUN, number=1, before="a" * 64, deed=Deed.ENDED, by="keeper", at=2, text="PASSED")
    return journal_file(_RUN, ["b/warm"], [entry, other], "b" * 64)


def _kept(data: bytes) -> None:
    kept = decode_kept(f"evidence/{_RUN}/0000000000", data)
    for name in kept.files:
        if name.startswith(("/", ".")) or ".." in name.split("/"):
            raise Broken(f"a file called {name!r}")


def _proof(data: bytes) -> None:
    """A proof beside a record that names the keys of a log."""
    log = LogTrust(origin=_LOG_KEY.name, keys=tuple(key.vkey for key in _LOG_KEY.keys))
    record = _record()
    trust = msgspec.structs.replace(record.trust, log=log)
    check_proofs(msgspec.structs.replace(record, trust=trust), b"{}", {"proofs/0.tlog-proof": data})


@lru_cache
def _a_proof() -> bytes:
    """Of the only entry of a log, which is about the manifest `{}`."""
    actor = Actor(fingerprint="", label="keeper", role="keeper")
    objects = {"evidence": hashlib.sha256(b"{}").hexdigest()}
    said = encode(make_entry(actor, "evidence.write", "allowed", (), objects, "done", "", 1_790_000_000_000_000_000))
    checkpoint = Checkpoint(_LOG_KEY.name, 1, hash_leaf(said))
    note = Note(checkpoint.text, tuple(_LOG_KEY.sign(checkpoint, 1_790_000_000)))
    return encode_proof(TlogProof(0, [], note, said))


_JSON = (b"9" * 400, b"1e308", b"-1", b"null", b'"NOT_MEASURED"', b"[" * 2000, b'"\\ud800"', b"0001-01-01T00:00:00Z")

TARGETS = [
    Target(
        "evidence",
        "`decode_record`, `contradictions`, `render_page`, `controls_csv`, `trends_of`, `open_findings`",
        _evidence,
        lambda: [path.read_bytes() for path in sorted(_SEEDS.glob("evidence*.json"))],
        _JSON,
        max_bytes=64 << 10,
    ),
    Target(
        "evidence-signature",
        "`verify_files`, `open_manifest`",
        lambda data: _changed("manifest.sig", data),
        lambda: [_bundle()["manifest.sig"]],
        (b'"public_key"', b'"signature"', b"null", b'"\\ud800"', b"[" * 2000),
    ),
    Target(
        "evidence-manifest",
        "`verify_files`, `check_files`",
        lambda data: _changed("manifest.json", data),
        lambda: [_bundle()["manifest.json"]],
        (b'"sha256"', b"null", b'"\\ud800"', b"[" * 2000),
    ),
    Target(
        "evidence-of-version-1",
        "`open_v1`",
        _old,
        lambda: [(_COMPAT / "evidence.json.sig").read_bytes()],
        (b'"public_key"', b'"sha256"', b"null", b'"\\ud800"', b"[" * 2000),
    ),
    Target(
        "evidence-journal",
        "`decode_journal`, `chain_problems`",
        _journal,
        lambda: [_journal_seed()],
        (*_JSON, b'"done"', b'"step"', b'"plan"'),
    ),
    Target(
        "evidence-kept",
        "`decode_kept`",
        _kept,
        lambda: [encode_kept(Kept(run=_RUN, at=1, files={"evidence.json": b"{}", "proofs/1.tlog-proof": b"x"}))],
        (b"../", b"/etc", b"\xff" * 8),
    ),
    Target(
        "evidence-proof",
        "`check_proofs`",
        _proof,
        lambda: [_a_proof()],
        (b"extra ", b"index 0", b"\n\n", "\u2014 ".encode()),
    ),
]
