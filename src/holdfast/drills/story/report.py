"""From the demo's facts to the evidence record. Pure: everything was measured before."""

from __future__ import annotations

import hashlib
import os
import platform

from holdfast.clock import SYSTEM_CLOCK
from holdfast.drills.story.facts import Facts
from holdfast.drills.story.sites import ASSET
from holdfast.errors import FailedError
from holdfast.evidence.record import SCHEMA_VERSION, Evidence
from holdfast.evidence.record_outcome import (
    Arrival,
    ArrivalState,
    Check,
    CheckLevel,
    CheckResult,
    Integrity,
    Outcome,
    Results,
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
    Identity,
    Machine,
    Scenario,
    Scope,
    Site,
    Targets,
)
from holdfast.evidence.record_trust import FileDigest, Trust
from holdfast.evidence.recorder import Recorder
from holdfast.ids import new_snapshot_id
from holdfast.objectives import NOT_MEASURED, Measured, Objective, State, judge
from holdfast.vault.format.records import Root
from holdfast.version import VERSION

__all__ = ["make_record"]


def make_record(facts: Facts, recorder: Recorder, objective: Objective) -> Evidence:
    """The record of a demo that came to its end."""
    if facts.point is None or facts.bytes_moved is None:
        raise FailedError("the demo did not come to its end")
    root = facts.point.root
    timeline = recorder.timeline()
    checks = _checks(facts)
    measured = Measured(
        fault_ns=facts.fault_ns,
        content_ns=root.content,
        restored=True,
        verified=facts.restored_digest == facts.reference_digest,
        split=split_of(timeline),
        copies=len(facts.copies_verified),
    )
    verdict = judge(objective, measured)
    passed = verdict.state is State.MET and all(check.result is CheckResult.PASSED for check in checks)
    steps_lost = facts.fault_step - (root.step or 0)
    stage = facts.stage
    return Evidence(
        schema_version=SCHEMA_VERSION,
        identity=Identity(
            record_id=new_snapshot_id(SYSTEM_CLOCK.now_ns()),
            title="A training run loses its site, and goes on elsewhere",
            started_utc=recorder.started_utc,
            software=f"holdfast {VERSION}",
            environment=Environment.SIMULATED,
            exercise=Exercise.FUNCTIONAL_FAILOVER,
            machine=Machine(
                system=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
                processors=os.cpu_count() or 1,
                python=f"{platform.python_implementation()} {platform.python_version()}",
            ),
        ),
        scope=Scope(
            asset=ASSET,
            description="the training state of a byte-level transformer: weights, AdamW moments, RNG, data position",
            sites=tuple(
                Site(name=site.name, role=site.role, place=str(site.folder.relative_to(stage.folder)))
                for site in stage.sites
            ),
            exclusions=(
                Exclusion(what="the training text", reason="it ships with Python, at every site"),
                Exclusion(what="people, approvals, notification", reason="the demo runs by itself"),
            ),
        ),
        scenario=_scenario(facts),
        people=(),
        targets=Targets(objective=objective),
        timeline=timeline,
        snapshots=tuple(_row(facts, recorder, one) for one in sorted(facts.roots.values(), key=lambda one: one.id)),
        bytes_moved=facts.bytes_moved,
        results=Results(
            outcome=Outcome.PASSED if passed else Outcome.FAILED,
            measured=measured,
            verdict=verdict,
            recovery_site=facts.point.site,
            recovery_point=root.id,
            resumed_step=root.step if root.step is not None else NOT_MEASURED,
            work_lost=WorkLost(steps=steps_lost, tokens=steps_lost * facts.tokens_per_step),
        ),
        integrity=Integrity(checks=checks, sample_percent=100.0),
        deviations=tuple(f"Site {name} was passed over: {why}." for name, why in facts.rejected.items()),
        findings=(),
        clean_up=CleanUp(
            created=(str(stage.folder.name),),
            removed=tuple(_shorten(facts, facts.removed)),
            left=tuple(_shorten(facts, facts.left)),
        ),
        trust=Trust(files=_log_digests(facts)),
    )


