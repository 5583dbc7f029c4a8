"""The replicas of a watched vault, and which of them are behind.

What is to be copied is never written down: a replica is compared with the vault when a watch begins, after every
snapshot, and after a failure again and again until nothing is missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from holdfast.control.vaults.replicating import Source, copy_vault
from holdfast.errors import HoldfastError
from holdfast.replication.copying.snapshots import Replicated
from holdfast.stores.protocol import Store
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.vault import Vault

__all__ = ["Replicas", "Copied"]

_RETRY_FIRST_SECONDS = 5.0
_RETRY_MAX_SECONDS = 300.0


class Copied(NamedTuple):
    """By the URL of a replica: what was copied there, or why it could not be."""

    copies: dict[str, Replicated]
    failed: dict[str, HoldfastError]


class _Behind(NamedTuple):
    attempts: int
    retry_at: float  # monotonic
    reason: str  # empty: not looked at yet


class Replicas:
    """Copies a vault (one asset of it, where the key reads; else all) to its replicas. Not for several threads."""

    def __init__(
        self, vault: Vault, asset: str, stores: Sequence[Store], warn: Callable[[str], None] = lambda message: None
    ) -> None:
        """`warn` is told of failures between snapshots, one sentence each. All replicas count as behind at first."""
        self._vault = vault
        self._asset = asset
        self._stores = list(stores)
        self._warn = warn
        self._looked_at: set[str] = set()
        self._behind = {store.url: _Behind(0, 0.0, "") for store in stores}

    @property
    def behind(self) -> dict[str, str]:
        """URL → why the replica lacks something, as of the last attempt."""
        return {url: behind.reason for url, behind in self._behind.items() if behind.reason}

    def copy(self) -> Copied:
        """Bring all replicas up to date now. What fails is in the result, and is tried again by `catch_up`."""
        copied = Copied({}, {})
        for store in self._stores:
            try:
                copied.copies[store.url] = self._copy_to(store)
            except HoldfastError as error:
                copied.failed[store.url] = error
        return copied

    def catch_up(self, *, at_once: bool = False) -> None:
        """Try those that are behind and whose time has come, or all that are behind."""
        if not self._stores or not self._has_snapshots():
            return
        for store in self._stores:
            behind = self._behind.get(store.url)
            if behind is None or not (at_once or self._vault.handle.clock.monotonic() >= behind.retry_at):
                continue
            with suppress(HoldfastError):  # `behind` keeps what was wrong
                self._copy_to(store)
            now = self.behind.get(store.url, "")
            if now and now != behind.reason:
                self._warn(f"{store.url} is behind, and will be tried again: {now}")

    def _has_snapshots(self) -> bool:
        handle = self._vault.handle
        try:
            listed = handle.store.list(f"{SNAPSHOTS}{handle.keys.names.asset_key(self._asset)}/")
            return next(iter(listed), None) is not None
        except HoldfastError as error:
            self._warn(f"replicas cannot be compared with the vault: {error.message}")
            return False

    def _copy_to(self, store: Store) -> Replicated:
        vault, url = self._vault, store.url
        reads = vault.handle.keys.can_read
        source = Source(vault.handle.store, vault if reads else None)
        asset = self._asset if reads else None
        recheck = url not in self._looked_at
        try:
            copy = copy_vault(source, store, asset=asset, recheck=recheck, progress=vault.handle.progress)
        except HoldfastError as error:
            self._note(url, error.message)
            raise
        self._looked_at.add(url)
        self._note(url, f"{len(copy.left_out)} snapshots left out because of damage" if copy.left_out else "")
        return copy

    def _note(self, url: str, reason: str) -> None:
        behind = self._behind.pop(url, _Behind(0, 0.0, ""))
        if reason:
            delay = min(_RETRY_MAX_SECONDS, _RETRY_FIRST_SECONDS * 2 ** min(behind.attempts, 16))
            self._behind[url] = _Behind(behind.attempts + 1, self._vault.handle.clock.monotonic() + delay, reason)
