"""Members of a vault as principals: who holds one of its key files, in the role that the key has."""

from __future__ import annotations

from typing import Final

from holdfast.authority.principals import Grant, Principal
from holdfast.authority.settings import Settings
from holdfast.errors import UsageError

__all__ = ["principal_of_member"]

_ROLES: Final = {"writer": "member-writer", "reader": "member-reader", "keeper": "member-keeper"}


def principal_of_member(
    vault_id: str, role: str, label: str, settings: Settings, *, fingerprint: str = "", until_ns: int | None = None
) -> Principal:
    """`role`: writer, reader or keeper, as the opened vault says. `fingerprint`: of the key that signs.

    Such a principal may do what its keys do, in its own vault; `authority.yaml` may grant it roles besides.
    Raises UsageError for a role that no vault has.
    """
    if role not in _ROLES:
        raise UsageError(f"{role!r} is no role of a vault's member")
    name = label or role
    person = f"member:{vault_id}/{name}"  # a label alone anybody has, who makes a vault of their own
    key = f", {fingerprint}" if fingerprint else ""
    return Principal(
        kind="Member",
        id=f"{vault_id}/{role}/{name}",
        name=name,
        person=person,
        how=f"a {role}'s key of the vault {vault_id}{key}",
        grants=(Grant(_ROLES[role]), *settings.grants_for(frozenset({person}))),
        attributes=(("fingerprint", fingerprint),) if fingerprint else (),
        vault=vault_id,
        until_ns=until_ns,
    )
