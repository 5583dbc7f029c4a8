"""Facts about key files. No secret is touched."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.keys import KeyCombined, KeyCreated, KeyExported, KeyFacts, KeyList, KeyShown, ResealFacts
from holdfast.control.keys.key_files import KeyFile, list_key_files
from holdfast.control.keys.recipients import CombinedKey, CreatedKey
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder, passphrase_from_environment
from holdfast.trust.recipients import recipient_id
from holdfast.trust.signing import fingerprint

if TYPE_CHECKING:
    from holdfast.trust.credentials import Credential
    from holdfast.vault.access.resealing import Resealed

__all__ = ["list_facts", "created_facts", "shown_facts", "exported_facts", "combined_facts", "resealed_facts"]


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


def created_facts(created: CreatedKey) -> KeyCreated:
    """A recipient's key that was just made on its own machine."""
    credential = created.credential
    return KeyCreated(
        vault=credential.vault_id,
        label=credential.label,
        id=_opener(credential) or "",
        file=clean(str(created.file.absolute())),
        public_file=clean(str(created.public_file.absolute())),
        keepers=list(credential.keepers),
        confirmed=created.confirmed,
    )


def shown_facts(credential: Credential, file: Path) -> KeyShown:
    """What a key file is."""
    keys = [key for key in (credential.signer, credential.opener) if key is not None]
    return KeyShown(
        file=clean(str(file)),
        vault=credential.vault_id,
        role=credential.role,
        label=credential.label,
        opener=_opener(credential),
        signer=None if credential.signer is None else fingerprint(credential.signer.public),
        suites=sorted({int(key.suite) for key in keys}),
        keepers=list(credential.keepers),
    )


def combined_facts(combined: CombinedKey) -> KeyCombined:
    """A key file that was just made of shares."""
    credential = combined.credential
    return KeyCombined(
        vault=credential.vault_id,
        label=credential.label,
        id=_opener(credential) or "",
        file=clean(str(combined.file.absolute())),
        shares=combined.shares,
    )


def resealed_facts(report: Resealed) -> ResealFacts:
    """What sealing anew did."""
    return ResealFacts(**{**asdict(report), "left": [clean(key) for key in report.left]})


def _opener(credential: Credential) -> str | None:
    return None if credential.opener is None else recipient_id(credential.opener.public)


def _key(file: KeyFile) -> KeyFacts:
    path = clean(str(file.path))
    if file.credential is None:
        why = file.error.message if file.error is not None else "it cannot be read"
        return KeyFacts(file=path, vault=None, role=None, label=None, error=clean(why))
    credential = file.credential
    return KeyFacts(file=path, vault=credential.vault_id, role=credential.role, label=credential.label)
