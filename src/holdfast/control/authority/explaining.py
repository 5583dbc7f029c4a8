"""What `policy explain` asks about: principals and resources that people write down as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from holdfast.authority.break_glass import elevated_by
from holdfast.authority.principals import MEMBER_ROLES, ROLES, Grant, Principal
from holdfast.authority.register import load_register
from holdfast.authority.resources import (
    PLANE,
    Resource,
    asset_resource,
    plan_resource,
    site_resource,
    snapshot_resource,
    vault_resource,
)
from holdfast.authority.table import COLUMNS, typical_principal
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.emergency import session_of
from holdfast.errors import NotFoundError, UsageError

__all__ = ["principal_named", "resource_named", "FACTS"]

_SOME_VAULT: Final = "0" * 32
_YES_NO: Final = {"yes": True, "no": False, "true": True, "false": False}
FACTS: Final = {
    "vault": ("encrypted", "class", "jurisdiction"),
    "asset": ("encrypted", "class", "jurisdiction", "vault"),
    "snapshot": ("encrypted", "class", "jurisdiction", "vault", "held", "validated"),
    "site": ("jurisdiction", "cloud"),
    "plan": ("initiator", "approved-by", "drill", "jurisdiction"),
    "plane": (),
}
"""Kind of resource → the facts that can be given about it."""


def principal_named(authority: Authority, text: str, vault: str = _SOME_VAULT) -> Principal:
    """`me`, a role, `user:ISSUER#SUBJECT`, `group:NAME`, `machine:NAME`, `api-key:ID`. `vault`: a member's.

    Raises UsageError, NotFoundError, CredentialError.
    """
    if text == "me":
        return authority.identify()
    if text in COLUMNS:
        found = typical_principal(text)
        return replace(found, vault=vault) if text in MEMBER_ROLES else found
    kind, colon, name = text.partition(":")
    settings, now_ns = authority.home.settings, authority.home.clock.now_ns()
    if not colon or not name or kind not in ("user", "group", "machine", "api-key"):
        raise UsageError(
            f"{text!r} names nobody",
            hint=f"me, a role ({', '.join(ROLES)}), or user:…, group:…, machine:…, api-key:…",
        )
    if kind == "api-key":
        return _of_api_key(authority, name)
    grants = settings.grants_for(frozenset({text}))
    if kind == "machine":
        return Principal(kind="Machine", id=name, name=name, person=text, how="supposed", grants=grants)
    person = text if kind == "user" else f"user:somebody in {name}"
    groups = frozenset({name}) if kind == "group" else frozenset()
    shown = name if kind == "user" else f"somebody in {name}"
    found = Principal(kind="User", id=name, name=shown, person=person, how="supposed", grants=grants, groups=groups)
    session = session_of(authority.home)
    return found if session is None else elevated_by(found, session, now_ns)


def _of_api_key(authority: Authority, name: str) -> Principal:
    register = load_register(authority.home.register)
    found = [one for one in (register.keys if register is not None else []) if name in (one.id, one.label)]
    if not found:
        raise NotFoundError(f"there is no API key {name!r}", hint="`holdfast policy api-key list` lists them")
    record = next((one for one in found if one.revoked is None), found[0])
    grants = tuple(Grant(role) for role in record.roles)
    return Principal(
        kind="ApiKey",
        id=record.id,
        name=record.label,
        person=record.person,
        how="supposed",
        grants=(*grants, *authority.home.settings.grants_for(frozenset({f"api-key:{record.id}"}))),
        scopes=None if record.scopes is None else frozenset(record.scopes),
        until_ns=min(record.revoked, authority.home.clock.now_ns()) if record.revoked is not None else record.expires,
    )


def resource_named(text: str, facts: Mapping[str, str]) -> Resource:
    """`plane`, `vault[:ID]`, `asset:NAME`, `snapshot:NAME@ID`, `site:NAME`, `plan:NAME`. Raises UsageError."""
    kind, _, name = text.partition(":")
    allowed = FACTS.get(kind)
    if allowed is None or (not name and kind not in ("plane", "vault")):
        raise UsageError(
            f"{text!r} names no resource", hint="plane, vault, asset:NAME, snapshot:NAME@ID, site:NAME or plan:NAME"
        )
    strange = sorted(set(facts) - set(allowed))
    if strange:
        listed = ", ".join(allowed) or "none"
        raise UsageError(f"{strange[0]!r} is no fact about a {kind}", hint=f"facts about it: {listed}")
    if kind == "plane":
        return PLANE
    if kind == "site":
        return site_resource(name, jurisdiction=facts.get("jurisdiction"), cloud=facts.get("cloud"))
    if kind == "plan":
        return plan_resource(
            name,
            initiator=facts.get("initiator", "somebody else"),
            approvals=frozenset({facts["approved-by"]}) if "approved-by" in facts else frozenset(),
            drill=_flag(facts, "drill", False),
            jurisdiction=facts.get("jurisdiction"),
        )
    return _in_a_vault(kind, name, facts)


def _in_a_vault(kind: str, name: str, facts: Mapping[str, str]) -> Resource:
    vault_id = name if kind == "vault" and name else facts.get("vault", _SOME_VAULT)
    vault = vault_resource(
        vault_id,
        encrypted=_flag(facts, "encrypted", True),
        class_=facts.get("class"),
        jurisdiction=facts.get("jurisdiction"),
    )
    if kind == "vault":
        return vault
    asset, at, snapshot = name.rpartition("@") if kind == "snapshot" else (name, "", "")
    found = asset_resource(vault, asset or name)
    if kind == "asset":
        return found
    if not at or not asset or not snapshot:
        raise UsageError(f"{name!r} names no snapshot", hint="write snapshot:ASSET@ID")
    validated = _flag(facts, "validated", False) if "validated" in facts else None
    return snapshot_resource(found, snapshot, held=_flag(facts, "held", False), validated=validated)


def _flag(facts: Mapping[str, str], name: str, default: bool) -> bool:
    text = facts.get(name)
    if text is None:
        return default
    if text not in _YES_NO:
        raise UsageError(f"{name} is yes or no, not {text!r}")
    return _YES_NO[text]
