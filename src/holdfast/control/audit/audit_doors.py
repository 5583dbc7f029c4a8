"""The door to an audit log, for who has a key of the vault and for strangers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from holdfast.audit.declaration import read_declared
from holdfast.audit.remembered import Met
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.authority.resources import vault_resource
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.audit.auditing import AuditLog, log_of, members_of
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.authority.guarding import guard
from holdfast.control.vaults.opening import open_at, store_at
from holdfast.errors import CredentialError, NotFoundError, UntrustedError
from holdfast.events import SILENT, Progress
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder, passphrase_from_environment
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import load_config, read_keepers, read_suite, read_vault_id

__all__ = ["open_for_audit", "open_log"]


def open_log(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    keepers: Sequence[str] = (),
    log_keys: Sequence[VerifierKey] = (),
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> AuditLog:
    """The log of a vault for a stranger, who has no key of it: everything that there is to verify lies in the open.

    `keepers`: fingerprints that were learned elsewhere; without any, the vault's first keeper is taken at its word.
    `log_keys` must be among the log's. Raises NotFoundError, UntrustedError, DamageError.
    """
    store = store_at(url, options=options, progress=progress)
    stored = load_config(store, keepers or read_keepers(store))
    if not keepers and not log_keys:
        progress.note("no key was at hand: the vault's first keeper was taken at its word, and so is the log's key")
    members = members_of(stored.config)
    met = Met(environment, store, stored.vault.hex())
    try:
        declared = read_declared(store, members)
    except NotFoundError:
        met.require_never()
        raise
    met.note()
    missing = [key for key in log_keys if key not in declared.all_keys]
    if missing:
        raise UntrustedError(
            f"the log in {store.url} is not the log whose key was given ({missing[0].name})",
            hint="compare the keys with who runs the log",
            object_name=store.url,
        )
    return AuditLog(
        store, stored.vault.hex(), members, declared, environment=environment, clock=clock, progress=progress
    )


def open_for_audit(
    url: str,
    action: str,
    *,
    options: Mapping[str, str] | None = None,
    keepers: Sequence[str] = (),
    log_keys: Sequence[VerifierKey] = (),
    environment: Mapping[str, str] = os.environ,
    progress: Progress = SILENT,
) -> AuditLog:
    """The log of the vault at a URL: by a key of the vault, if this machine has one, else as a stranger.

    `action`: what is going to be done (`audit.verify`, …), by whoever the environment names, the member, or nobody in
    particular. Raises PermissionDeniedError where that is not allowed, and what opening raises.
    """
    vault = None
    if not keepers and not log_keys:
        try:
            vault = open_at(url, options=options, environment=environment, progress=progress)
        except CredentialError:
            if environment.get(KEY_FILE_VARIABLE) or passphrase_from_environment(environment) is not None:
                raise  # a key was meant to open it, and does not
            if _has_key(url, options, environment):
                raise
    if vault is not None:
        guard(vault, action, environment=environment)
        return log_of(vault.handle, environment=environment)
    log = open_log(url, options=options, keepers=keepers, log_keys=log_keys, environment=environment, progress=progress)
    authority = Authority(AuthorityHome(environment, progress=progress))
    at = vault_resource(log.vault_id, encrypted=read_suite(log.store) is not Suite.PLAIN)
    authority.authorise(authority.identify(), action, at)
    return log


def _has_key(url: str, options: Mapping[str, str] | None, environment: Mapping[str, str]) -> bool:
    """Whether the key folder has a key of this vault, whatever is the matter with it."""
    vault_id = read_vault_id(store_at(url, options=options))
    try:
        return any(key_folder(environment).glob(f"{vault_id}.*.key"))
    except CredentialError:
        return False
