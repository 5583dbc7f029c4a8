"""Output of `holdfast evidence`. The whole record is in `evidence.json`; this is what a script wants to know."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast.cli.schemas.common import Count, Record, Seconds, SnapshotRef, Time

__all__ = ["EvidenceExported", "EvidenceFacts", "EvidenceList", "EvidenceShown", "EvidenceTrends", "EvidenceVerified"]
__all__ += [
    "CalibrationFacts",
    "CostFacts",
    "DrillDueFacts",
    "EvidenceRow",
    "FigureFacts",
    "OpenFindingFacts",
    "ProofFacts",
]
__all__ += ["EvidenceFindings", "JournalAtStores"]
__all__ += ["TrendFacts", "TrendPointFacts"]

RunId = Annotated[str, msgspec.Meta(description="20 hex digits")]
Verdict = Literal["MET", "MISSED", "NOT_MEASURED", "INVALID"]
Sha256 = Annotated[str, msgspec.Meta(description="64 hex digits")]


class FigureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A target and what was measured, null where nobody did, or none was set. `unit`: seconds, or sites for copies."""

    measured: float | None
    target: float | None
    state: Verdict
    reason: str
    unit: str


class ProofFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is proven to be in the audit log. `of_evidence`: it is about this very evidence."""

    action: str
    place: Count
    size: Count
    witnesses: list[str]
    of_evidence: bool


class CostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the recovery cost (machines until the service was good, bytes that were read) and what the fault cost (GPU
    time done again and idle), by the prices of `as_of`. Null: not measured; `missing` says for want of what.
    """

    currency: str
    as_of: str
    spent: float | None
    gpu_hours_lost: float | None
    money_lost: float | None
    missing: list[str]


class EvidenceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose signature, digests, chain, proofs and figures hold. `gaps`: figures that say NOT_MEASURED.
    `costs`: null where nobody gathered any. `why`: the reason of an outcome other than PASSED. `countersigner`: who
    signed it besides, by a fingerprint; empty: nobody.
    """

    record: str
    run: str
    title: str
    kind: str
    scenario: str
    environment: str
    exercise: str
    assets: list[str]
    began: Time
    ended: str
    outcome: str
    why: str
    rpo: FigureFacts
    rto: FigureFacts
    copies: FigureFacts
    recovery_point: SnapshotRef
    deviations: Count
    findings: list[str]
    closed: Count
    gaps: Count
    signer: str
    countersigner: str
    sha256: Sha256
    files: list[str]
    proven: list[ProofFacts]
    costs: CostFacts | None


class JournalAtStores(msgspec.Struct, frozen=True, kw_only=True):
    """Of the `entries` in the evidence `same` lie, byte by byte, at a majority of the journal's stores."""

    entries: Count
    same: Count
    problems: list[str]


class EvidenceShown(Record, frozen=True, kw_only=True, tag="holdfast/evidence-show/1"):
    """`evidence show`, `evidence write`. `signed_by`: the keeper's label, empty where nobody knows it. `journal`: what
    the journal's stores have of it; null: it has none there.
    """

    evidence: EvidenceFacts
    stores: list[str]
    signed_by: str
    journal: JournalAtStores | None


class EvidenceVerified(Record, frozen=True, kw_only=True, tag="holdfast/evidence-verify/1"):
    """`evidence verify`. `trusted`: the signer, or who countersigned it, is the one that was named."""

    evidence: EvidenceFacts
    folder: str
    trusted: bool


class EvidenceExported(Record, frozen=True, kw_only=True, tag="holdfast/evidence-export/1"):
    """`evidence export`. `added`: proofs that came into the log after the record was written."""

    evidence: EvidenceFacts
    folder: str
    added: list[str]
    log: str
    controls: str | None


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One in the list. `problem`: why it cannot be believed; then the rest is empty."""

    run: RunId
    kept: Time
    stores: list[str]
    title: str
    kind: str
    outcome: str
    rpo: str
    rto: str
    problem: str


class EvidenceList(Record, frozen=True, kw_only=True, tag="holdfast/evidence-list/1"):
    """`evidence list`: the newest first."""

    evidence: list[EvidenceRow]


class TrendPointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Null: not measured."""

    run: str
    ended: Time
    kind: str
    scenario: str
    outcome: str
    rto: Seconds | None
    rto_state: Verdict
    rpo: Seconds | None
    rpo_state: Verdict
    predicted: Seconds | None
    predicted_error: Seconds
    took: Seconds | None


class TrendFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of an asset, the oldest first."""

    asset: str
    points: list[TrendPointFacts]


class CalibrationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of `runs` predicted runs. `factor`: runs take so many times what was predicted, in the median. `coverage`: share
    of runs within the stated error. Null without any.
    """

    runs: Count
    median_log_ratio: float | None
    factor: float | None
    coverage: float | None


class DrillDueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A declared drill. `overdue_seconds`: null where it was never held."""

    name: str
    recovery: str
    every_seconds: Seconds
    last: str
    passed: str
    overdue_seconds: Seconds | None


class OpenFindingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that no later run has closed. `overdue`: its day is over. `retest`: what closes it; `credit`: what it
    costs `assets` until then.
    """

    id: str
    severity: str
    text: str
    recovery: str
    scenario: str
    owner: str
    due: str
    overdue: bool
    opened: str
    seen: Count
    retest: str
    assets: list[str]
    credit: str


class EvidenceFindings(Record, frozen=True, kw_only=True, tag="holdfast/evidence-findings/1"):
    """`evidence findings`: those that are open, the oldest first. `closed`: how many a later run has closed."""

    at: Time
    records: Count
    findings: list[OpenFindingFacts]
    closed: Count


class EvidenceTrends(Record, frozen=True, kw_only=True, tag="holdfast/evidence-trends/1"):
    """`evidence trends`."""

    at: Time
    records: Count
    assets: list[TrendFacts]
    calibration: CalibrationFacts
    drills: list[DrillDueFacts]
    findings: list[OpenFindingFacts]
    closed: Count
    svg: str | None
