"""People whom a server remembers, by a session or by a token that they gave to a device.

Remembered is who they are, not what they may do: roles and grants are looked up anew for each request, an API key that
was revoked ends what was begun with it, and whoever is taken off `authority.yaml` has lost it at once.
"""

from __future__ import annotations

import msgspec

from holdfast.authority.api_keys import KeyRecord
from holdfast.authority.principals import Grant, Principal
from holdfast.authority.register import load_register
from holdfast.clock import to_rfc3339
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.errors import CredentialError

__all__ = ["Known", "decode_known", "encode_known", "given_to_device", "known_of", "remembered"]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A principal without what it may do. `kind`: User, Machine or ApiKey. Times are ns."""

    kind: str
    id: str
    name: str
    person: str
    groups: list[str] = []
    attributes: dict[str, str] = {}
    since: int = 0
    until: int | None = None


def known_of(principal: Principal) -> Known:
    """Raises CredentialError for one that was given to a device: it is not handed on."""
    if principal.kind not in ("User", "Machine", "ApiKey") or principal.id.startswith("device:"):
        raise CredentialError(
            f"{principal} cannot be remembered: sign in with a token or an API key of your own",
        )
    return Known(
        kind=principal.kind,
        id=principal.id,
        name=principal.name,
        person=principal.person,
        groups=sorted(principal.groups),
        attributes=dict(principal.attributes),
        since=principal.since_ns,
        until=principal.until_ns,
    )


def encode_known(known: Known) -> bytes:
    return msgspec.json.encode(known, order="sorted")


def decode_known(data: bytes) -> Known:
    """Raises CredentialError: whoever was remembered like that has to sign in again."""
    try:
        return msgspec.json.decode(data, type=Known)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CredentialError("this session is of another version: sign in again") from error


def remembered(known: Known, home: AuthorityHome, how: str) -> Principal:
    """As of now. Raises CredentialError where it was revoked, or has expired."""
    now = home.clock.now_ns()
    if known.until is not None and known.until <= now:
        raise CredentialError(f"what you signed in with expired at {to_rfc3339(known.until)}", hint="sign in again")
    if known.kind == "ApiKey":
        return _of_key(known, home, now, how)
    issuer = known.attributes.get("issuer")
    if issuer is not None and all(one.issuer != issuer for one in home.settings.issuers):
        raise CredentialError("the identity provider that you signed in with is not accepted any more")
    names = frozenset({known.person, *(f"group:{group}" for group in known.groups)})
    return Principal(
        kind="Machine" if known.kind == "Machine" else "User",
        id=known.id,
        name=known.name,
        person=known.person,
        how=how,
        grants=home.settings.grants_for(names),
        groups=frozenset(known.groups),
        attributes=tuple(known.attributes.items()),
        since_ns=known.since,
        until_ns=known.until,
    )


def _of_key(known: Known, home: AuthorityHome, now: int, how: str) -> Principal:
    register = load_register(home.register)
    record: KeyRecord | None = None if register is None else register.find(known.id)
    if record is None or record.revoked is not None or (record.expires is not None and record.expires <= now):
        raise CredentialError("the API key that you signed in with does not count any more", hint="sign in again")
    return Principal(
        kind="ApiKey",
        id=record.id,
        name=record.label,
        person=record.person,
        how=how,
        grants=(
            *(Grant(role) for role in record.roles),
            *home.settings.grants_for(frozenset({f"api-key:{record.id}"})),
        ),
        scopes=None if record.scopes is None else frozenset(record.scopes),
        since_ns=record.created,
        until_ns=record.expires,
    )


def given_to_device(person: Principal, token: str, label: str, scopes: frozenset[str] | None, until: int) -> Principal:
    """What a device is whom a person let in: that person, no longer than `until`, within `scopes` and their own."""
    narrowed = scopes if person.scopes is None else person.scopes if scopes is None else person.scopes & scopes
    return Principal(
        kind="ApiKey",
        id=f"device:{token}",
        name=f"{person.name} ({label})",
        person=person.person,
        how=f"a token that was given to {label}",
        grants=person.grants,
        groups=person.groups,
        scopes=narrowed,
        since_ns=person.since_ns,
        until_ns=until if person.until_ns is None else min(until, person.until_ns),
    )
