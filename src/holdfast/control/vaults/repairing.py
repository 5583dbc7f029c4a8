"""Replicas of a vault wired to those who need them: repair, restores that fall back, the rota of proofs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.control.authority.guarding import guard
from holdfast.control.vaults.known_vaults import known_vaults_file
from holdfast.control.vaults.opening import open_at, store_at
from holdfast.errors import CredentialError, DamageError, HoldfastError, NotFoundError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import store_identity
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.configuring import repair_config
from holdfast.vault.restoring.fallback import Replica
from holdfast.vault.vault import Vault

__all__ = ["replicas_at", "known_replicas", "open_for_repair", "opened_replicas"]

Options = Mapping[str, str] | None


class _Seen(msgspec.Struct, frozen=True):
    vault: str


def replicas_at(
    urls: Sequence[str],
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    progress: Progress = SILENT,
) -> list[Replica]:
    """Replicas at these places, each opened when it is first needed. `options` are those of their stores."""

    def replica(url: str) -> Replica:
        def opened() -> Handle:
            return open_at(url, options=options, environment=environment, progress=progress).handle

        return Replica(url, opened, options or {})

    return [replica(url) for url in urls]


def known_replicas(
    vault: Vault, *, environment: Mapping[str, str] = os.environ, progress: Progress = SILENT
) -> list[Replica]:
    """The other places at which this machine has opened the same vault. A memory that cannot be read names none."""
    try:
        known = msgspec.json.decode(known_vaults_file(environment).read_bytes(), type=dict[str, _Seen])
    except (OSError, HoldfastError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    found: list[Replica] = []
    for place, seen in sorted(known.items()):
        url, _, endpoint = place.partition(" at ")  # as `known_vaults` writes it
        if seen.vault == vault.id and url != vault.url:
            options = {"endpoint": endpoint} if endpoint else None
            found += replicas_at([url], options=options, environment=environment, progress=progress)
    return found


def open_for_repair(
    url: str,
    replicas: Sequence[Replica],
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    progress: Progress = SILENT,
    dry_run: bool = False,
) -> Vault:
    """Open a vault that may not open by itself: a configuration that is damaged or gone comes from a replica first.

    Raises what opening raises when no replica helps, or when nothing may be written.
    """
    try:
        return open_at(url, options=options, environment=environment, progress=progress)
    except (DamageError, NotFoundError, CredentialError) as error:  # the last: it is another's, or one that went back
        if not replicas:
            raise
        store = store_at(url, options=options, progress=progress)
        for replica in replicas:
            try:
                helper = replica.open()
            except HoldfastError as trouble:
                progress.note(f"{replica.url} cannot help: {trouble.message}")
                continue
            # Before the first byte is written: the vault itself does not open, but a copy of it says who is a member.
            guard(Vault(helper), "vault.check" if dry_run else "repair", logs=(), environment=environment)
            fixed = repair_config(store, helper, dry_run=dry_run)
            for fix in fixed:
                progress.note(f"{fix.key} {'would be' if dry_run else 'was'} {fix.how} ({fix.why})")
            if fixed and not dry_run:
                return open_at(url, options=options, environment=environment, progress=progress)
        raise error


def opened_replicas(vault: Vault, replicas: Sequence[Replica], progress: Progress) -> list[Handle]:
    """Those that can be opened and are copies of the vault, each place once; the others are noted."""
    opened: dict[str, Handle] = {}
    for replica in replicas:
        try:
            handle = replica.open()
        except HoldfastError as error:
            progress.note(f"{replica.url} cannot be opened: {error.message}")
            continue
        if handle.keys.vault != vault.handle.keys.vault:
            progress.note(f"{replica.url} does not count as a copy: it holds another vault")
        elif store_identity(handle.store) == store_identity(vault.handle.store):
            progress.note(f"{replica.url} does not count as a copy: it is this vault's own place")
        else:
            opened.setdefault(store_identity(handle.store), handle)
    return list(opened.values())
