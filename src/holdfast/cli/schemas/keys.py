"""Outputs of `holdfast key`. No secret is in any of them."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record

__all__ = [
    "KeyFacts",
    "KeyList",
    "KeyCreated",
    "KeyShown",
    "KeyExported",
    "KeyRevoked",
    "KeyResealed",
    "ResealFacts",
    "KeyRotated",
    "RecipientAdded",
    "RecipientRemoved",
    "KeySplit",
    "KeyCombined",
]


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
    """`key export-keeper`, `export-writer` and `export-reader`: a new member of the vault, whose key lies in `file`."""

    vault: str
    role: str
    label: str
    file: str


class KeyRevoked(Record, frozen=True, kw_only=True, tag="holdfast/key-revoke/1"):
    """`key revoke`: what that member signs from now on does not count."""

    vault: str
    label: str


class ResealFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What sealing anew did, or (`dry_run`) would do. Bytes are stored bytes.

    `packs`, `bytes`: in earlier epochs, and needed. `written`: of new packs. `condemned`: old packs that
    `vault collect` deletes when nobody relies on them. `young`: packs that wait for another run, as they are younger
    than a day. `left`: keys of packs that could not be read. `documents`: snapshots' roots and manifests, pointers;
    they stay as they are.
    """

    epoch: int
    dry_run: bool
    packs: int
    bytes: int
    written: int
    condemned: int
    condemned_bytes: int
    young: int
    young_bytes: int
    left: list[str]
    documents: int
    document_bytes: int


class KeyRotated(Record, frozen=True, kw_only=True, tag="holdfast/key-rotate/1"):
    """`key rotate`: `epoch` is the number of the key pair that is used from now on, `members` who open it. In a dry run
    of `--reseal` it is the epoch before. `resealed`: with `--reseal`.
    """

    vault: str
    epoch: int
    members: list[str]
    resealed: ResealFacts | None = None


class KeyResealed(Record, frozen=True, kw_only=True, tag="holdfast/key-reseal/1"):
    """`key reseal`: the packs of earlier epochs, sealed anew."""

    vault: str
    resealed: ResealFacts


class KeyCreated(Record, frozen=True, kw_only=True, tag="holdfast/key-create/1"):
    """`key create`: `file` holds the secret half and stays here; `public_file` goes to the keeper, who compares `id`.

    `keepers`: fingerprints whose signature this key will believe. `confirmed`: they were told, not read from the store.
    """

    vault: str
    label: str
    id: str
    file: str
    public_file: str
    keepers: list[str]
    confirmed: bool


class KeyShown(Record, frozen=True, kw_only=True, tag="holdfast/key-show/1"):
    """`key show`: what a key file is. `opener`: id of the recipient that it opens as; `signer`: fingerprint of what it
    signs; null where it does not. `suites`: numbers of the suites of its keys. `keepers`: whose signature it believes.
    """

    file: str
    vault: str
    role: str
    label: str
    opener: str | None
    signer: str | None
    suites: list[int]
    keepers: list[str]


class RecipientAdded(Record, frozen=True, kw_only=True, tag="holdfast/key-add-recipient/1"):
    """`key add-recipient`: `kind` is keyfile, passphrase or kms; `epochs` are those that it opens."""

    vault: str
    label: str
    kind: str
    id: str
    epochs: list[int]


class RecipientRemoved(Record, frozen=True, kw_only=True, tag="holdfast/key-remove-recipient/1"):
    """`key remove-recipient`: `epochs`: what it opened, and can go on opening; `remaining` open the last one."""

    vault: str
    label: str
    kind: str
    epochs: list[int]
    remaining: list[str]


class KeySplit(Record, frozen=True, kw_only=True, tag="holdfast/key-split/1"):
    """`key split`: a recipient whose key exists in these files only; any `threshold` of them open."""

    vault: str
    label: str
    id: str
    threshold: int
    files: list[str]


class KeyCombined(Record, frozen=True, kw_only=True, tag="holdfast/key-combine/1"):
    """`key combine`: a reader's key file, made of shares."""

    vault: str
    label: str
    id: str
    file: str
    shares: list[int]
