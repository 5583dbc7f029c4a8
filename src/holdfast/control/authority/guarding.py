"""Asking for permission around an opened vault: what a command is about to do, in the words of the policies.

A command opens a vault, calls `guard`, and goes on if that returns. For a snapshot it goes on with the one that was
asked for (`Guarded.reference`): a name that meanwhile means another one is not looked up twice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.authority.deciding import Decision
from holdfast.authority.principals import Principal
from holdfast.authority.resources import (
    Resource,
    asset_resource,
    site_resource,
    snapshot_resource,
    vault_resource,
)
from holdfast.control.audit.audited_vault import decision_logs
from holdfast.control.authority.authorising import Authority, member_of
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.decision_log import DecisionLog
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import read_suite, read_vault_id
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.holds import held_by
from holdfast.vault.snapshots.refs import VALIDATED
from holdfast.vault.vault import Vault

__all__ = ["Guarded", "guard", "guard_creation", "guard_mirror", "vault_as_resource", "snapshot_as_resource"]


class Guarded(NamedTuple):
    """What was allowed, to whom, and on what. `snapshot`: the one that a reference means, if it could be read.

    `reference`: what to go on with: the id of that snapshot, else what was given.
    """

    principal: Principal
    decision: Decision
    resource: Resource
    snapshot: Root | None = None
    reference: str = ""


def guard(
    vault: Vault,
    action: str,
    *,
    asset: str | None = None,
    reference: str | None = None,
    snapshot: Root | None = None,
    to: str | None = None,
    logs: Sequence[DecisionLog] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Guarded:
    """Whoever the environment names, else the member that opened the vault, may do this; else PermissionDeniedError.

    `asset`, `reference` or a `snapshot` that was read already say what it is done to, by default the vault. `to`: the
    site that a copy goes to. `logs`: besides the local file, by default the vault's audit log, where it is opened with
    one. Raises CredentialError (nobody can be identified, no policies are in force), and for a reference what finding
    it raises.
    """
    home = AuthorityHome(environment, vault.handle.clock, vault.handle.progress)
    authority = Authority(home, list(decision_logs(vault) if logs is None else logs))
    principal = authority.identify(member_of(vault))
    there = None if to is None else site_resource(to)
    at = vault_as_resource(vault)
    root = snapshot
    if root is None and reference is not None and vault.handle.keys.can_read:
        root = vault.find(reference)
    if root is not None:
        # The default policies ask for it where something is dropped; those of the user may ask anywhere.
        closely = action == "drop" or bool(authority.home.in_force.policies.own)
        at = snapshot_as_resource(vault, root, closely=closely)
    elif reference is not None:  # who cannot read says the asset, or has said nothing that could be checked
        asset = reference.rpartition("@")[0] or reference
    if root is None and asset is not None:
        at = asset_resource(at, asset)
    decision = authority.authorise(principal, action, at, to=there)
    return Guarded(principal, decision, at, root, root.id if root is not None else reference or "")


def guard_creation(
    url: str, *, encrypted: bool, environment: Mapping[str, str] = os.environ, authority: Authority | None = None
) -> Decision:
    """The same before a vault is made, whose id and members are not there yet."""
    asked = authority or Authority(AuthorityHome(environment))
    place = vault_resource("new", encrypted=encrypted, name=f"at {url}")
    return asked.authorise(asked.identify(), "vault.create", place)


def guard_mirror(
    store: Store, *, to: str | None = None, environment: Mapping[str, str] = os.environ, progress: Progress = SILENT
) -> Decision:
    """The same before the objects of a vault are copied to a place as they are, without a key that opens it."""
    authority = Authority(AuthorityHome(environment, progress=progress))
    sealed = read_suite(store) is not Suite.PLAIN
    return authority.authorise(
        authority.identify(),
        "replicate",
        vault_resource(read_vault_id(store), encrypted=sealed),
        to=None if to is None else site_resource(to),
    )


def vault_as_resource(vault: Vault) -> Resource:
    """With what the vault says of itself."""
    return vault_resource(vault.id, encrypted=vault.handle.keys.suite is not Suite.PLAIN)


def snapshot_as_resource(vault: Vault, root: Root, *, closely: bool = True) -> Resource:
    """`closely`: also whether it is held, and is what `validated` points to, which takes a look at the pointers."""
    asset = asset_resource(vault_as_resource(vault), root.asset)
    if not closely:
        return snapshot_resource(asset, root.id, held=False)
    refs = vault.tags(root.asset)
    now = vault.handle.clock.now_ns()
    held = any(hold.until is None or hold.until > now for hold in held_by(refs, root.id))
    validated = VALIDATED in refs and refs[VALIDATED].target == root.id
    return snapshot_resource(asset, root.id, held=held, validated=validated)
