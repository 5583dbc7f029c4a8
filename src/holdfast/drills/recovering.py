"""The recovery of a trial, by the same commands that people give: planned, approved by somebody else, run, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast.clock import from_rfc3339, to_rfc3339
from holdfast.drills.stage import Stage
from holdfast.drills.trial.digests import digest_tree
from holdfast.drills.trial.organisation import APPROVER, OPERATOR
from holdfast.drills.troubles import DrillBroken, DrillFailed
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, MomentKind
from holdfast.evidence.record_setting import Person

__all__ = ["Planned", "Ran", "approve", "compare", "finish", "plan", "recover", "refusals", "run"]

_APPROVED_FOR = "1h"


class Planned(NamedTuple):
    """A plan in a file. `not_taken`: newer snapshots, and why each was passed over."""

    file: Path
    run: str
    site: str
    snapshot: str
    step: int | None
    content_ns: int
    not_taken: Mapping[str, str]


class Ran(NamedTuple):
    """A run that passed, and where it restored to."""

    plan: Planned
    target: Path
    facts: Mapping[str, Any]


def plan(
    stage: Stage,
    *,
    person: str = OPERATOR,
    machine: str = "one",
    isolated: Path | None = None,
    more: Sequence[str] = (),
) -> Planned:
    """Raises DrillFailed where no plan can be made, with the reason of each site."""
    trial = stage.trial
    number = len(list(trial.folder.glob("plan-*.json")))
    file = trial.folder / f"plan-{number}.json"
    words = ["recover", "plan", trial.terms.recovery, "--out", str(file), *more]
    if isolated is not None:
        words += ["--isolated", str(isolated)]
    elif isinstance(stage.fault_ns, int) and stage.detections:
        noticed = max(stage.fault_ns, stage.detections[0].at.at_ns)
        words += ["--fault-at", to_rfc3339(stage.fault_ns), "--noticed-at", to_rfc3339(noticed)]
    said = trial.run(person, *words, machine=machine)
    if said.code != 0:
        raise DrillFailed(f"no plan could be made: {said.error}")
    point = said.data["points"][0]
    found = Planned(
        file,
        str(said.data["run"]),
        str(said.data["site"]),
        str(point["snapshot"]),
        point["step"],
        from_rfc3339(str(point["content"])),
        dict(point["not_taken"]),
    )
    stage.people.append(Person(role="initiator", name=f"{person} (a key of the drill's own)"))
    stage.mark(MomentKind.PLANNED, f"planned {found.run}: step {found.step} to {found.site}", found.site)
    for snapshot, why in found.not_taken.items():
        stage.deviations.append(f"snapshot {snapshot} was passed over: {why}")
    return found


def approve(
    stage: Stage, planned: Planned, person: str = APPROVER, *, machine: str = "one", lasting: str = _APPROVED_FOR
) -> None:
    """Raises DrillFailed where that person may not."""
    said = stage.trial.run(person, "recover", "approve", planned.file, "--for", lasting, machine=machine)
    if said.code != 0:
        raise DrillFailed(f"{person} could not approve the plan: {said.error}")
    stage.people.append(Person(role="approver", name=f"{person} (a key of the drill's own)"))
    stage.mark(MomentKind.APPROVED, f"{person} approved it")


def refusals(stage: Stage, planned: Planned, *, person: str = OPERATOR, machine: str = "one") -> dict[str, str]:
    """What the review refuses now: code → reason. Raises DrillBroken where it does not answer."""
    said = stage.trial.run(person, "recover", "review", planned.file, machine=machine)
    if said.code not in (0, 5) or "refusals" not in said.data:
        raise DrillBroken(f"the review does not answer: {said.error}")
    return {str(one["code"]): str(one["reason"]) for one in said.data["refusals"]}


def run(stage: Stage, planned: Planned, *, person: str = OPERATOR, machine: str = "one") -> Ran:
    """Raises DrillFailed where it does not pass: refused, failed or stopped, with the reason."""
    target = stage.trial.folder / "restored" / planned.run
    words = ("recover", "run", planned.file, "--target", target, "--yes")
    said = stage.trial.run(person, *words, machine=machine)
    return finish(stage, planned, target, said.code, said.data, said.error)


def finish(stage: Stage, planned: Planned, target: Path, code: int, data: Mapping[str, Any], error: str) -> Ran:
    """What a command said that ran, or adopted, a run: marks the ends of executing and verifying."""
    if planned.run not in stage.runs and data.get("run"):
        stage.runs.append(planned.run)
    if code != 0:
        failures = "; ".join(str(one) for one in data.get("failures", []))
        raise DrillFailed(f"the recovery did not pass: {failures or error}")
    verifying = sum(one["seconds"] or 0.0 for one in data["steps"] if str(one["id"]).startswith("verify"))
    stage.mark(MomentKind.EXECUTED, f"restored to {planned.site}, and promoted there", planned.site, verifying)
    stage.mark(MomentKind.VERIFIED, "read back whole, and equal to the snapshot")
    stage.restored = stage.verified = True
    stage.content_ns, stage.recovery_site, stage.snapshot = planned.content_ns, planned.site, planned.snapshot
    return Ran(planned, target, data)


def recover(stage: Stage, *, person: str = OPERATOR, machine: str = "one") -> Ran:
    """Plan, approve by somebody else, run."""
    planned = plan(stage, person=person, machine=machine)
    if stage.plant == "approver-is-initiator":
        approve(stage, planned, person, machine=machine)
    elif stage.plant == "expired-approval":
        approve(stage, planned, machine=machine, lasting="1s")
        stage.clock.sleep(1.0)
    elif stage.trial.terms.approvers:
        approve(stage, planned, machine=machine)
    stage.mark(MomentKind.DECIDED, "it was decided: the plan is approved, and is run")
    return run(stage, planned, person=person, machine=machine)


def compare(stage: Stage, snapshot: str, folder: Path, name: str = "") -> None:
    """Everything that came back, with the undamaged source. Raises DrillFailed where it differs, DrillBroken where
    nobody has that. `name`: of something else than what the recovery restored; then no work is counted as lost.
    """
    source = stage.sources.get(snapshot)
    if source is None:
        raise DrillBroken(f"nobody kept the undamaged content of {snapshot}: nothing can be compared")
    if not source.digest.files:
        raise DrillBroken(f"{snapshot} has no file: nothing can be compared")
    if stage.plant == "wrong-checksum":
        victim = next(path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size)
        with victim.open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
    found, what = digest_tree(folder), name or "restored content"
    equal = found == source.digest
    stage.at_source, stage.compared = source.digest.files, found.files
    stage.checks.append(
        Check(
            name=f"{what} against the undamaged source",
            level=CheckLevel.HASHES,
            result=CheckResult.PASSED if equal else CheckResult.FAILED,
            detail=f"{found.files} of {source.digest.files} files, {found.bytes} bytes, all of them, SHA-256",
            expected=source.digest.sha256,
            actual=found.sha256,
        )
    )
    stage.mark(MomentKind.CHECK, f"{what}: " + ("equal to" if equal else "NOT equal to") + " the undamaged source")
    if not equal:
        stage.verified = False
        raise DrillFailed(f"what came back of {snapshot} differs from the undamaged source")
    lost = _lost(stage, source.step)
    if not name and lost is not None:
        stage.work_lost = msgspec.structs.replace(stage.work_lost, steps=lost)


def _lost(stage: Stage, step: int | None) -> int | None:
    if step is None or not isinstance(stage.fault_step, int):
        return None
    return max(0, stage.fault_step - step)
