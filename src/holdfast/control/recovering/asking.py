"""Whether somebody may plan, approve, run or adopt, and the record of it in the vault's audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from holdfast.authority.principals import Principal
from holdfast.authority.resources import plan_resource, site_resource
from holdfast.control.audit.audited_vault import decision_logs
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.guarding import vault_as_resource
from holdfast.control.authority.identifying import member_of
from holdfast.vault.vault import Vault

__all__ = ["Asked", "ask"]


class Asked(NamedTuple):
    """Who was allowed. `emergency`: under break-glass, where no approval is needed."""

    principal: Principal
    emergency: bool


def ask(
    vault: Vault,
    action: str,
    plan: str,
    *,
    by: str,
    to: str,
    drill: bool = False,
    approved_by: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Asked:
    """Whoever the environment names, else the member that opened the vault, may do this to the plan (or run) `plan`.

    `by`: who asked for the recovery: the label of a key. `approved_by`: those whose approval counts. Raises
    PermissionDeniedError, CredentialError.
    """
    home = AuthorityHome(environment, vault.handle.clock, vault.handle.progress)
    authority = Authority(home, list(decision_logs(vault)))
    principal = authority.identify(member_of(vault))
    mine = by == vault.handle.keys.label
    resource = plan_resource(
        plan,
        initiator=principal.person if mine else by,
        approvals=frozenset(f"key:{one}" for one in approved_by),
        drill=drill,
        vault=vault_as_resource(vault),
    )
    authority.authorise(principal, action, resource, to=site_resource(to))
    return Asked(principal, principal.elevation is not None)
