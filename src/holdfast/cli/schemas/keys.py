"""Outputs of `holdfast key`. No secret is in any of them."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record

__all__ = ["KeyFacts", "KeyList", "KeyExported", "KeyRevoked", "KeyRotated"]


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A key file. `error` says why it cannot be used; role, label and vault are then null."""

    file: str
    vault: str | None
    role: str | None
    label: str | None
    error: str | None = None


class KeyList(Record, frozen=True, kw_only=True, tag="holdfast/key-list/1"):
    """`key list`: the key files that commands on this machine look at.

    `folder` is null when HOLDFAST_KEY_FILE names one file. `passphrase`: HOLDFAST_PASSPHRASE is set.
    """

    folder: str | None
    keys: list[KeyFacts]
    passphrase: bool


class KeyExported(Record, frozen=True, kw_only=True, tag="holdfast/key-export/1"):
    """`key export-writer` and `key export-reader`: a new member of the vault, whose key lies in `file`."""

    vault: str
    role: str
    label: str
    file: str


class KeyRevoked(Record, frozen=True, kw_only=True, tag="holdfast/key-revoke/1"):
    """`key revoke`: what that writer signs from now on does not count."""

    vault: str
    label: str


class KeyRotated(Record, frozen=True, kw_only=True, tag="holdfast/key-rotate/1"):
    """`key rotate`: `epoch` is the number of the key pair that is used from now on, `members` who open it."""

    vault: str
    epoch: int
    members: list[str]
