"""Recipients' keys on this machine: made here, split into files, put together from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.control.keys.key_files import list_key_files
from holdfast.errors import CredentialError, HoldfastError, RefusedError, StoreUnreachableError, UsageError
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential, is_label, load_credential
from holdfast.trust.keyfile import create_private_file
from holdfast.trust.keyring import store_credential
from holdfast.trust.recipient_file import encode_recipient_file, write_recipient_file
from holdfast.trust.sealing import SealingKey
from holdfast.trust.shares import Share, combine_shares, encode_share, read_share
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import read_keepers, read_suite, read_vault_id
from holdfast.vault.access.recipients import Added, add_shares
from holdfast.vault.vault import Vault

__all__ = ["CreatedKey", "CombinedKey", "SplitKey", "create_key", "split_key", "combine_key", "show_key"]


class CreatedKey(NamedTuple):
    """`confirmed`: somebody told the keeper's fingerprint; else it was taken from the store, at its word."""

    credential: Credential
    file: Path
    public_file: Path
    confirmed: bool


class SplitKey(NamedTuple):
    added: Added
    threshold: int
    files: list[Path]


class CombinedKey(NamedTuple):
    credential: Credential
    file: Path
    shares: list[int]


def create_key(
    store: Store,
    label: str,
    *,
    to: Path | None,
    public_file: Path,
    keeper: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> CreatedKey:
    """A reader's key for the vault on this store, and the recipient file by which a keeper lets it in. Nothing is
    written to the store, and it opens nothing until then.

    `keeper`: the fingerprint that is to be believed. Raises UsageError (the vault is not encrypted; a bad label),
    CredentialError (that keeper is not the vault's), RefusedError (a file is there), and what the store raises.
    """
    if not label or not is_label(label):
        raise UsageError("a label has up to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit")
    vault, suite, claimed = read_vault_id(store), read_suite(store), read_keepers(store)
    if suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: everybody who reaches it can read it")
    if keeper is not None and keeper not in claimed:
        raise CredentialError(
            f"{keeper} is no keeper of the vault at {store.url}",
            hint="compare it with what `holdfast key show` says on the keeper's machine",
        )
    opener = SealingKey.generate(suite)
    keepers = (keeper,) if keeper is not None else claimed
    credential = Credential(role="reader", vault_id=vault, label=label, opener=opener, keepers=keepers)
    # The secret half last: where it lies without the other, it is in the way of what else opens the vault here.
    write_recipient_file(public_file, encode_recipient_file(vault, label, opener.public))
    try:
        file = store_credential(credential, to, environ=environment)
    except BaseException:
        public_file.unlink(missing_ok=True)  # nobody has the key to it
        raise
    return CreatedKey(credential, file, public_file, keeper is not None)


def split_key(vault: Vault, label: str, folder: Path, *, shares: int, threshold: int) -> SplitKey:
    """Let in a key that exists in share files only, `<label>-<number>.share` in a folder, each of mode 600.

    Raises what `add_shares` raises, RefusedError when a file is there. When it fails, no file is left, as
    they would open nothing.
    """
    files: list[Path] = []

    def keep(made: Sequence[Share]) -> None:
        for share in made:
            _require_absent(folder / _name(share))
        for share in made:
            create_private_file(folder / _name(share), encode_share(share))
            files.append(folder / _name(share))

    try:
        added = add_shares(vault.handle, label, shares=shares, threshold=threshold, keep=keep)
    except StoreUnreachableError:
        raise  # the configuration may have been written all the same: then these are a recipient's
    except HoldfastError:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    return SplitKey(added, threshold, files)


def _name(share: Share) -> str:
    return f"{share.label}-{share.number}.share"


def combine_key(files: Sequence[Path], to: Path | None, *, environment: Mapping[str, str] = os.environ) -> CombinedKey:
    """A reader's key file made of share files. Raises what reading and combining raise, RefusedError (it is there)."""
    shares = [read_share(file) for file in files]
    credential = combine_shares(shares)
    return CombinedKey(
        credential,
        store_credential(credential, to, environ=environment),
        sorted({share.number for share in shares}),
    )


def show_key(file: Path | None, environment: Mapping[str, str] = os.environ) -> tuple[Credential, Path]:
    """The key file that is named, or HOLDFAST_KEY_FILE's, or the only one of the key folder.

    Raises CredentialError and others for one that cannot be used, UsageError when it is not clear which is meant.
    """
    if file is not None:
        return load_credential(file), file
    found = list_key_files(environment)
    if len(found) != 1:
        raise UsageError(f"there are {len(found)} key files", hint="name one of those that `holdfast key list` lists")
    if found[0].credential is None:
        raise found[0].error or CredentialError(f"{found[0].path} cannot be read")
    return found[0].credential, found[0].path


def _require_absent(file: Path) -> None:
    if os.path.lexists(file):
        raise RefusedError(f"{file} exists, and is not overwritten", hint="name another", object_name=str(file))
