"""API keys of an installation: made, listed, revoked; by whom, stands in the records.

Whoever the environment names (a token, an API key) has to be allowed to. Without one it is whoever may write the files
of the installation, which no policy could keep from it: that is recorded, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from holdfast.authority.actions import ACTIONS, GROUPS
from holdfast.authority.api_keys import ApiKey, KeyRecord, Register, new_api_key
from holdfast.authority.principals import Principal
from holdfast.authority.register import change_register, load_register, revoked_key
from holdfast.authority.resources import PLANE
from holdfast.clock import NANOSECONDS
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import API_KEY_VARIABLE, TOKEN_VARIABLE, AuthorityHome
from holdfast.control.authority.decision_log import DecisionRecord, LocalDecisions
from holdfast.errors import HoldfastError, UsageError
from holdfast.trust.keyfile import create_private_file
from holdfast.units import parse_duration

__all__ = ["create_api_key", "list_api_keys", "revoke_api_key"]


def create_api_key(
    home: AuthorityHome,
    label: str,
    *,
    roles: Sequence[str],
    scopes: Sequence[str] | None = None,
    expires: str | None = None,
    person: str = "",
    to: Path | None = None,
) -> tuple[KeyRecord, ApiKey]:
    """A new key. With `to` it is written there, mode 600, before it counts. `expires`: from now on, as `90d`.

    Raises UsageError, RefusedError (the file is there), FailedError, PermissionDeniedError.
    """
    who = _permitted(home, "api-key.create")
    unknown = sorted(set(scopes or ()) - set(ACTIONS) - set(GROUPS))
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is neither an action nor a group of actions", hint="see `holdfast policy table`"
        )
    now = home.clock.now_ns()
    end = None if expires is None else now + round(parse_duration(expires) * NANOSECONDS)

    def change(register: Register) -> tuple[Register, tuple[KeyRecord, ApiKey]]:
        changed, key, record = new_api_key(
            register, label, roles=roles, scopes=scopes, person=person, now_ns=now, expires_ns=end
        )
        if to is not None:
            create_private_file(to, key.text.encode() + b"\n")
        return changed, (record, key)

    made = change_register(home.register, change)
    _note(home, "api-key.create", who, made[0])
    return made


def list_api_keys(home: AuthorityHome) -> list[KeyRecord]:
    """All of them, the oldest first, revoked ones too. Raises CredentialError, PermissionDeniedError."""
    _permitted(home, "api-key.list")
    register = load_register(home.register)
    return [] if register is None else sorted(register.keys, key=lambda one: (one.created, one.id))


def revoke_api_key(home: AuthorityHome, name: str) -> KeyRecord:
    """From now on the key counts no more. `name`: its id or label.

    Raises NotFoundError, RefusedError (it is revoked), FailedError, PermissionDeniedError.
    """
    who = _permitted(home, "api-key.revoke")
    now = home.clock.now_ns()
    gone = change_register(home.register, lambda register: revoked_key(register, name, now))
    _note(home, "api-key.revoke", who, gone)
    return gone


def _permitted(home: AuthorityHome, action: str) -> Principal | None:
    """Whoever the environment names, who is allowed to; None where it names nobody."""
    if not any(home.environment.get(name) for name in (TOKEN_VARIABLE, API_KEY_VARIABLE)):
        return None
    authority = Authority(home)
    principal = authority.identify()
    authority.authorise(principal, action, PLANE)
    return principal


def _note(home: AuthorityHome, action: str, who: Principal | None, about: KeyRecord) -> None:
    """It is done already: a record that cannot be written is told, loudly."""
    local = {"kind": "Local", "id": str(os.geteuid()), "how": f"may write {home.register}"}
    record = DecisionRecord(
        at_ns=home.clock.now_ns(),
        action=action,
        decision="allow",
        principal=local if who is None else {"kind": who.kind, "id": who.id, "person": who.person, "how": who.how},
        roles=[] if who is None else sorted(who.roles(home.clock.now_ns())),
        resource={"kind": "ApiKey", "id": about.id, "name": about.label, "roles": ",".join(about.roles)},
        policies=[],
        reasons=["done"],
        errors=[],
        break_glass=None,
        origin="cli",
    )
    try:
        if home.state is not None:
            LocalDecisions(home.state).record(record, required=True)
    except HoldfastError as error:
        home.progress.note(f"NOT RECORDED: {action} of {about.id}: {error.message}")
