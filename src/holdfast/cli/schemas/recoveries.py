"""Output of `holdfast recover`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Count, Record, Seconds, SnapshotRef, Time

__all__ = ["EstimateFacts", "FindingFacts", "RecoverApproved", "RecoverChecked", "RecoverPlanned", "RecoverReviewed"]
__all__ += ["PointFacts", "RecoverRun", "RecoverRuns", "RunFacts", "RunStepFacts", "StepFacts"]

PlanHash = Annotated[str, msgspec.Meta(description="SHA-256 of the plan's canonical JSON: what is approved")]
RunId = Annotated[str, msgspec.Meta(description="20 hex digits")]


class EstimateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`source`: `measured`, `declared`, `assumed`, or `NOT_MEASURED` (then `seconds` is the least)."""

    seconds: Seconds
    error_seconds: Seconds
    source: str
    why: str


class PointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset comes back to. `lost_seconds`: content that would be lost. `not_taken`: newer ones, and why."""

    asset: str
    snapshot: SnapshotRef
    step: int | None
    content: Time
    lost_seconds: Seconds
    store: str
    not_taken: dict[str, str]


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a plan. `undo`: how it is taken back; empty: `no_undo` says why not."""

    id: str
    kind: str
    title: str
    site: str
    asset: str
    after: list[str]
    estimate: EstimateFacts
    undo: str
    no_undo: str


class RecoverPlanned(Record, frozen=True, kw_only=True, tag="holdfast/recover-plan/1"):
    """`recover plan`. `file`: where the plan was written, null where it was not. `silent`: stores that said nothing."""

    run: RunId
    plan: PlanHash
    name: str
    assets: list[str]
    site: str
    strategy: str
    graceful: bool
    isolated: bool
    by: str
    approvers: Count
    fault_at: Time | None
    noticed_at: Time | None
    facts_at: Time
    fresh_until: Time
    rto: EstimateFacts
    points: list[PointFacts]
    steps: list[StepFacts]
    journal: list[str]
    not_at: dict[str, str]
    notes: list[str]
    file: str | None


class FindingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`code`: see docs/recovery.md. `change`: what would help."""

    code: str
    about: str
    reason: str
    change: str


class RecoverReviewed(Record, frozen=True, kw_only=True, tag="holdfast/recover-review/1"):
    """`recover review`: whether the plan may be run now."""

    run: RunId
    plan: PlanHash
    at: Time
    passed: bool
    refusals: list[FindingFacts]
    warnings: list[FindingFacts]


class RecoverChecked(Record, frozen=True, kw_only=True, tag="holdfast/recover-check/1"):
    """`recover check`: a plan of now, what a review says (approvals left out), and which steps could not be done."""

    name: str
    plan: PlanHash
    site: str
    rto: EstimateFacts
    steps: Count
    refusals: list[FindingFacts]
    warnings: list[FindingFacts]
    not_possible: dict[str, str]


class RecoverApproved(Record, frozen=True, kw_only=True, tag="holdfast/recover-approve/1"):
    """`recover approve`. `without`: the store of the journal that may be left out; then it is no approval of the plan,
    and `plan` is empty.
    """

    run: RunId
    plan: str
    by: str
    until: Time
    without: str


class RunStepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run. `state`: `waiting`, `begun`, `done`, `failed`, `dropped`, `undoing`, `undone` or `skipped`.

    `seconds`: from its last beginning until it was done, null where that is not known.
    """

    id: str
    state: str
    attempts: Count
    seconds: Seconds | None
    estimate: EstimateFacts
    text: str
    facts: dict[str, str | int | float | bool]


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a list."""

    run: RunId
    name: str
    site: str
    assets: list[str]
    state: str
    begun: Time | None
    last: Time


class RecoverRun(Record, frozen=True, kw_only=True, tag="holdfast/recover-run/1"):
    """A run as its journal has it: `recover run`, `adopt`, `status RUN`, `pause`, `resume`, `stop`, `skip`.

    `state`: `planned`, `running`, `paused`, `stopping`, or how it ended: `PASSED`, `FAILED`, `STOPPED`, `ERROR`.
    `seconds`: from the first control plane's beginning to the end, or to the last entry. `taken`: how many control
    planes had it. `failures`: what went wrong, in the order in which it did. `left`: what is still to be done takes
    that long. `ignored`: entries that count for nothing. `left_out`: stores of the journal that somebody said are gone.
    """

    run: RunId
    plan: PlanHash
    name: str
    assets: list[str]
    site: str
    isolated: bool
    state: str
    owner: str
    taken: Count
    approvals: list[str]
    journal: list[str]
    left_out: list[str]
    entries: Count
    ignored: Count
    begun: Time | None
    ended: Time | None
    seconds: Seconds | None
    left: EstimateFacts
    points: list[PointFacts]
    steps: list[RunStepFacts]
    failures: list[str]
    problems: str
    not_taken_back: str


class RecoverRuns(Record, frozen=True, kw_only=True, tag="holdfast/recover-runs/1"):
    """`recover status` without a run: the newest, as far as they can be read."""

    runs: list[RunFacts]
