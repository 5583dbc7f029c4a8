"""The record of a drill, first half: what was set up before anything failed, and who has to act afterwards."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast.objectives import NOT_MEASURED, NotMeasured, Objective

__all__ = ["UNKNOWN", "Environment", "Exercise", "Plan", "Machine", "Identity", "Site", "Exclusion", "Scope"]
__all__ += ["Disruption", "Scenario", "Person", "Targets", "Severity", "Finding", "CleanUp", "FileDigest", "Trust"]

UNKNOWN = "NOT_MEASURED"  # of a text that nobody knows; figures have `NOT_MEASURED`


class Environment(StrEnum):
    """Where it ran."""

    SIMULATED = "simulated"  # stands for other machines
    ISOLATED = "isolated"  # the real kind of machines, apart from production
    PRODUCTION = "production"


class Exercise(StrEnum):
    """How far it went."""

    TABLETOP = "tabletop"
    COMPONENT_RESTORE = "component-restore"
    SIMULATION = "simulation"
    FUNCTIONAL_FAILOVER = "functional-failover"
    FULL_INTERRUPTION = "full-interruption"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that was executed."""

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
    controls: tuple[str, ...] = ()  # e.g. "SOC 2 A1.3", as the organisation maps them


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


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill was about."""

    asset: str
    description: str
    sites: tuple[Site, ...]
    third_parties: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()


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


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The fault, and what about it was real. `fault_step` is the last training step seen before the fault."""

    disruption: Disruption
    summary: str
    fault_site: str
    injected: tuple[str, ...]
    real: tuple[str, ...]
    simulated: tuple[str, ...]
    fault_step: int | NotMeasured = NOT_MEASURED


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what. No person means that approval, roles and absence were not exercised."""

    role: str
    name: str


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What was owed, as the policy stood when the drill began. None: no target was set."""

    objective: Objective
    steps_lost_max: int | None = None
    capacity_min_percent: float | None = None
    budget_usd: float | None = None


class Severity(StrEnum):
    """How bad a finding is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be put right. Empty: nobody, no day and no new test was named yet."""

    severity: Severity
    text: str
    owner: str = ""
    due: str = ""
    retest: str = ""


class CleanUp(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill made, and what is left of it."""

    created: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    cost_usd: float | NotMeasured = NOT_MEASURED


class FileDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to the evidence, by content."""

    name: str
    size_bytes: int
    sha256: str


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What the record can be held against."""

    files: tuple[FileDigest, ...]
    event_chain_head: str = UNKNOWN
    log_proof: str = UNKNOWN
    retention_class: str = UNKNOWN
