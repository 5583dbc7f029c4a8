"""An example of a drill's record: three sites, the first lost in mid-training, recovery on the second."""

from __future__ import annotations

from holdfast.clock import to_rfc3339
from holdfast.evidence.record import SCHEMA_VERSION, Evidence
from holdfast.evidence.record_outcome import (
    Arrival,
    ArrivalState,
    ByteRow,
    Bytes,
    Check,
    CheckLevel,
    CheckResult,
    Integrity,
    Moment,
    MomentKind,
    Outcome,
    Results,
    Shipped,
    SnapshotRow,
    WorkLost,
    split_of,
)
from holdfast.evidence.record_setting import (
    CleanUp,
    Disruption,
    Environment,
    Exclusion,
    Exercise,
    Finding,
    Identity,
    Machine,
    Scenario,
    Scope,
    Severity,
    Site,
    Targets,
)
from holdfast.evidence.record_trust import FileDigest, Trust
from holdfast.objectives import NOT_MEASURED, AssetClass, Measured, judge, objective_of

START_NS = 1_790_000_000_000_000_000
FAULT = 9.310  # seconds after the start
DIGEST = "a625ee3ede2908919f731ee4dfe401c0503607f0876e5fccefb5a80fb79e8154"
_IDS = [
    "01k5e7m3vq8z4x2w6y9t0r5n1p",
    "01k5e7m5a3b7c9d1f2g4h6j8k0",
    "01k5e7m7n2p4q6r8s0t1v3w5x7",
    "01k5e7m9y0z2a4b6c8d1e3f5g7",
]


def at(offset: float) -> int:
    """UTC nanoseconds, `offset` seconds after the start."""
    return START_NS + round(offset * 1e9)


def moment(kind: MomentKind, offset: float, text: str, site: str = "", result: str = "") -> Moment:
    utc = to_rfc3339(at(offset))
    return Moment(kind=kind, utc=utc, offset_seconds=offset, text=text, site=site, result_sha256=result)


def example_timeline() -> tuple[Moment, ...]:
    return (
        moment(MomentKind.STARTED, 0.0, "Training begins with seed 7 on site A.", "A"),
        moment(MomentKind.CHECKPOINT, 2.405, "Step 20 is complete.", "A"),
        moment(MomentKind.SNAPSHOT, 2.731, "The snapshot of step 20 has its root.", "A"),
        moment(MomentKind.REPLICATED, 3.102, "The snapshot of step 20 arrived whole.", "B"),
        moment(MomentKind.CHECKPOINT, 4.512, "Step 40 is complete.", "A"),
        moment(MomentKind.CHECKPOINT, 6.620, "Step 60 is complete.", "A"),
        moment(MomentKind.CHECKPOINT, 8.725, "Step 80 is complete.", "A"),
        moment(MomentKind.REPLICATED, 9.201, "The snapshot of step 80 arrived in part.", "C"),
        moment(MomentKind.FAULT, FAULT, "The trainer gets SIGKILL and the store of site A is taken away.", "A"),
        moment(MomentKind.DETECTED, 10.430, "No heartbeat for 1.0 s, and the store does not answer.", "A"),
        moment(MomentKind.DECIDED, 10.612, "Site B has the newest snapshot that verifies: step 80.", "B"),
        moment(MomentKind.EXECUTED, 12.204, "Restored 20.7 MB; the trainer runs again.", "B", DIGEST),
        moment(MomentKind.VERIFIED, 13.521, "Step 81 has the same loss as the undisturbed run.", "B"),
        moment(MomentKind.FINISHED, 17.880, "Step 120 is reached.", "B"),
        moment(MomentKind.CLEANED, 18.020, "Processes ended, folders removed."),
    )


def example_snapshots() -> tuple[SnapshotRow, ...]:
    def row(index: int, content: float, arrivals: tuple[Arrival, ...], rejected: str = "") -> SnapshotRow:
        return SnapshotRow(
            snapshot_id=_IDS[index],
            step=20 * (index + 1),
            content_ns=at(content),
            content_offset_seconds=content,
            source_bytes=20_664_500,
            arrivals=arrivals,
            rejected=rejected,
        )

    def held(site: str, offset: float, state: ArrivalState = ArrivalState.VERIFIED) -> Arrival:
        return Arrival(site=site, state=state, offset_seconds=offset)

    absent = Arrival(site="C", state=ArrivalState.ABSENT)
    return (
        row(0, 2.405, (held("A", 2.731), held("B", 3.102), held("C", 3.480))),
        row(1, 4.512, (held("A", 4.840), held("B", 5.210), held("C", 5.577))),
        row(2, 6.620, (held("A", 6.951), held("B", 7.330), absent)),
        row(3, 8.725, (held("A", 9.010), held("B", 9.150), held("C", 9.201, ArrivalState.PARTIAL))),
    )


