"""Decisions: what must hold whatever the policies say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.authority.actions import ACTIONS, EMERGENCY, GROUPS
from holdfast.authority.deciding import Circumstances, decide
from holdfast.authority.policies import Policies, default_policies, load_policies
from holdfast.authority.principals import ROLES, Elevation, Grant, Principal
from holdfast.authority.resources import PLANE, Resource, plan_resource, snapshot_resource
from holdfast.authority.table import COLUMNS, role_table, typical_principal, typical_resource
from holdfast.clock import NANOSECONDS

NOW = 1_800_000_000 * NANOSECONDS
HOUR = 3600 * NANOSECONDS
EVERYTHING = load_policies({"all.cedar": b'@id("all") permit (principal, action, resource);'})

names = st.sampled_from(["trainer", "operator", "keeper", "auditor", "owner", "alien"])
people = st.sampled_from(["ann", "ben", "cyn"])
scopes = st.none() | st.frozensets(st.sampled_from([*ACTIONS, *GROUPS]), max_size=4)


@st.composite
def principals(draw: st.DrawFn) -> Principal:
    kind = draw(st.sampled_from(["User", "ApiKey", "Machine", "Member", "Anonymous"]))
    grants = tuple(
        Grant(role, *(draw(st.sampled_from([None, NOW - HOUR, NOW, NOW + HOUR])) for _ in range(2)))
        for role in draw(st.lists(names, max_size=3))
    )
    person = draw(people)
    return Principal(
        kind=kind,
        id=f"{kind} {person}",
        name=person,
        person=person,
        how="supposed",
        grants=grants,
        groups=frozenset(draw(st.lists(people, max_size=2))) if kind in ("User", "ApiKey", "Machine") else frozenset(),
        scopes=draw(scopes) if kind == "ApiKey" else None,
        vault=typical_resource("Vault").id if kind == "Member" else None,
        until_ns=draw(st.sampled_from([None, NOW, NOW + HOUR])),
        elevation=draw(st.sampled_from([None, Elevation("x", "an incident", NOW - HOUR, NOW + HOUR)])),
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Resource]:
    action = draw(st.sampled_from(list(ACTIONS.values())))
    kind = draw(st.sampled_from(action.resources))
    if kind == "Plan":
        approvals = frozenset(draw(st.lists(people, max_size=2)))
        plan = plan_resource("p", initiator=draw(people), approvals=approvals, drill=draw(st.booleans()))
        return action.name, plan
    if kind == "Snapshot":
        return action.name, snapshot_resource(typical_resource("Asset"), "x", held=draw(st.booleans()))
    return action.name, typical_resource(kind)


@st.composite
def policies(draw: st.DrawFn, effect: str = "") -> str:
    """A policy that fits the schema."""
    effect = effect or draw(st.sampled_from(["permit", "forbid"]))
    who = draw(
        st.sampled_from(["principal", 'principal in Role::"trainer"', "principal is User", 'principal in Group::"ann"'])
    )
    names_of = [f'action == Action::"{name}"' for name in ACTIONS] + [f'action in Action::"{name}"' for name in GROUPS]
    what = draw(st.sampled_from(["action", *names_of]))
    on = draw(st.sampled_from(["resource", f'resource in Vault::"{typical_resource("Vault").id}"']))
    if "Action" in what and "in Vault" in on:
        on = "resource"  # not every action is done in a vault, and the schema would say so
    when = draw(
        st.sampled_from(
            [
                "",
                'when { principal.person == "ann" }',
                "when { context has breakGlass }",
                "unless { principal has until }",
            ]
        )
    )
    return f"{effect} ({who}, {what}, {on}) {when};"


def loaded(*texts: str) -> Policies:
    return load_policies({f"{i}.cedar": text.encode() for i, text in enumerate(texts)})


@settings(max_examples=80, deadline=None)
@given(st.lists(policies(), max_size=4), policies(effect="forbid"), principals(), requests())
def test_one_more_forbid_never_allows_more(own: list[str], forbid: str, who: Principal, request) -> None:
    before = decide(loaded(*own), who, *request, Circumstances(NOW))
    after = decide(loaded(*own, forbid), who, *request, Circumstances(NOW))
    assert not after.errors
    assert before.allowed or not after.allowed


@settings(max_examples=100, deadline=None)
@given(st.lists(policies(effect="permit"), max_size=4), principals(), requests())
def test_a_forbid_beats_every_permit(permits: list[str], who: Principal, request) -> None:
    action, resource = request
    forbid = f'@id("no") forbid (principal, action == Action::"{action}", resource);'
    decision = decide(loaded(*permits, forbid), who, action, resource, Circumstances(NOW))
    assert not decision.allowed
    assert "no" in decision.policies


@settings(max_examples=100, deadline=None)
@given(st.lists(policies(), max_size=4), requests())
def test_nobody_may_nothing(own: list[str], request) -> None:
    assert not decide(loaded("permit (principal, action, resource);", *own), None, *request, Circumstances(NOW)).allowed


@settings(max_examples=300, deadline=None)
@given(principals(), requests())
def test_the_rules_hold_even_where_everything_is_permitted(who: Principal, request) -> None:
    action, resource = request
    decision = decide(EVERYTHING, who, action, resource, Circumstances(NOW))
    assert not decision.errors
    groups = ACTIONS[action].groups
    broken = {
        "expired": who.until_ns is not None and who.until_ns <= NOW,
        "outside-scope": who.scopes is not None and not who.scopes & {action, *groups},
        "own-plan": action == "approve" and resource.attributes["initiator"] == who.person,
        "unapproved-plan": action in ("recover.run", "recover.resume", "recover.adopt")
        and not (resource.attributes["approved"] or resource.attributes["drill"] or who.elevation),
        "held-snapshot": action == "drop" and resource.attributes.get("held") is True,
        "break-glass-destroys-nothing": who.elevation is not None
        and bool({"destroying", "keys", "governing"} & set(groups))
        and action != "break-glass",
        "break-glass-unlisted": action == "break-glass",
    }
    expected = sorted(name for name, is_broken in broken.items() if is_broken)
    assert decision.allowed == (not expected)
    if expected:
        assert list(decision.policies) == expected
    else:
        assert "all" in decision.policies


@settings(max_examples=200, deadline=None)
@given(principals(), requests())
def test_more_roles_never_allow_less_by_the_defaults(who: Principal, request) -> None:
    more = replace(who, grants=(*who.grants, Grant("owner")))
    before, after = (decide(default_policies(), one, *request, Circumstances(NOW)) for one in (who, more))
    assert after.allowed or not before.allowed


@settings(max_examples=200, deadline=None)
@given(principals(), requests())
def test_what_is_allowed_names_what_permits_it(who: Principal, request) -> None:
    decision = decide(default_policies(), who, *request, Circumstances(NOW))
    effects = {rule.id: rule.effect for rule in default_policies().rules}
    assert {effects[name] for name in decision.policies} <= {"permit" if decision.allowed else "forbid"}
    assert bool(decision.policies) or not decision.allowed
    assert decision.reasons


def test_a_grant_counts_from_its_beginning_to_its_end() -> None:
    def may(now_ns: int) -> bool:
        who = replace(typical_principal("trainer"), grants=(Grant("trainer", NOW, NOW + HOUR),))
        return decide(default_policies(), who, "save", typical_resource("Asset"), Circumstances(now_ns)).allowed

    assert [may(NOW - 1), may(NOW), may(NOW + HOUR - 1), may(NOW + HOUR)] == [False, True, True, False]


def test_every_cell_of_the_table_is_a_decision_about_a_known_role() -> None:
    rows = role_table(default_policies())
    assert {row.action.name for row in rows} == set(ACTIONS)
    assert all(tuple(row.decisions) == COLUMNS for row in rows)
    may = {(row.action.name, column) for row in rows for column in COLUMNS if row.decisions[column].allowed}
    destroying = {name for name, action in ACTIONS.items() if action.groups[0] in ("destroying", "keys")}
    for column in ("trainer", "operator", "auditor", "member-writer", "member-reader", "break-glass"):
        assert not {action for action, who in may if who == column} & destroying, column
    for column in ("trainer", "auditor", "member-writer"):
        assert not {action for action, who in may if who == column} & {"read", "restore"}, column
    governing = {name for name, action in ACTIONS.items() if action.groups[0] == "governing"} - {"api-key.list"}
    assert {who for action, who in may if action in governing - {"site.change"}} == {"owner"}
    # Where its copies lie is a vault's affair, too: who keeps the vault may say that a site has failed.
    assert {who for action, who in may if action == "site.change"} == {"owner", "member-keeper"}
    assert not [who for action, who in may if action == "break-glass"]
    emergency = {name for name, action in ACTIONS.items() if EMERGENCY in action.groups}
    assert {action for action, who in may if who == "break-glass"} == emergency
    assert set(ROLES) < set(COLUMNS)


def test_a_member_of_one_vault_is_nobody_in_another() -> None:
    who = replace(typical_principal("member-keeper"), vault="f" * 32)
    for row in role_table(default_policies()):
        assert not decide(default_policies(), who, row.action, typical_resource(row.kind), Circumstances(NOW)).allowed


def test_what_cannot_be_is_denied() -> None:
    owner = typical_principal("owner")
    assert not decide(EVERYTHING, owner, "collect", PLANE, Circumstances(NOW)).allowed
    for now_ns in (-1, 1 << 70):
        assert not decide(EVERYTHING, owner, "collect", typical_resource("Vault"), Circumstances(now_ns)).allowed
    overflowing = loaded(
        "permit (principal, action, resource);",
        f"forbid (principal, action, resource) when {{ {(1 << 62)} + {(1 << 62)} > 0 }};",
    )
    decision = decide(overflowing, owner, "collect", typical_resource("Vault"), Circumstances(NOW))
    assert not decision.allowed and decision.errors  # a forbid that fails does not count as none
