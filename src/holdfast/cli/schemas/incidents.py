"""Output of `holdfast incident`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Count, Record, Seconds, Time

__all__ = ["DeadlineFacts", "IncidentApproved", "IncidentEntryFacts", "IncidentFacts", "IncidentList", "IncidentRound"]
__all__ += ["IncidentShown", "IncidentSilenced", "IncidentTested", "VerdictFacts", "DecisionFacts"]


class IncidentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. `state`: `open`, `acknowledged` or `resolved`. `fault_at`: last seen good, null: nobody knows."""

    incident: str
    state: str
    severity: str
    kind: str
    subject: str
    title: str
    asset: str
    site: str
    fault_at: Time | None
    noticed_at: Time
    acknowledged_at: Time | None
    acknowledged_by: str
    resolved_at: Time | None
    resolved_by: str
    runs: list[str]


class IncidentList(Record, frozen=True, kw_only=True, tag="holdfast/incident-list/1"):
    """`incident list`: the newest first. `silences`: what nobody is woken of now, and until when."""

    incidents: list[IncidentFacts]
    silences: list[str]


class IncidentEntryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said of an incident."""

    at: Time
    by: str
    deed: str
    step: str
    channel: str
    run: str
    text: str


class DeadlineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`left_seconds`: negative once it has passed. `told_at`: null: nobody said that the authority was told."""

    name: str
    authority: str
    basis: str
    ends: Time
    left_seconds: float
    told_at: Time | None


class IncidentShown(Record, frozen=True, kw_only=True, tag="holdfast/incident-show/1"):
    """`incident show`, and what `ack` and `resolve` leave. `next_message`: when the next one is due, null: none is."""

    incident: IncidentFacts
    why: str
    resolution: str
    deadlines: list[DeadlineFacts]
    next_message: Time | None
    silences: list[str]
    entries: list[IncidentEntryFacts]


class VerdictFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the observers make of a probe. `state`: `good`, `bad` or `unknown`. `voices`: observer → what it says."""

    probe: str
    state: str
    why: str
    voices: dict[str, str]


class DecisionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a recovery begins by itself. `because`: its condition, explained line by line."""

    recovery: str
    begins: bool
    why: str
    run: str
    incident: str
    because: list[str]


class IncidentRound(Record, frozen=True, kw_only=True, tag="holdfast/incident-round/1"):
    """A round of `incident watch` or `incident observe`. `problems`: who could not be asked or told, and why."""

    observer: str
    at: Time
    verdicts: list[VerdictFacts]
    opened: list[str]
    resolved: list[str]
    decisions: list[DecisionFacts]
    messages: Count
    problems: dict[str, str]


class IncidentTested(Record, frozen=True, kw_only=True, tag="holdfast/incident-test-alert/1"):
    """`incident test-alert`: channel, or webhook → why nothing got through, empty where it did."""

    channels: dict[str, str]
    webhooks: dict[str, str]


class IncidentSilenced(Record, frozen=True, kw_only=True, tag="holdfast/incident-silence/1"):
    """`incident silence`."""

    matches: str
    reason: str
    owner: str
    until: Time


class IncidentApproved(Record, frozen=True, kw_only=True, tag="holdfast/incident-preapprove/1"):
    """`incident preapprove`. `declaration`: the hash of what was approved. `seconds`: 0: all are withdrawn."""

    recovery: str
    declaration: str
    starter: str
    by: str
    until: Time
    seconds: Seconds
