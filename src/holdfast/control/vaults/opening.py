"""From a URL to an opened vault: store, key and vault wired together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.vaults.known_vaults import KnownVaults
from holdfast.errors import CredentialError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.stores.retention.opening import with_locks_if_any
from holdfast.stores.urls import FOLDER, MEMORY, parse_store_url
from holdfast.trust.credentials import Credential
from holdfast.trust.keyring import (
    KEY_FILE_VARIABLE,
    SHARES_VARIABLE,
    find_credential,
    has_key_file,
    keeper_from_environment,
    key_services_from_environment,
    passphrase_from_environment,
    store_credential,
)
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault, trusted_config
from holdfast.vault.access.generations import Generations, read_generations
from holdfast.vault.vault import Vault, open_vault

__all__ = ["CreatedVault", "create", "create_on", "open_at", "open_on", "store_at"]

_STRIPES = "stripes:"

Options = Mapping[str, str] | None


class CreatedVault(NamedTuple):
    """A new vault, opened, and where its keeper's key file lies."""

    vault: Vault
    key_file: Path


def store_at(url: str, *, options: Options = None, clock: Clock = SYSTEM_CLOCK, progress: Progress = SILENT) -> Store:
    """The store at a URL, with its locks where it has any; nothing is read yet. Raises UsageError.

    `stripes:URL,URL,URL` is the set of stripes on these sites, in the order in which it was created; the options go to
    those that are no folders.
    """
    if not url.startswith(_STRIPES):
        return open_store(url, options=options, clock=clock, note=progress.note)
    from holdfast.replication.striping.store import StripedStore

    parts = url.removeprefix(_STRIPES).split(",")
    if len(parts) < 3 or not all(part.strip() for part in parts):
        raise UsageError(
            "stripes lie over three sites or more: name them all, with commas between",
            hint="for example stripes:/mnt/a/vault,s3://b/vault,gs://c/vault, in the order of the set",
        )
    if len(set(parts)) < len(parts):
        raise UsageError("the same store is named twice among the sites of the stripes")
    given = [options if _takes_options(part) else None for part in parts]
    if options and not any(given):
        raise UsageError(f"a folder has no option {min(options)!r}", hint="remove the options")
    opened = [
        open_store(part, options=one, clock=clock, note=progress.note) for part, one in zip(parts, given, strict=True)
    ]
    return StripedStore(opened, clock=clock, progress=progress)


def _takes_options(url: str) -> bool:
    return parse_store_url(url).kind not in (FOLDER, MEMORY)


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
    store = with_locks_if_any(store_at(url, options=options, clock=clock, progress=progress), options)
    return create_on(
        store,
        options=options,
        encryption=encryption,
        suite=suite,
        label=label,
        environment=environment,
        clock=clock,
        progress=progress,
    )


def create_on(
    store: Store,
    *,
    options: Options = None,
    encryption: bool = True,
    suite: Suite = Suite.HYBRID_1,
    label: str = "keeper",
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> CreatedVault:
    """The same in a store that is open already; `options` are those that it was opened with."""
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
    this machine saw there before, see `control.vaults.known_vaults`), and what opening raises.
    """
    store = with_locks_if_any(store_at(url, options=options, clock=clock, progress=progress), options)
    return open_on(store, options=options, environment=environment, clock=clock, progress=progress)


def open_on(
    store: Store,
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
    generations: Generations | None = None,
) -> Vault:
    """The same for a store that is open already; `options` are those that it was opened with. `generations`: its
    configuration, where that was read just now.
    """
    generations = generations if generations is not None else read_generations(store)
    known = KnownVaults(environment, progress)
    known.check(store, options, generations.vault_id, generations.suite)
    credential, other = _key_for(store, generations, environment, progress)
    vault = open_vault(store, credential, passphrase=other, clock=clock, progress=progress, generations=generations)
    if isinstance(other, str):
        _require_keeper_named(vault, generations, environment)
    known.remember(vault, options)
    return _audited(vault, environment)


def _key_for(
    store: Store, generations: Generations, environment: Mapping[str, str], progress: Progress
) -> tuple[Credential | None, str | KeyServices | None]:
    """The key file's credential; else what opens without one: a passphrase, key services, nothing for public data."""
    vault_id, suite = generations.vault_id, generations.suite
    try:
        return find_credential(vault_id, environ=environment), None
    except CredentialError as error:
        # What was named, and a folder without a key for an encrypted vault, are errors of the user's.
        passphrase = passphrase_from_environment(environment) if suite is not Suite.PLAIN else None
        named = environment.get(KEY_FILE_VARIABLE) or environment.get(SHARES_VARIABLE)
        unusable = has_key_file(vault_id, environment)
        if not named and unusable and passphrase is not None:
            progress.note(f"opened by the passphrase: {error.message}")
        if named or (unusable and passphrase is None):
            raise  # also for public data: with the key, signatures would be checked
        if passphrase is not None:
            return None, passphrase
        if suite is not Suite.PLAIN and not generations.wants_key_service:
            raise
    if suite is not Suite.PLAIN:
        return None, key_services_from_environment(environment)
    keeper = keeper_from_environment(environment)
    if keeper is not None:
        return None, KeyServices([keeper])  # none is asked: it only says whose signature counts
    progress.note(f"{store.url} was opened without a key: nobody's signature was checked")
    return None, None


def _require_keeper_named(vault: Vault, generations: Generations, environment: Mapping[str, str]) -> None:
    """A passphrase vouches for a keeper before who does not know it; HOLDFAST_KEEPER, before those who do, too.

    Raises UntrustedError when the configuration is not that keeper's.
    """
    keeper = keeper_from_environment(environment)
    if keeper is None:
        return
    trusted_config(generations, [keeper], expected_vault=vault.id)


def _audited(vault: Vault, environment: Mapping[str, str]) -> Vault:
    """What is done with the vault from here on is recorded in its audit log, if it has one."""
    from holdfast.control.audit.audited_vault import audited

    return audited(vault, environment=environment)
