"""The circumstances that a snapshot holds."""

from __future__ import annotations

import os

from holdfast.errors import DamageError
from holdfast.training.circumstances.model import FILE_NAME, LARGEST, Circumstances, parsed
from holdfast.vault.files.reading import PartialFile, PartReader
from holdfast.vault.format.records import Root
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.vault import Vault

__all__ = ["circumstances_of"]


def circumstances_of(vault: Vault, root: Root) -> Circumstances | None:
    """Of a snapshot; None where it has no `circumstances.json` at its top. Reads that one file.

    Raises DamageError, CredentialError (this key does not read).
    """
    name = os.fsencode(FILE_NAME)
    for entry in snapshot_entries(vault.handle, root):
        if entry.path == name and entry.type == "file":
            if entry.size > LARGEST:
                raise DamageError(f"{FILE_NAME} of {root.id} has {entry.size:,} bytes", object_name=root.id)
            data = PartReader(vault.handle).span(PartialFile(entry), 0, entry.size) if entry.size else b""
            return parsed(data, f"{FILE_NAME} of {root.id}")
    return None
