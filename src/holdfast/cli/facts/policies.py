"""Facts about policies, decisions and API keys. The only secret is a new key, where the caller asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.authority.policies import default_policies, load_policies
from holdfast.authority.policy_folder import problems_of_folder, read_policy_files
from holdfast.authority.scanning import statements_of
from holdfast.authority.table import COLUMNS, role_table
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.policies import (
    ApiKeyFacts,
    BreakGlass,
    PolicyChecked,
    PolicyExplained,
    PolicyProblem,
    PolicyRow,
    PolicyRule,
    PolicyTable,
)
from holdfast.clock import to_rfc3339
from holdfast.errors import CredentialError, HoldfastError

if TYPE_CHECKING:
    from holdfast.authority.api_keys import KeyRecord
    from holdfast.authority.break_glass import Session
    from holdfast.authority.deciding import Decision
    from holdfast.authority.policies import Policies
    from holdfast.authority.principals import Principal
    from holdfast.authority.resources import Resource
    from holdfast.control.authority.authorising import Authority

__all__ = ["checked_facts", "explained_facts", "table_facts", "break_glass_facts", "api_key_facts"]


def checked_facts(folder: Path, authority: Authority | None) -> PolicyChecked:
    """A folder of policies; `authority`: of the installation whose own it is, if it is."""
    problems: list[HoldfastError] = list(problems_of_folder(folder))
    in_force: str | None = None
    findings: list[str] = []
    if authority is not None:
        try:
            in_force = authority.home.in_force.source
            findings = authority.findings()
        except CredentialError:
            in_force = "nothing"  # the problem is listed already
        try:
            _ = authority.home.settings
        except CredentialError as error:
            problems.append(error)
    files, sound = _counted(folder)
    return PolicyChecked(
        folder=clean(str(folder)),
        files=files,
        policies=sound,
        built_in=len(default_policies().rules),
        problems=[PolicyProblem(file=clean(one.object_name), message=clean(one.message)) for one in problems],
        in_force=in_force,
        findings=[clean(one) for one in findings],
    )


def _counted(folder: Path) -> tuple[int, int]:
    """Files, and statements in those that stand by themselves."""
    try:
        texts = read_policy_files(folder)
    except CredentialError:
        return 0, 0
    sound = 0
    for name, data in texts.items():
        try:
            load_policies({name: data})
            sound += len(statements_of(data, name))
        except CredentialError:
            continue
    return len(texts), sound


def explained_facts(
    policies: Policies, principal: Principal, action: str, resource: Resource, decision: Decision, now_ns: int
) -> PolicyExplained:
    """A decision, and the policies behind it."""
    rules = {rule.id: rule for rule in policies.rules}
    return PolicyExplained(
        principal=clean(str(principal)),
        roles=sorted(principal.roles(now_ns)),
        action=action,
        resource=clean(str(resource)),
        decision=decision.word,
        policies=[
            PolicyRule(id=rule.id, effect=rule.effect, file=clean(rule.file), line=rule.line, reason=clean(rule.reason))
            for rule in (rules[name] for name in decision.policies)
        ],
        reasons=[clean(one) for one in decision.reasons],
        errors=[clean(one) for one in decision.errors],
    )


def table_facts(policies: Policies) -> PolicyTable:
    """What each role may do by these policies."""
    rows = [
        PolicyRow(
            action=row.action.name,
            resource=row.kind.lower(),
            allowed=[column for column, decision in row.decisions.items() if decision.allowed],
            policies={
                column: list(decision.policies) for column, decision in row.decisions.items() if decision.policies
            },
        )
        for row in role_table(policies)
    ]
    return PolicyTable(columns=list(COLUMNS), rows=rows)


def break_glass_facts(session: Session | None, state: str) -> BreakGlass:
    """`state`: `begun` or `ended`."""
    return BreakGlass(
        state=state,
        id=None if session is None else session.id,
        person=None if session is None else clean(session.person),
        reason=None if session is None else clean(session.reason),
        since=None if session is None else to_rfc3339(session.since),
        until=None if session is None else to_rfc3339(session.until),
    )


def api_key_facts(record: KeyRecord, now_ns: int) -> ApiKeyFacts:
    """Without the hash, too: nobody needs it."""
    expired = record.expires is not None and record.expires <= now_ns
    return ApiKeyFacts(
        id=record.id,
        label=record.label,
        person=clean(record.person),
        roles=record.roles,
        scopes=record.scopes,
        created=to_rfc3339(record.created),
        expires=None if record.expires is None else to_rfc3339(record.expires),
        revoked=None if record.revoked is None else to_rfc3339(record.revoked),
        state="revoked" if record.revoked is not None else "expired" if expired else "valid",
    )
