"""From a URL to an opened vault: store, key and vault wired together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.known_vaults import KnownVaults
from holdfast.errors import CredentialError
from holdfast.events import SILENT, Progress
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.stores.retention.opening import with_locks_if_any
from holdfast.trust.credentials import Credential
from holdfast.trust.keyring import (
    KEY_FILE_VARIABLE,
    SHARES_VARIABLE,
    find_credential,
    key_services_from_environment,
    passphrase_from_environment,
    store_credential,
)
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault, read_suite, read_vault_id, wants_key_service
from holdfast.vault.vault import Vault, open_vault

__all__ = ["CreatedVault", "create", "open_at", "open_on"]

Options = Mapping[str, str] | None


class CreatedVault(NamedTuple):
    """A new vault, opened, and where its keeper's key file lies."""

    vault: Vault
    key_file: Path


def create(
    url: str,
    *,
    options: Options = None,
    encryption: bool = True,
    suite: Suite = Suite.HYBRID_1,
    label: str = "keeper",
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> CreatedVault:
    """Make a vault and its keeper's key file (in HOLDFAST_KEY_FILE's place, or the key folder).

    With HOLDFAST_PASSPHRASE set, the passphrase becomes a second recipient: it reads. Raises RefusedError when there
    is a vault already. Losing the key file (without a second recipient) loses the data.
    """
    store = with_locks_if_any(open_store(url, options=options, note=progress.note), options)
    passphrase = passphrase_from_environment(environment)
    suite = suite if encryption else Suite.PLAIN
    paths: list[Path] = []

    def keep(credential: Credential) -> None:
        paths.append(store_credential(credential, environ=environment))

    created = create_vault(store, suite=suite, label=label, passphrase=passphrase, clock=clock, keep=keep)
    vault = open_vault(store, created.keeper, clock=clock, progress=progress)
    KnownVaults(environment, progress).remember(vault, options, anew=True)
    return CreatedVault(_audited(vault, environment), paths[0])


def open_at(
    url: str,
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> Vault:
    """Open the vault at a URL with the key that this machine has for it.

    Raises NotFoundError (no vault there), CredentialError (no key for it), UntrustedError (it is not the vault that
    this machine saw there before, see `control.known_vaults`), and what opening raises.
    """
    store = with_locks_if_any(open_store(url, options=options, note=progress.note), options)
    return open_on(store, options=options, environment=environment, clock=clock, progress=progress)


def open_on(
    store: Store,
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> Vault:
    """The same for a store that is open already; `options` are those that it was opened with."""
    vault_id, suite = read_vault_id(store), read_suite(store)
    known = KnownVaults(environment, progress)
    known.check(store, options, vault_id, suite)
    passphrase: str | KeyServices | None = passphrase_from_environment(environment)
    credential: Credential | None
    try:
        credential = find_credential(vault_id, environ=environment)
    except CredentialError:
        # What was named, and a folder without a key for an encrypted vault, are errors of the user's.
        public = suite is Suite.PLAIN
        named = environment.get(KEY_FILE_VARIABLE) or environment.get(SHARES_VARIABLE)
        if not named and passphrase is None and not public and wants_key_service(store):
            passphrase = key_services_from_environment(environment)
        if named or (passphrase is None and not public):
            raise
        credential = None
    if credential is None and suite is Suite.PLAIN:
        passphrase = None  # nothing is wrapped under one there
        progress.note(f"{store.url} was opened without a key: nobody's signature was checked")
    vault = open_vault(
        store, credential, passphrase=passphrase if credential is None else None, clock=clock, progress=progress
    )
    known.remember(vault, options)
    return _audited(vault, environment)


def _audited(vault: Vault, environment: Mapping[str, str]) -> Vault:
    """What is done with the vault from here on is recorded in its audit log, if it has one."""
    from holdfast.control.audited_vault import audited

    return audited(vault, environment=environment)
