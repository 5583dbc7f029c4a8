"""The record of a run, first half: what was set up before anything failed, and who has to act afterwards.

What has a default after the fields without one came with version 2 of the record, and is not in files of version 1.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.objectives import NOT_MEASURED, NotMeasured, Objective

__all__ = ["UNKNOWN", "Environment", "Exercise", "Plan", "Machine", "Identity", "Site", "Exclusion", "Scope"]
__all__ += ["Disruption", "Scenario", "Person", "Targets", "Severity", "Finding", "CleanUp", "RunKind", "ScopedAsset"]
__all__ += ["Fault", "PolicyValue", "Policy", "AssetTarget", "ClosedFinding"]

UNKNOWN = "NOT_MEASURED"  # of a text that nobody knows; figures have `NOT_MEASURED`
LATER = "NOT_MEASURED: this was signed before what the drill had made was cleared away"


class Environment(StrEnum):
    """Where it ran."""

    SIMULATED = "simulated"  # stands for other machines
    ISOLATED = "isolated"  # the real kind of machines, apart from production
    PRODUCTION = "production"


class Exercise(StrEnum):
    """How far it went, from the least to the most."""

    TABLETOP = "tabletop"
    COMPONENT_RESTORE = "component-restore"
    SIMULATION = "simulation"
    FUNCTIONAL_FAILOVER = "functional-failover"
    FULL_INTERRUPTION = "full-interruption"


class RunKind(StrEnum):
    """What kind of run it is the record of."""

    DEMO = "demo"
    DRILL = "drill"  # a fault was planted
    REHEARSAL = "rehearsal"  # restored into a place of its own; nothing failed
    RECOVERY = "recovery"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that was executed. `plan_id`: the recovery's name."""

    plan_id: str
    version: str
    sha256: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the drill ran, as far as its figures depend on it. No host name: it says nothing about speed."""

    system: str
    processors: int
    python: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is the record of."""

    record_id: str
    title: str
    started_utc: str  # RFC 3339
    software: str
    environment: Environment
    exercise: Exercise
    machine: Machine
    plan: Plan | None = None  # None: the steps were fixed in the program
    controls: tuple[str, ...] = ()  # e.g. "SOC 2 A1.3"; see `holdfast.evidence.controls`
    kind: RunKind = RunKind.DEMO
    run: str = ""  # id of the run, 20 hex digits
    drill: str = ""  # id of the drill
    drill_name: str = ""  # as declared
    recovery: str = ""  # that a drill rehearses, by name
    ended_utc: str = ""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place that can fail by itself."""

    name: str
    role: str
    place: str


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What was left out on purpose. An empty owner: nobody was named; an empty date: there is none."""

    what: str
    reason: str
    owner: str = ""
    expires: str = ""


class ScopedAsset(msgspec.Struct, frozen=True, kw_only=True):
    """An asset in scope, and the version of it that came back (empty: none did). `asset_class`: its criticality."""

    name: str
    asset_class: str
    snapshot_id: str = ""
    step: int | NotMeasured = NOT_MEASURED
    content_utc: str = ""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What the run was about."""

    asset: str
    description: str
    sites: tuple[Site, ...]
    third_parties: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    assets: tuple[ScopedAsset, ...] = ()


class Disruption(StrEnum):
    """What kind of thing fails."""

    JOB = "job"
    NODE = "node"
    RACK = "rack"
    STORE = "store"
    SITE = "site"
    REGION = "region"
    PROVIDER = "provider"
    CREDENTIALS = "credentials"
    CORRUPTION = "corruption"
    SUPPLIER = "supplier"
    ZONE = "zone"
    CONTROL_PLANE = "control-plane"
    NETWORK = "network"
    PERSON = "person"
    REPLICATION = "replication"
    UNSPECIFIED = "unspecified"  # a recovery that somebody asked for, without saying what had failed
    NONE = "none"  # a rehearsal: nothing failed


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was broken, and whether a probe saw that it took effect (`evidence`: what it saw)."""

    what: str
    utc: str
    offset_seconds: float
    real: bool
    site: str = ""
    bit: bool | NotMeasured = NOT_MEASURED
    evidence: str = ""
    healed_utc: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The fault, and what about it was real. `fault_step` is the last training step seen before the fault. `planted`:
    what was made to go wrong on purpose, to try the drill itself: its verdict says nothing of the recovery then.
    """

    disruption: Disruption
    summary: str
    fault_site: str
    injected: tuple[str, ...]
    real: tuple[str, ...]
    simulated: tuple[str, ...]
    fault_step: int | NotMeasured = NOT_MEASURED
    name: str = ""
    faults: tuple[Fault, ...] = ()
    planted: str = ""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what. No person means that approval, roles and absence were not exercised. `absent`: was kept away."""

    role: str
    name: str
    utc: str = ""
    detail: str = ""
    absent: bool = False


class PolicyValue(msgspec.Struct, frozen=True, kw_only=True):
    """What counted for an asset, and where that was said (`asset`, `class gold`, `default`, …)."""

    asset: str
    name: str
    value: str
    source: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy as it was at the start. `sha256`: of the bytes of the file that declares it."""

    sha256: str
    values: tuple[PolicyValue, ...]


class AssetTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What was owed for one asset, in seconds. None: nothing."""

    asset: str
    rpo_seconds: float | None
    rto_seconds: float | None
    copies: int | None = None


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What was owed, as the policy stood when the run began. None: no target was set.

    `objective`: what the verdict is of; of several assets the strictest figures.
    """

    objective: Objective
    steps_lost_max: int | None = None
    capacity_min_percent: float | None = None
    budget_usd: float | None = None
    assets: tuple[AssetTarget, ...] = ()
    policy: Policy | None = None


class Severity(StrEnum):
    """How bad a finding is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be put right. Empty: nobody, no day and no new test was named yet.

    `finding_id`, `subject`: of those that demand a retest (`holdfast.evidence.findings`).
    """

    severity: Severity
    text: str
    owner: str = ""
    due: str = ""
    retest: str = ""
    finding_id: str = ""
    subject: str = ""


class ClosedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of an earlier record that this run closes."""

    finding_id: str
    text: str
    record_id: str
    opened_utc: str


class CleanUp(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill made, and what is left of it. `later`: it was still to be cleared away when this was signed."""

    created: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    cost_usd: float | NotMeasured = NOT_MEASURED
    later: bool = False
