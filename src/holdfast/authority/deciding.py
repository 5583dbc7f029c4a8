"""The one decision function: may this principal do this action on this resource, now? Pure: no file, no clock.

What no policy permits is denied; what one policy forbids is denied, whatever others permit; and where a policy cannot
be evaluated, or a fact is missing, the answer is no.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.authority.actions import Action, action_named
from holdfast.authority.policies import Policies, Rule, default_policies
from holdfast.authority.principals import ROLES, Grant, Principal
from holdfast.authority.resources import Resource
from holdfast.authority.schema import schema
from holdfast.clock import to_rfc3339

__all__ = ["Circumstances", "Decision", "decide", "roles_that_may"]

_LATEST_NS: Final = 253_402_300_799 * 1_000_000_000  # the end of the year 9999: what RFC 3339 can say


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else policies may ask for. `to`: the site that a copy or a recovery goes to."""

    now_ns: int
    to: Resource | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and why. `policies`: the ids of those that determined it: the ones that forbid, else the ones that
    permit; none where nothing permits. `reasons`: sentences. `errors`: what could not be evaluated.
    """

    allowed: bool
    policies: tuple[str, ...]
    reasons: tuple[str, ...]
    errors: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """For records: `allow` or `deny`."""
        return "allow" if self.allowed else "deny"


def decide(
    policies: Policies, principal: Principal | None, action: Action | str, resource: Resource, context: Circumstances
) -> Decision:
    """Whether `policies` let `principal` do `action` on `resource`. Raises UsageError for an action that is not known.

    Without a principal the answer is no.
    """
    act = action_named(action) if isinstance(action, str) else action
    if principal is None:
        return Decision(False, (), ("nobody is identified",))
    if resource.kind not in act.resources:
        return Decision(False, (), (f"{act.name} is nothing that is done to a {resource.kind.lower()}",))
    if not 0 <= context.now_ns <= _LATEST_NS:
        return Decision(False, (), ("the time is not known",))
    rules, errors = _asked(policies, principal, act, resource, context)
    if errors:
        return Decision(False, (), ("a policy could not be evaluated, which denies",), errors)
    forbids = [rule for rule in rules if rule.effect == "forbid"]
    decisive = forbids or rules
    if not decisive:
        return Decision(False, (), (_not_permitted(principal, act, resource, context),))
    reasons = tuple(rule.reason or f"the policy {rule.id} says so" for rule in decisive)
    return Decision(not forbids, tuple(rule.id for rule in decisive), reasons)


def _asked(
    policies: Policies, principal: Principal, action: Action, resource: Resource, context: Circumstances
) -> tuple[list[Rule], tuple[str, ...]]:
    """The engine's answer: the rules that determine it, or errors."""
    import cedarpy

    request = {
        "principal": principal.uid,
        "action": {"type": "Action", "id": action.name},
        "resource": resource.uid,
        "context": _context(principal, action, context),
    }
    try:
        entities = json.dumps(_entities(principal, resource, context))
        answer = cedarpy.is_authorized(request, policies.engine, entities, schema())
    except ValueError as error:
        return [], (str(error),)
    errors = tuple(str(error) for error in answer.diagnostics.errors)
    rules = [policies.rules[int(name.removeprefix("policy"))] for name in answer.diagnostics.reasons]
    if not errors and answer.allowed != (bool(rules) and all(rule.effect == "permit" for rule in rules)):
        errors = ("the engine's answer contradicts itself",)
    return sorted(rules, key=lambda rule: rule.id), errors


def _context(principal: Principal, action: Action, context: Circumstances) -> dict[str, Any]:
    found: dict[str, Any] = {
        "now": _datetime(context.now_ns),
        "action": action.name,
        "groups": list(action.groups),
    }
    elevation = principal.elevation
    if elevation is not None and elevation.since_ns <= context.now_ns < elevation.until_ns:
        found["breakGlass"] = {"reason": elevation.reason, "until": _datetime(elevation.until_ns)}
    if context.to is not None:
        found["to"] = {"__entity": context.to.uid}
    return found


def _datetime(time_ns: int) -> dict[str, Any]:
    return {"__extn": {"fn": "datetime", "arg": to_rfc3339(time_ns)}}


def _entities(principal: Principal, resource: Resource, context: Circumstances) -> list[dict[str, Any]]:
    lines: list[Iterable[Resource]] = [resource.line()]
    if context.to is not None:
        lines.append(context.to.line())
    found = {(one.kind, one.id): one.entity() for line in lines for one in line}
    return [principal.entity(context.now_ns), *found.values()]


def _not_permitted(principal: Principal, action: Action, resource: Resource, context: Circumstances) -> str:
    roles = principal.roles(context.now_ns)
    having = f", who is {' and '.join(sorted(roles))}," if roles else ", who has no role,"
    return f"no policy permits {principal}{having} to {action.phrase} {resource}"


def roles_that_may(action: Action, resource: Resource, context: Circumstances) -> list[str]:
    """Those of the default roles whom the default policies let do it: for hints."""
    return [role for role in ROLES if decide(default_policies(), _somebody(role), action, resource, context).allowed]


def _somebody(role: str) -> Principal:
    return Principal(
        kind="User",
        id=f"some {role}",
        name=f"some {role}",
        person=f"some {role}",
        how="supposed",
        grants=(Grant(role),),
    )
