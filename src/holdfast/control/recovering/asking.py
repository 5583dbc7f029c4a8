"""Whether somebody may plan, approve, run or adopt, and the record of it in the vault's audit log.

Who says something in a journal is `speaker`: the label of the key that signs, or `<label>/<person>` where a service
says it for a person whom it identified.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from holdfast.authority.principals import Principal
from holdfast.authority.resources import plan_resource, site_resource
from holdfast.config.model import Config
from holdfast.control.audit.audited_vault import decision_logs
from holdfast.control.authority.acting import acting_for
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.guarding import vault_as_resource
from holdfast.control.authority.identifying import member_of
from holdfast.recovery.reviewing.persons import NOBODY_VOUCHES, Persons
from holdfast.vault.vault import Vault

__all__ = ["Asked", "ask", "persons_of", "speaker"]


def speaker(vault: Vault) -> str:
    """Who says what is about to be said in a journal that this vault's key signs."""
    served, label = acting_for(), vault.handle.keys.label
    return label if served is None else f"{label}/{served.person}"


def persons_of(config: Config) -> Persons:
    """Who may vouch for whom, and who is who, as `holdfast.yaml` says (`serve.vouches`, `identity.people`)."""
    return Persons(vouchers=frozenset(config.serve.vouches), names=config.identity.person_by_name())


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
    persons: Persons = NOBODY_VOUCHES,
    environment: Mapping[str, str] = os.environ,
) -> Asked:
    """Whoever the environment names, else the member that opened the vault, may do this to the plan (or run) `plan`.

    `by`: who asked for the recovery, as `speaker` said it. `approved_by`: those whose approval counts, in the same way.
    Raises PermissionDeniedError, CredentialError.
    """
    home = AuthorityHome(environment, vault.handle.clock, vault.handle.progress)
    authority = Authority(home, list(decision_logs(vault)))
    principal = authority.identify(member_of(vault))
    mine = persons.are_one(by, speaker(vault)) or persons.behind(by) == persons.named(principal.person)
    resource = plan_resource(
        plan,
        initiator=principal.person if mine else persons.behind(by),
        approvals=frozenset(persons.behind(one) for one in approved_by),
        drill=drill,
        vault=vault_as_resource(vault),
    )
    authority.authorise(principal, action, resource, to=site_resource(to))
    return Asked(principal, principal.elevation is not None)
