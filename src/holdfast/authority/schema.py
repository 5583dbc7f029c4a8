"""The Cedar schema of the policies, made from the table of actions. `docs/holdfast.cedarschema` is this text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from holdfast.authority.actions import ACTIONS, GROUPS

if TYPE_CHECKING:
    import cedarpy

__all__ = ["schema_text", "schema"]

_HEAD: Final = """\
// What policies of Holdfast may speak of. See docs/authority.md.

// A role gives what the policies of that name permit; groups are an identity provider's.
entity Role;
entity Group;

// Principals. `person`: who stands behind it, the same for a person's tokens and API keys. From `until` on it is
// denied everything.
entity User in [Role, Group] = { name: String, person: String, until?: datetime, issuer?: String, email?: String };
entity ApiKey in [Role, Group] = { name: String, person: String, until?: datetime, limited: Bool, scopes: Set<String> };
entity Machine in [Role, Group] = { name: String, person: String, until?: datetime, issuer?: String };
entity Member in [Role] = { name: String, person: String, until?: datetime, vault: Vault };
entity Anonymous in [Role] = { name: String, person: String, until?: datetime };

// Resources. A policy for `resource in Vault::"…"` is for its assets and their snapshots, too.
entity Plane;
entity Site in [Plane] = { jurisdiction?: String, cloud?: String };
entity Vault in [Plane] = { encrypted: Bool, class?: String, jurisdiction?: String };
entity Asset in [Vault] = { name: String, encrypted: Bool, class?: String, jurisdiction?: String };
entity Snapshot in [Asset] = {
  asset: String,
  encrypted: Bool,
  held: Bool,
  validated?: Bool,
  class?: String,
  jurisdiction?: String
};
// `approved`: by somebody other than `initiator`, who is a person.
entity Plan in [Vault, Plane] = { initiator: String, approved: Bool, drill: Bool, jurisdiction?: String };

// `action` and `groups` name the action once more, for conditions. `to`: where a copy or a recovery goes.
type Circumstances = {
  now: datetime,
  action: String,
  groups: Set<String>,
  breakGlass?: { reason: String, until: datetime },
  to?: Site
};
"""
_PRINCIPALS: Final = "[User, ApiKey, Machine, Member, Anonymous]"


@cache
def schema_text() -> str:
    """In Cedar's own syntax."""
    lines = [_HEAD, "// Groups of actions."]
    lines += [f'action "{group}"; // {text}' for group, text in GROUPS.items()]
    lines += ["", "// Actions, and what each is done to."]
    for action in ACTIONS.values():
        groups = ", ".join(f'"{group}"' for group in action.groups)
        lines += [
            f'action "{action.name}" in [{groups}]',
            f"  appliesTo {{ principal: {_PRINCIPALS}, resource: [{', '.join(action.resources)}],",
            "    context: Circumstances };",
        ]
    return "\n".join(lines) + "\n"


@cache
def schema() -> cedarpy.Schema:
    """The same, parsed once in a process."""
    import cedarpy

    return cedarpy.Schema.from_str(schema_text())
