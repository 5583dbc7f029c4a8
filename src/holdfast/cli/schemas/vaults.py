"""Outputs of `holdfast vault`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, SnapshotRef, Time

__all__ = ["VaultCreated", "Member", "AssetFacts", "VaultInfo", "DamageFacts", "VaultChecked"]


class VaultCreated(Record, frozen=True, kw_only=True, tag="holdfast/vault-create/1"):
    """`vault create`: a new vault. `recipients` are who can read it: labels of key files, `passphrase`."""

    vault: str
    url: str
    encrypted: bool
    suite: int
    key_file: str
    recipients: list[str]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose signature counts (`keeper`, `writer`) or who can open the vault (`reader`, `passphrase`)."""

    role: str
    label: str
    added: Time | None = None
    revoked: Time | None = None


class AssetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An asset: its snapshots, and the times of the content of the newest and of the newest validated one."""

    name: str
    snapshots: Count
    latest: SnapshotRef | None
    latest_content: Time | None
    validated: SnapshotRef | None
    validated_content: Time | None


class VaultInfo(Record, frozen=True, kw_only=True, tag="holdfast/vault-info/1"):
    """`vault info`. `role` and `label` are of the key at hand; `assets` is null for a writer's key: it cannot read."""

    vault: str
    url: str
    format: Count
    encrypted: bool
    suite: int
    generation: Count
    role: str
    label: str
    members: list[Member]
    snapshots: Count
    packs: Count
    stored_bytes: Bytes
    assets: list[AssetFacts] | None


class DamageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, and the snapshots that cannot be restored because of it."""

    object: str
    message: str
    snapshots: list[SnapshotRef]


class VaultChecked(Record, frozen=True, kw_only=True, tag="holdfast/vault-check/1"):
    """`vault check`. `sound`: no damage was found as far as was looked; `data_read`: whether packs were read at all.

    Proofs are those of this machine, this check included: `oldest_proof_seconds` is null while some of the packs
    (`packs_never_proven`) never were; `recently_proven_share` (0 to 1) were within the last 30 days.
    """

    vault: str
    url: str
    sound: bool
    data_read: bool
    objects: Count
    snapshots: Count
    packs: Count
    packs_read: Count
    bytes_read: Bytes
    oldest_proof_seconds: Seconds | None
    packs_never_proven: Count
    recently_proven_share: float
    damages: list[DamageFacts]
    notes: list[str]
