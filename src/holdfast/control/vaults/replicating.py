"""Copying a vault to another store, in the way that the key at hand allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.audit.copying import copy_log
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.vaults.opening import open_on, store_at
from holdfast.errors import CredentialError, HoldfastError, NotFoundError
from holdfast.events import SILENT, Progress
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.planning import ReplicationPlan, plan_mirror, plan_replication
from holdfast.replication.copying.snapshots import Replicated, mirror, replicate
from holdfast.stores.protocol import Store
from holdfast.stores.throttled import ThrottledStore
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder, passphrase_from_environment
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import read_suite, read_vault_id
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.vault import Vault

__all__ = ["Source", "open_source", "open_target", "copy_vault", "plan_copy"]


class Source(NamedTuple):
    """A vault to be copied from. Without a key that reads, `vault` is None, and it can only be mirrored."""

    store: Store
    vault: Vault | None


def open_source(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
    progress: Progress = SILENT,
) -> Source:
    """Open the vault at a URL for copying. A machine without any key for it may still mirror it.

    A key that is there and does not open the vault is an error: a mirror would hide it. Raises what `open_at` raises.
    """
    store = store_at(url, options=options, progress=progress)
    if not _may_open(store, environment):
        return Source(store, None)
    vault = open_on(store, environment=environment, progress=progress)
    return Source(store, vault if vault.handle.keys.can_read else None)


def open_target(
    url: str,
    *,
    options: Mapping[str, str] | None = None,
    bytes_per_second: float | None = None,
    progress: Progress = SILENT,
) -> Store:
    """The store that a copy goes to, limited to so much of the line. Raises UsageError."""
    store = store_at(url, options=options, progress=progress)
    return store if bytes_per_second is None else ThrottledStore(store, bytes_per_second)


def copy_vault(
    source: Source,
    target: Store,
    *,
    asset: str | None = None,
    recheck: bool = True,
    verify: bool = False,
    carrier: Carrier | None = None,
    progress: Progress = SILENT,
) -> Replicated:
    """Copy snapshot by snapshot, or mirror all objects. `recheck`, `verify`, `carrier`: as for `replicate`.

    Raises CredentialError when an asset is to be chosen, or the copy to be read back, without a key that reads,
    NotFoundError when the asset has no snapshots, and what replicating raises.
    """
    vault = _chosen(source, asset)
    if vault is not None:
        with recorded_on(vault, "replicate", names={"site": target.url, **({"asset": asset} if asset else {})}):
            done = replicate(
                vault.handle, target, asset=asset, recheck=recheck, verify=verify, carrier=carrier, progress=progress
            )
        return _with_log(done, source.store, target, progress)
    if verify:
        raise CredentialError(
            "reading a copy back needs a reader's or keeper's key",
            hint="set HOLDFAST_KEY_FILE or HOLDFAST_PASSPHRASE, or replicate without reading back",
        )
    return _with_log(mirror(source.store, target, carrier=carrier, progress=progress), source.store, target, progress)


def _with_log(done: Replicated, source: Store, target: Store, progress: Progress) -> Replicated:
    """The audit log goes along: a site that survives has it, too. A log that cannot be copied is noted, loudly."""
    try:
        log = copy_log(source, target, progress=progress)
    except HoldfastError as error:
        progress.note(f"the audit log was NOT copied: {error.message}")
        return done._replace(notes=[*done.notes, f"the audit log was not copied: {error.message}"])
    return done._replace(objects=done.objects + log.objects, bytes=done.bytes + log.bytes)


def plan_copy(source: Source, target: Store, *, asset: str | None = None) -> ReplicationPlan:
    """What `copy_vault` would copy. Writes nothing; raises what `copy_vault` raises before it writes."""
    vault = _chosen(source, asset)
    return plan_mirror(source.store, target) if vault is None else plan_replication(vault.handle, target, asset=asset)


def _chosen(source: Source, asset: str | None) -> Vault | None:
    """The vault if it is to be copied by snapshots, else None."""
    if asset is None or source.vault is None:
        if asset is not None:
            raise CredentialError(
                "choosing an asset to replicate needs a reader's or keeper's key",
                hint="set HOLDFAST_KEY_FILE or HOLDFAST_PASSPHRASE, or replicate all of the vault",
            )
        return source.vault
    prefix = f"{SNAPSHOTS}{source.vault.handle.keys.names.asset_key(asset)}/"
    if next(iter(source.store.list(prefix)), None) is None:
        raise NotFoundError(
            f"asset {asset!r} has no snapshot in {source.store.url}", hint="`holdfast vault info` lists the assets"
        )
    return source.vault


def _may_open(store: Store, environment: Mapping[str, str]) -> bool:
    """Whether anything is there that could open the vault."""
    vault_id = read_vault_id(store)
    if environment.get(KEY_FILE_VARIABLE) or passphrase_from_environment(environment) is not None:
        return True
    if read_suite(store) is Suite.PLAIN:
        return True
    try:
        folder = key_folder(environment)
    except CredentialError:
        return False
    return any(folder.glob(f"{vault_id}.*.key"))
