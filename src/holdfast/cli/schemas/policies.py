"""Outputs of `holdfast policy`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Count, Record, Time

__all__ = [
    "PolicyChecked",
    "PolicyProblem",
    "PolicyExplained",
    "PolicyRule",
    "PolicyTable",
    "PolicyRow",
    "BreakGlass",
    "ApiKeyFacts",
    "ApiKeyCreated",
    "ApiKeyList",
    "ApiKeyRevoked",
]


class PolicyProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that keeps a policy, or a file of settings, from being in force. `message` names file and line."""

    file: str
    message: str


class PolicyChecked(Record, frozen=True, kw_only=True, tag="holdfast/policy-check/1"):
    """`policy check`. `policies`: of the folder that are sound; `built_in`: that came with Holdfast.

    `in_force`: what decides now: `folder`, `defaults`, `last good` or, where nothing can decide, `nothing`; null for a
    folder that is not the installation's own. `findings`: what somebody should look at.
    """

    folder: str
    files: Count
    policies: Count
    built_in: Count
    problems: list[PolicyProblem]
    in_force: str | None
    findings: list[str]


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that determined a decision, and where it stands."""

    id: str
    effect: str
    file: str
    line: Count
    reason: str


class PolicyExplained(Record, frozen=True, kw_only=True, tag="holdfast/policy-explain/1"):
    """`policy explain`. `principal`: in words; `decision`: `allow` or `deny`; `policies`: those that determined it."""

    principal: str
    roles: list[str]
    action: str
    resource: str
    decision: str
    policies: list[PolicyRule]
    reasons: list[str]
    errors: list[str]


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """An action on a kind of resource. `allowed`: the columns that may; `policies`: column → what determined it."""

    action: str
    resource: str
    allowed: list[str]
    policies: dict[str, list[str]]


class PolicyTable(Record, frozen=True, kw_only=True, tag="holdfast/policy-table/1"):
    """`policy table`: for typical resources, what each role may do by the policies in force."""

    columns: list[str]
    rows: list[PolicyRow]


class BreakGlass(Record, frozen=True, kw_only=True, tag="holdfast/policy-break-glass/1"):
    """`policy break-glass`: a session that was begun, or with `--end` ended (null: there was none)."""

    state: str
    id: str | None
    person: str | None
    reason: str | None
    since: Time | None
    until: Time | None


class ApiKeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without what is secret. `state`: `valid`, `expired` or `revoked`. `scopes` is null without a limit."""

    id: str
    label: str
    person: str
    roles: list[str]
    scopes: list[str] | None
    created: Time
    expires: Time | None
    revoked: Time | None
    state: str


class ApiKeyCreated(Record, frozen=True, kw_only=True, tag="holdfast/policy-api-key-create/1"):
    """`policy api-key create`. `key` is the secret, this once; null where `--to` put it into `file`."""

    api_key: ApiKeyFacts
    key: str | None
    file: str | None


class ApiKeyList(Record, frozen=True, kw_only=True, tag="holdfast/policy-api-key-list/1"):
    """`policy api-key list`."""

    register: str
    keys: list[ApiKeyFacts]


class ApiKeyRevoked(Record, frozen=True, kw_only=True, tag="holdfast/policy-api-key-revoke/1"):
    """`policy api-key revoke`: it counts no more."""

    api_key: ApiKeyFacts
