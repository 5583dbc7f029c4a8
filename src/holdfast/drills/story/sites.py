"""The three sites: folders that stand for places which fail independently."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import CredentialError, RefusedError
from holdfast.stores.local import LocalStore
from holdfast.trust.credentials import Credential, write_credential
from holdfast.trust.signing import SigningKey
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import create_vault
from holdfast.vault.vault import Vault, open_vault

__all__ = ["Stage", "DemoSite", "ASSET", "signing_key"]

ASSET = "demo-lm"
_MARK = ".holdfast-demo"


class DemoSite:
    """One site: a vault, and a folder where training happens."""

    def __init__(self, name: str, role: str, folder: Path) -> None:
        self.name = name
        self.role = role
        self.folder = folder
        self.work = folder / "checkpoints"
        self.vault_folder = folder / "vault"
        self.store = LocalStore(self.vault_folder)

    def stored_bytes(self) -> int:
        """All bytes of the vault here."""
        return sum(info.size for info in self.store.list(""))


class Stage:
    """Everything that the demo makes, below one folder: sites, keys, the undisturbed run, evidence."""

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        """Raises RefusedError when the folder holds something that is not an earlier demo's."""
        self.folder = folder.absolute()
        if self.folder.exists() and any(self.folder.iterdir()):
            if not overwrite or not (self.folder / _MARK).exists():
                raise RefusedError(
                    f"{folder} is not empty",
                    hint="give another --dir, or --overwrite if it holds an earlier demo",
                    object_name=str(folder),
                )
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _MARK).touch()
        self.a = DemoSite("A", "trains, and holds the first copy", self.folder / "sites/a")
        self.b = DemoSite("B", "holds a copy, and can train", self.folder / "sites/b")
        self.c = DemoSite("C", "holds a copy", self.folder / "sites/c")
        self.sites = (self.a, self.b, self.c)
        self.reference = self.folder / "undisturbed"
        self.recoverer = self.folder / "recoverer"  # what the machine that recovers remembers
        self.evidence = self.folder / "evidence"
        self.logs = self.folder / "logs"
        self.key_file = self.folder / "keys/keeper.key"
        for path in (*(site.work for site in self.sites), self.reference, self.logs):
            path.mkdir(parents=True)

    def create_vault(self) -> Credential:
        """A new vault at site A; its key lies apart from all sites, as it should."""
        created = create_vault(
            self.a.store,
            suite=Suite.HYBRID_1,
            label="keeper",
            passphrase=None,
            clock=SYSTEM_CLOCK,
            keep=lambda credential: write_credential(credential, self.key_file),
        )
        return created.keeper

    def open_vault(self, site: DemoSite, credential: Credential) -> Vault:
        return open_vault(site.store, credential)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """For the processes of the demo: its own key, its own state, nothing of the user's."""
        return {
            **base,
            "HOLDFAST_KEY_FILE": str(self.key_file),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CACHE_HOME": str(self.folder / "state" / "cache"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "NO_COLOR": "1",
        }

    def remove_sites(self) -> list[str]:
        """Take away everything but evidence and logs. Returns what was removed."""
        removed = [
            self.folder / "sites",
            self.reference,
            self.key_file.parent,
            self.folder / "state",
            self.folder / "config",
            self.recoverer,
        ]
        for path in removed:
            shutil.rmtree(path, ignore_errors=True)
        return [str(path) for path in removed]


def signing_key(keeper: Credential) -> SigningKey:
    """The keeper's signing key: it signs the evidence."""
    if keeper.signer is None:
        raise CredentialError("this credential cannot sign")
    return keeper.signer