def example_evidence(**changes: object) -> Evidence:
    """A record without contradictions: the fault at step 87, recovery from step 80 on site B, all met."""
    objective = objective_of(AssetClass.TRAINING)
    timeline, snapshots = example_timeline(), example_snapshots()
    measured = Measured(
        fault_ns=at(FAULT),
        content_ns=snapshots[3].content_ns,
        restored=True,
        verified=True,
        split=split_of(timeline),
        copies=2,
    )
    fields: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "identity": Identity(
            record_id="01k5e7mzq4w8x2y6z0a3b7c1d5",
            title="Loss of a site in mid-training",
            started_utc=to_rfc3339(START_NS),
            software="holdfast 0.1.0",
            environment=Environment.SIMULATED,
            exercise=Exercise.FUNCTIONAL_FAILOVER,
            machine=Machine(system="Linux 6.1 x86_64", processors=2, python="CPython 3.11.7"),
        ),
        "scope": Scope(
            asset="demo-run",
            description="training state of a transformer with 1.7 million parameters",
            sites=(
                Site(name="A", role="trains, and holds the first copy", place="demo-out/sites/a"),
                Site(name="B", role="second copy, recovery", place="demo-out/sites/b"),
                Site(name="C", role="third copy", place="demo-out/sites/c/with/a/folder/name/that/is/rather/long"),
            ),
            exclusions=(Exclusion(what="data set", reason="ships with Python; nothing to recover"),),
        ),
        "scenario": Scenario(
            disruption=Disruption.SITE,
            summary="Site A disappears with its compute and its store while training runs.",
            fault_site="A",
            injected=("SIGKILL to the trainer", "the store of site A renamed away"),
            real=("training, gradients and optimizer", "snapshots, replication, restore", "the kill"),
            simulated=("sites are folders of one machine", "no network lies between them"),
            fault_step=87,
        ),
        "people": (),
        "targets": Targets(objective=objective),
        "timeline": timeline,
        "snapshots": snapshots,
        "bytes_moved": Bytes(
            rows=(
                ByteRow(mechanism="dedup", chunks=3, bytes_before=1_830_000, bytes_after=0),
                ByteRow(mechanism="delta", chunks=12, bytes_before=54_525_952, bytes_after=40_210_114),
                ByteRow(mechanism="planes", chunks=6, bytes_before=25_165_824, bytes_after=20_803_990),
                ByteRow(mechanism="zstd", chunks=8, bytes_before=9_215, bytes_after=3_320),
                ByteRow(mechanism="raw", chunks=4, bytes_before=1_127_009, bytes_after=1_127_009),
            ),
            overhead_bytes=48_311,
            shipped=(Shipped(site="B", bytes_sent=62_192_744), Shipped(site="C", bytes_sent=38_114_202)),
        ),
        "results": Results(
            outcome=Outcome.PASSED,
            measured=measured,
            verdict=judge(objective, measured),
            recovery_site="B",
            recovery_point=snapshots[3].snapshot_id,
            resumed_step=80,
            work_lost=WorkLost(steps=7, tokens=1792),
        ),
        "integrity": Integrity(
            checks=(
                Check(
                    name="The recovered run ends bit-identical",
                    level=CheckLevel.SEMANTIC,
                    result=CheckResult.PASSED,
                    detail="Weights and optimizer moments at step 120, against a run that was never disturbed.",
                    expected=DIGEST,
                    actual=DIGEST,
                ),
                Check(
                    name="Every chunk of the recovery point",
                    level=CheckLevel.HASHES,
                    result=CheckResult.PASSED,
                    detail="Read back on site B; 21 chunks, each equal to its id.",
                ),
            ),
            sample_percent=100.0,
        ),
        "deviations": (),
        "findings": (
            Finding(severity=Severity.LOW, text="Site C had only part of the newest snapshot when the fault struck."),
        ),
        "clean_up": CleanUp(
            created=("4 snapshots on 3 sites", "2 processes"), removed=("2 processes",), left=("demo-out/sites",)
        ),
        "trust": Trust(files=(FileDigest(name="events.jsonl", size_bytes=4711, sha256=DIGEST[::-1]),)),
    }
    return Evidence(**(fields | changes))  # type: ignore[arg-type]  # the caller's fields override the example's


def unmeasured_evidence() -> Evidence:
    """A drill that was stopped before anything could be restored."""
    objective = objective_of(AssetClass.TRAINING)
    timeline = tuple(m for m in example_timeline() if m.offset_seconds <= 10.5)
    measured = Measured(fault_ns=at(FAULT), split=split_of(timeline))
    results = Results(outcome=Outcome.STOPPED, measured=measured, verdict=judge(objective, measured))
    check = Check(
        name="The recovered run ends bit-identical",
        level=CheckLevel.SEMANTIC,
        result=CheckResult.NOT_MEASURED,
        detail="No run was recovered.",
    )
    return example_evidence(
        timeline=timeline,
        results=results,
        bytes_moved=NOT_MEASURED,
        integrity=Integrity(checks=(check,)),
        deviations=("Stopped by hand after detection.",),
    )