def _scenario(facts: Facts) -> Scenario:
    state = "was unfinished" if facts.caught_unfinished else "had just been finished"
    return Scenario(
        disruption=Disruption.SITE,
        summary="Site A, where training runs and the first copy lies, is lost while a checkpoint is being written.",
        fault_site="A",
        fault_step=facts.fault_step,
        injected=(
            f"SIGKILL to the trainer while it wrote the checkpoint of step {facts.caught_step}, "
            f"which {state} ({facts.half_written_bytes} bytes were there)",
            "SIGKILL to `holdfast watch` at the same moment",
            "the whole folder of site A deleted: checkpoints and vault",
        ),
        real=(
            "training in a process of its own, on real text, with AdamW",
            "`holdfast watch` in a process of its own: saving, reading back, replicating to sites B and C",
            "encryption, signatures, delta coding; detection by heartbeat and by the store's silence",
            "restoring, resuming, and training to the end on the recovery site",
        ),
        simulated=(
            "the sites are folders of one machine: no network lies between them, and they share its fate",
            "the recovery site's computer stood ready: time to get capacity is not included",
        ),
    )


def _checks(facts: Facts) -> tuple[Check, ...]:
    def compare(name: str, level: CheckLevel, detail: str, expected: str, actual: str) -> Check:
        result = CheckResult.PASSED if expected == actual else CheckResult.FAILED
        return Check(name=name, level=level, result=result, detail=detail, expected=expected, actual=actual)

    checks = [
        compare(
            "Final state bit-identical",
            CheckLevel.SEMANTIC,
            "SHA-256 over all weights and AdamW moments after the last step: undisturbed run, recovered run",
            facts.final_reference,
            facts.final_digest,
        ),
        compare(
            "Recovery point bit-identical",
            CheckLevel.SEMANTIC,
            "SHA-256 over all weights and AdamW moments at the recovery point: undisturbed run, restored files",
            facts.reference_digest,
            facts.restored_digest,
        ),
    ]
    if facts.compared_losses:
        step, expected, actual = facts.compared_losses[-1]
        detail = f"loss of step {step}, the newest of {len(facts.compared_losses)} compared after resuming"
        checks.append(compare("Same loss after resuming", CheckLevel.SERVED, detail, repr(expected), repr(actual)))
    for site, verified in facts.copies_verified.items():
        if verified is not None:
            detail = f"{verified.chunks} chunks ({verified.bytes} bytes) fetched, opened, decoded, their ids recomputed"
            checks.append(
                Check(
                    name=f"Copy on site {site} read back",
                    level=CheckLevel.DECODED,
                    result=CheckResult.PASSED,
                    detail=detail,
                )
            )
    return tuple(checks)


def _row(facts: Facts, recorder: Recorder, root: Root) -> SnapshotRow:
    start = facts.fault_ns / 1e9 - _fault_offset(recorder)
    arrivals = []
    for site in facts.stage.sites:
        offset = facts.seen.get((site.name, root.id))
        held = offset is not None or site.name in facts.held.get(root.id, set())
        arrivals.append(
            Arrival(
                site=site.name,
                state=ArrivalState.COMPLETE if held else ArrivalState.ABSENT,
                offset_seconds=round(offset, 6) if offset is not None else NOT_MEASURED,
            )
        )
    return SnapshotRow(
        snapshot_id=root.id,
        step=root.step if root.step is not None else NOT_MEASURED,
        content_ns=root.content,
        content_offset_seconds=round(root.content / 1e9 - start, 6),
        source_bytes=root.stats.get("raw", 0),
        arrivals=tuple(arrivals),
    )


def _fault_offset(recorder: Recorder) -> float:
    return next(moment.offset_seconds for moment in recorder.timeline() if moment.kind == "fault")


def _shorten(facts: Facts, paths: list[str]) -> list[str]:
    return [path.removeprefix(f"{facts.stage.folder}/") for path in paths]


def _log_digests(facts: Facts) -> tuple[FileDigest, ...]:

    digests = []
    for path in sorted(facts.stage.logs.iterdir()):
        data = path.read_bytes()
        digests.append(
            FileDigest(name=f"logs/{path.name}", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        )
    return tuple(digests)
