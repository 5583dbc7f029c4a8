"""Facts about vaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cli.facts.lists import asset_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.common import Damaged
from holdfast.cli.schemas.vaults import DamageFacts, Member, VaultChecked, VaultCreated, VaultInfo
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.trust.suites import Suite
from holdfast.vault.format.header import FORMAT_VERSION
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import PACKS, SNAPSHOTS

if TYPE_CHECKING:
    from holdfast.control.vaults.opening import CreatedVault
    from holdfast.vault.checking.whole_vault import CheckReport
    from holdfast.vault.vault import Vault

__all__ = ["created_facts", "info_facts", "checked_facts"]


def created_facts(created: CreatedVault) -> VaultCreated:
    """A vault that was just made."""
    keys = created.vault.handle.keys
    return VaultCreated(
        vault=created.vault.id,
        url=created.vault.url,
        encrypted=keys.suite is not Suite.PLAIN,
        suite=int(keys.suite),
        key_file=clean(str(created.key_file)),
        recipients=[member.label for member in _recipients(keys)],
    )


def info_facts(vault: Vault) -> tuple[VaultInfo, list[Damaged]]:
    """What a vault holds and who may do what in it, and what of that could not be read."""
    keys, store = vault.handle.keys, vault.handle.store
    assets, damaged = asset_facts(vault) if keys.can_read else (None, [])
    packs = [info.size for info in store.list(PACKS)]
    info = VaultInfo(
        vault=vault.id,
        url=vault.url,
        format=FORMAT_VERSION,
        encrypted=keys.suite is not Suite.PLAIN,
        suite=int(keys.suite),
        generation=keys.config.generation,
        role=keys.role,
        label=keys.label,
        members=[*_signers(keys), *_recipients(keys)],
        snapshots=sum(1 for _ in store.list(SNAPSHOTS)),
        packs=len(packs),
        stored_bytes=sum(packs),
        assets=assets,
    )
    return info, damaged


def checked_facts(vault: Vault, report: CheckReport, *, data_read: bool) -> VaultChecked:
    """What checking found."""
    return VaultChecked(
        vault=vault.id,
        url=vault.url,
        sound=not report.damages,
        data_read=data_read,
        objects=report.objects,
        snapshots=report.snapshots,
        packs=report.packs,
        packs_read=report.packs_read,
        bytes_read=report.bytes_read,
        oldest_proof_seconds=None if report.proof.oldest_ns is None else report.proof.oldest_ns / NANOSECONDS,
        packs_never_proven=report.proof.never,
        recently_proven_share=report.proof.recent_share,
        damages=[
            DamageFacts(object=clean(damage.object), message=clean(damage.message), snapshots=damage.snapshots)
            for damage in report.damages
        ],
        notes=[clean(note) for note in report.notes],
    )


def _signers(keys: VaultKeys) -> list[Member]:
    return [
        Member(
            role=signer.role,
            label=signer.label,
            added=to_rfc3339(signer.added),
            revoked=to_rfc3339(signer.revoked) if signer.revoked is not None else None,
        )
        for signer in keys.config.signers
    ]


def _recipients(keys: VaultKeys) -> list[Member]:
    """Who can open the epoch in use."""
    if not keys.config.epochs:
        return []
    return [
        Member(role="passphrase" if one.kind == "passphrase" else "reader", label=one.label)
        for one in keys.config.epochs[-1].recipients
    ]
