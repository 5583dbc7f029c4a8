"""The vault that a writer or reader works on: handed over open, or opened by URL in each process that uses it."""

from __future__ import annotations

import os
from typing import Any

from holdfast.errors import UsageError
from holdfast.events import SILENT, Progress
from holdfast.vault.handle import Handle
from holdfast.vault.vault import Vault

__all__ = ["VaultPlace"]


class VaultPlace:
    """Opens the vault once, when it is first needed. Sent to another process as its URL: keys never travel."""

    def __init__(self, vault: Vault | str | os.PathLike[str], progress: Progress = SILENT) -> None:
        self._vault = vault if isinstance(vault, Vault) else None
        self._url = None if isinstance(vault, Vault) else os.fspath(vault)
        self._progress = progress

    @property
    def vault(self) -> Vault:
        """Raises what `holdfast.open` raises."""
        if self._vault is None:
            from holdfast.control.api import open as open_vault

            assert self._url is not None
            self._vault = open_vault(self._url, progress=self._progress)
        return self._vault

    @property
    def handle(self) -> Handle:
        return self.vault.handle

    def __getstate__(self) -> dict[str, Any]:
        if self._url is None:
            raise UsageError(
                "an open vault cannot be sent to another process, as its keys would travel with it",
                hint="give the writer the vault's URL",
            )
        return {"_vault": None, "_url": self._url, "_progress": SILENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
