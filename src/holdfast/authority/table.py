"""The table of roles and actions, cell by cell from the real decision function. docs/authority.md shows it."""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.authority.actions import ACTIONS, Action
from holdfast.authority.deciding import Circumstances, Decision, decide
from holdfast.authority.policies import Policies
from holdfast.authority.principals import MEMBER_ROLES, ROLES, Elevation, Grant, Principal
from holdfast.authority.resources import (
    PLANE,
    Resource,
    asset_resource,
    plan_resource,
    site_resource,
    snapshot_resource,
    vault_resource,
)
from holdfast.clock import NANOSECONDS

__all__ = ["COLUMNS", "Row", "role_table", "typical_resource", "typical_principal", "markdown_table"]

COLUMNS: Final = (*ROLES, *MEMBER_ROLES, "break-glass")
"""The last one: somebody without any role, in a break-glass session."""

_NOW_NS: Final = 1_800_000_000 * NANOSECONDS
_VAULT: Final = vault_resource("00000000000000000000000000000000", encrypted=True, name="some vault")
_ASSET: Final = asset_resource(_VAULT, "some asset")
_TYPICAL: Final[dict[str, Resource]] = {
    "Plane": PLANE,
    "Site": site_resource("some site"),
    "Vault": _VAULT,
    "Asset": _ASSET,
    "Snapshot": snapshot_resource(_ASSET, "some snapshot", held=False),
    "Plan": plan_resource("some plan", initiator="somebody else", approvals=frozenset({"a third person"})),
}


class Row(NamedTuple):
    """An action on a kind of resource, and the decision for each of `COLUMNS`."""

    action: Action
    kind: str
    decisions: dict[str, Decision]


def typical_resource(kind: str) -> Resource:
    """Sealed, not held; a plan of somebody else that a third person approved."""
    return _TYPICAL[kind]


def typical_principal(column: str) -> Principal:
    """Somebody with that role, and nothing besides."""
    if column == "break-glass":
        elevation = Elevation("some-session", "the table of roles", _NOW_NS, _NOW_NS + 3600 * NANOSECONDS)
        return _user("somebody").elevated(elevation)
    if column in MEMBER_ROLES:
        return Principal(
            kind="Member",
            id=column,
            name=column,
            person=column,
            how="supposed",
            grants=(Grant(column),),
            vault=_VAULT.id,
        )
    return _user(f"some {column}", Grant(column))


def _user(name: str, *grants: Grant) -> Principal:
    return Principal(kind="User", id=name, name=name, person=name, how="supposed", grants=grants)


def role_table(policies: Policies) -> list[Row]:
    """For each action a row for each kind of resource that it is done to."""
    context = Circumstances(_NOW_NS)
    return [
        Row(
            action,
            kind,
            {
                column: decide(policies, typical_principal(column), action, typical_resource(kind), context)
                for column in COLUMNS
            },
        )
        for action in ACTIONS.values()
        for kind in action.resources
    ]


def markdown_table(policies: Policies) -> str:
    """One row for each action: `✓` allowed, `·` denied; the kinds of resources never differ in that."""
    head = ["action", "on", *COLUMNS]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * 2}{':-:|' * len(COLUMNS)}"]
    merged: dict[tuple[str, tuple[bool, ...]], list[str]] = {}
    for row in role_table(policies):
        allowed = tuple(decision.allowed for decision in row.decisions.values())
        merged.setdefault((row.action.name, allowed), []).append(row.kind.lower())
    for (action, allowed), kinds in merged.items():
        cells = ["✓" if yes else "·" for yes in allowed]
        lines.append(f"| `{action}` | {', '.join(kinds)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
