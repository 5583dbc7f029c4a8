"""Each of the rules that hold whatever is permitted, by itself; tests/property/test_authority.py mixes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.authority.deciding import Circumstances, decide
from holdfast.authority.policies import load_policies
from holdfast.authority.principals import Principal
from holdfast.authority.resources import Resource, plan_resource
from holdfast.authority.table import typical_principal, typical_resource
from holdfast.clock import NANOSECONDS

NOW = 1_800_000_000 * NANOSECONDS
EVERYTHING = load_policies({"all.cedar": b'@id("all") permit (principal, action, resource);'})
OWNER = replace(typical_principal("owner"), person="ann")
LIMITED = replace(OWNER, kind="ApiKey", scopes=frozenset({"save"}))
ENDED = replace(OWNER, until_ns=NOW)
ASSET = typical_resource("Asset")


def plan(initiator: str) -> Resource:
    return plan_resource("p", initiator=initiator, approvals=frozenset())


@pytest.mark.parametrize(
    ("who", "action", "resource", "rule"),
    [
        (OWNER, "approve", plan("ann"), "own-plan"),
        (replace(LIMITED, scopes=frozenset({"approve"})), "approve", plan("ann"), "own-plan"),
        (OWNER, "recover.run", plan("ben"), "unapproved-plan"),
        (ENDED, "save", ASSET, "expired"),
        (LIMITED, "tag", ASSET, "outside-scope"),
    ],
)
def test_a_rule_holds_even_where_everything_is_permitted(
    who: Principal, action: str, resource: Resource, rule: str
) -> None:
    decision = decide(EVERYTHING, who, action, resource, Circumstances(NOW))
    assert not decision.allowed
    assert list(decision.policies) == [rule]


@pytest.mark.parametrize(
    ("who", "action", "resource"),
    [
        (OWNER, "approve", plan("ben")),
        (OWNER, "save", ASSET),
        (replace(OWNER, until_ns=NOW + NANOSECONDS), "save", ASSET),
        (LIMITED, "save", ASSET),
    ],
)
def test_and_forbids_nothing_else(who: Principal, action: str, resource: Resource) -> None:
    assert decide(EVERYTHING, who, action, resource, Circumstances(NOW)).allowed
