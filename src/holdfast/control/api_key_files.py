"""API keys of an installation: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.authority.actions import ACTIONS, GROUPS
from holdfast.authority.api_keys import ApiKey, KeyRecord, Register, new_api_key
from holdfast.authority.register import change_register, load_register, revoked_key
from holdfast.clock import NANOSECONDS
from holdfast.control.authority_home import AuthorityHome
from holdfast.errors import UsageError
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

    Raises UsageError, RefusedError (the file is there), FailedError.
    """
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

    return change_register(home.register, change)


def list_api_keys(home: AuthorityHome) -> list[KeyRecord]:
    """All of them, the oldest first, revoked ones too. Raises CredentialError."""
    register = load_register(home.register)
    return [] if register is None else sorted(register.keys, key=lambda one: (one.created, one.id))


def revoke_api_key(home: AuthorityHome, name: str) -> KeyRecord:
    """From now on the key counts no more. `name`: its id or label. Raises NotFoundError, RefusedError, FailedError."""
    now = home.clock.now_ns()
    return change_register(home.register, lambda register: revoked_key(register, name, now))
