"""The two doors of the Python API: `holdfast.open` and `holdfast.create`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from holdfast.control.vaults.opening import create as _create
from holdfast.control.vaults.opening import open_at
from holdfast.events import SILENT, Progress
from holdfast.vault.vault import Vault

__all__ = ["open", "create"]


def open(
    url: str | os.PathLike[str], *, store_options: Mapping[str, str] | None = None, progress: Progress = SILENT
) -> Vault:
    """Open the vault at a path or URL with the key that this machine has for it.

    `store_options` are the store's own (`endpoint`, `region`, …). The key comes from HOLDFAST_KEY_FILE, the key folder,
    or HOLDFAST_PASSPHRASE. Raises NotFoundError, CredentialError, UntrustedError, StoreUnreachableError.
    """
    return open_at(os.fspath(url), options=store_options, progress=progress)


def create(
    url: str | os.PathLike[str],
    *,
    store_options: Mapping[str, str] | None = None,
    encryption: bool = True,
    progress: Progress = SILENT,
) -> Vault:
    """Make a new vault and open it. The keeper's key file goes to HOLDFAST_KEY_FILE or the key folder: keep it safe.

    Raises RefusedError when there is a vault already.
    """
    return _create(os.fspath(url), options=store_options, encryption=encryption, progress=progress).vault
