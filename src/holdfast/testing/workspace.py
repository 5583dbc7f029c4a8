"""Vaults to try things out on: a store, the keeper's key, and a memory of this machine apart from the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.vault import Vault, open_vault

__all__ = ["TrialVault", "new_trial_vault", "own_memory", "NoteTaker"]


@dataclass(frozen=True)
class TrialVault:
    """A vault on a store, with its keeper's credential. Opening it anew forgets everything that was cached."""

    store: Store
    keeper: Credential
    clock: Clock = SYSTEM_CLOCK
    pack_bytes: int | None = None  # small packs make a small vault have many

    def open(
        self, credential: Credential | None = None, *, store: Store | None = None, progress: Progress = SILENT
    ) -> Vault:
        """Open it, as the keeper unless told otherwise; `store` may be a wrapper, or a replica."""
        vault = open_vault(store or self.store, credential or self.keeper, clock=self.clock, progress=progress)
        if self.pack_bytes is not None:
            vault.handle.pack_bytes = self.pack_bytes
        return vault


def new_trial_vault(
    store: Store,
    *,
    encrypted: bool = True,
    passphrase: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
    pack_bytes: int | None = None,
) -> TrialVault:
    """Create a vault on an empty store. The keeper's key stays in this process. Raises RefusedError."""
    suite = Suite.HYBRID_1 if encrypted else Suite.PLAIN
    created = create_vault(
        store, suite=suite, label="keeper", passphrase=passphrase, clock=clock, keep=lambda credential: None
    )
    return TrialVault(store, created.keeper, clock, pack_bytes)


@contextmanager
def own_memory(folder: Path) -> Iterator[Path]:
    """While it lasts, this process remembers its saves, and what it read of vaults, below `folder`.

    It changes the environment of the process.
    """
    own = {"XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class NoteTaker:
    """A `Progress` that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str, total_bytes: int | None) -> None:
        return

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        return

    def note(self, message: str) -> None:
        self.notes.append(message)
