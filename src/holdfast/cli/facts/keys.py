"""Facts about key files. No secret is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.keys import KeyExported, KeyFacts, KeyList
from holdfast.control.key_files import KeyFile, list_key_files
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder, passphrase_from_environment

if TYPE_CHECKING:
    from holdfast.trust.credentials import Credential

__all__ = ["list_facts", "exported_facts"]


def list_facts() -> KeyList:
    """The key files of this machine. Raises CredentialError, PermissionDeniedError."""
    named = os.environ.get(KEY_FILE_VARIABLE)
    return KeyList(
        folder=None if named else clean(str(key_folder())),
        keys=[_key(file) for file in list_key_files()],
        passphrase=passphrase_from_environment() is not None,
    )


def exported_facts(credential: Credential, file: Path) -> KeyExported:
    """A key file that was just written."""
    return KeyExported(
        vault=credential.vault_id, role=credential.role, label=credential.label, file=clean(str(file.absolute()))
    )


def _key(file: KeyFile) -> KeyFacts:
    path = clean(str(file.path))
    if file.credential is None:
        why = file.error.message if file.error is not None else "it cannot be read"
        return KeyFacts(file=path, vault=None, role=None, label=None, error=clean(why))
    credential = file.credential
    return KeyFacts(file=path, vault=credential.vault_id, role=credential.role, label=credential.label)
