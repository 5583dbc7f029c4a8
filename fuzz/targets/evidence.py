"""Evidence of runs: it comes from strangers, to people who want to believe it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from fuzz.model import Broken, Target
from fuzz.targets.recoveries import plan_seeds
from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import Actor, encode
from holdfast.audit.journal import make_entry
from holdfast.audit.merkle import hash_leaf
from holdfast.audit.notes import Note
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.tlog_proofs import TlogProof, encode_proof
from holdfast.control.evidencing.sealing import Kept, decode_kept, encode_kept
from holdfast.control.evidencing.writing import _is_of
from holdfast.control.hooks.finding import evidence_events
from holdfast.errors import HoldfastError
from holdfast.evidence.bundle import make_files, verify_files
from holdfast.evidence.chain import JOURNAL, chain_problems, decode_journal, journal_file
from holdfast.evidence.consistency import contradictions
from holdfast.evidence.controls import controls_csv
from holdfast.evidence.costing import arithmetic_problems
from holdfast.evidence.drill_facts import DrillFacts, Instant
from holdfast.evidence.encoding import decode_record, encode_record
from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.findings import open_findings
from holdfast.evidence.headline import headline_of
from holdfast.evidence.log_proofs import check_proofs
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_costs import ComputeCost, Costs, LostWork, ReadCost
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import Disruption, Environment, Exercise
from holdfast.evidence.record_setting import Plan as PlanOfRecord
from holdfast.evidence.record_trust import JournalTrust, LogTrust
from holdfast.evidence.trends import trends_of
from holdfast.evidence.trends_svg import trends_svg
from holdfast.recovery.estimates import NOTHING
from holdfast.recovery.journal.entries import FIRST, Deed, Entry
from holdfast.recovery.plans import Kind, Plan, Step
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
    for event in evidence_events(record, _RUN, 1, ("b/warm",)):
        msgspec.json.decode(event.body("acme"))
    if record.costs is not None:
        list(arithmetic_problems(record.costs))
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
    """Beside a record of another run, and beside one that its signer made to fit."""
    journal = decode_journal(data, JOURNAL)
    record = _record()
    chain_problems(journal, record)
    last = journal.entries[-1].stored_sha256
    trust = JournalTrust(run=journal.run, stores=journal.stores, entries=len(journal.entries), head=last)
    digest = hashlib.sha256(journal.entries[0].entry.plan.encode()).hexdigest()
    plan = PlanOfRecord(plan_id="r", version="1", sha256=digest)
    fitting = msgspec.structs.replace(
        record,
        trust=msgspec.structs.replace(record.trust, journal=trust),
        identity=msgspec.structs.replace(record.identity, plan=plan),
        costs=_COSTS,
    )
    chain_problems(journal, fitting)


_COSTS = Costs(
    currency="USD",
    as_of="2026-11-01",
    compute=(
        ComputeCost(
            step="get",
            asset="llama",
            site="euw4",
            shape="H100x8",
            machines=2,
            seconds=1800.0,
            gpus=8.0,
            gpu_hours=8.0,
            price_per_hour=30.0,
            amount=30.0,
        ),
    ),
    reading=(ReadCost(step="restore", asset="llama", store="aps1/warm", site="euw4", bytes=0, requests=0, amount=0.0),),
    lost=(LostWork(asset="llama"),),
    spent=30.0,
)
_DRILL = DrillFacts(
    drill_id="0" * 20,
    scenario="site-lost",
    disruption=Disruption.SITE,
    summary="s",
    environment=Environment.ISOLATED,
    exercise=Exercise.SIMULATION,
    outcome=Outcome.PASSED,
    started=Instant(at_ns=1, offset_seconds=0.0),
    ended=Instant(at_ns=1, offset_seconds=0.0),
)


def _costly() -> bytes:
    return encode_record(msgspec.structs.replace(_record(), costs=_COSTS))


@lru_cache
def _journal_of_costs() -> bytes:
    """Of a run that got machines and restored something: chained as it is to be."""
    plan = msgspec.json.decode(plan_seeds()[0], type=Plan)
    get = Step(
        id="get", kind=Kind.GET_COMPUTE, title="t", site="euw4", asset="llama", estimate=NOTHING, undo="give it back"
    )
    restore = Step(
        id="restore", kind=Kind.RESTORE, title="t", site="euw4", asset="llama", estimate=NOTHING, undo="remove it"
    )
    text = msgspec.json.encode(msgspec.structs.replace(plan, steps=(get, restore)), order="sorted").decode()
    got: dict[str, str | int | float | bool] = {"machines": 2, "seconds": 3.5}
    read: dict[str, str | int | float | bool] = {"store": "aps1/warm", "read_bytes": 7, "read_requests": 1}
    said = [
        Entry(run=_RUN, number=0, before=FIRST, deed=Deed.PLANNED, by="keeper", at=1, plan=text),
        Entry(run=_RUN, number=1, before="", deed=Deed.TAKEN, by="plane:1", at=2),
        Entry(run=_RUN, number=2, before="", deed=Deed.BEGUN, by="plane:1", at=3, step="get", attempt=1),
        Entry(run=_RUN, number=3, before="", deed=Deed.DONE, by="plane:1", at=4, step="get", attempt=1, facts=got),
        Entry(run=_RUN, number=4, before="", deed=Deed.BEGUN, by="plane:1", at=5, step="restore", attempt=1),
        Entry(run=_RUN, number=5, before="", deed=Deed.DONE, by="plane:1", at=6, step="restore", attempt=1, facts=read),
        Entry(run=_RUN, number=6, before="", deed=Deed.ENDED, by="plane:1", at=7, text="PASSED"),
    ]
    chained = [said[0]]
    chained += [msgspec.structs.replace(one, before=f"{one.number:064x}") for one in said[1:]]
    return journal_file(_RUN, ["b/warm"], chained, "b" * 64)


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
    with suppress(HoldfastError):
        _is_of(kept.files, _DRILL)


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
        "`decode_record`, `evidence_events`, `contradictions`, `render_page`, `controls_csv`, `trends_of`, "
        "`open_findings`",
        _evidence,
        lambda: [*(path.read_bytes() for path in sorted(_SEEDS.glob("evidence*.json"))), _costly()],
        (*_JSON, b'"egress_gb": 0', b'"gb": 0', b'"gpus": 0'),
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
        lambda: [_journal_seed(), _journal_of_costs()],
        (*_JSON, b'"done"', b'"step"', b'"plan"'),
    ),
    Target(
        "evidence-kept",
        "`decode_kept`, `_is_of`",
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
