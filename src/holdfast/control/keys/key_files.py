"""Key files of this machine, and key files for new members of a vault."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import HoldfastError, PermissionDeniedError, RefusedError, StoreUnreachableError
from holdfast.trust.credentials import Credential, load_credential, write_credential
from holdfast.trust.keyring import KEY_FILE_VARIABLE, key_folder
from holdfast.vault.access.members import admit_keeper, admit_reader, admit_writer
from holdfast.vault.vault import Vault

__all__ = ["KeyFile", "list_key_files", "export_keeper", "export_writer", "export_reader"]


class KeyFile(NamedTuple):
    """A key file, or why it cannot be used."""

    path: Path
    credential: Credential | None
    error: HoldfastError | None


def list_key_files(environment: Mapping[str, str] = os.environ) -> list[KeyFile]:
    """The key files that commands look at: the one that HOLDFAST_KEY_FILE names, else all of the key folder, by name.

    Raises CredentialError when there is no place for a key folder, PermissionDeniedError when it cannot be read.
    """
    named = _named_file(environment)
    if named is not None:
        return [_load(named)]
    folder = key_folder(environment)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".key")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PermissionDeniedError(
            f"the key folder {folder} cannot be read ({error.strerror})", object_name=str(folder)
        ) from error
    return [_load(path) for path in paths]


def _named_file(environment: Mapping[str, str]) -> Path | None:
    """The file that HOLDFAST_KEY_FILE names, if it does."""
    named = environment.get(KEY_FILE_VARIABLE, "")
    return Path(named) if named else None


def export_keeper(vault: Vault, label: str, file: Path) -> Credential:
    """Admit a keeper and put its key into a new file. Raises RefusedError (label or file taken), CredentialError."""
    return _export(file, lambda keep: admit_keeper(vault.handle, label, keep=keep))


def export_writer(vault: Vault, label: str, file: Path) -> Credential:
    """Admit a writer and put its key into a new file. Raises RefusedError (label or file taken), CredentialError."""
    return _export(file, lambda keep: admit_writer(vault.handle, label, keep=keep))


def export_reader(vault: Vault, label: str, file: Path) -> Credential:
    """Admit a reader and put its key into a new file. Raises RefusedError (label or file taken), CredentialError."""
    return _export(file, lambda keep: admit_reader(vault.handle, label, keep=keep))


def _export(file: Path, admit: Callable[[Callable[[Credential], None]], Credential]) -> Credential:
    if os.path.lexists(file):
        raise RefusedError(
            f"{file} exists, and a key file is never overwritten", hint="name another file", object_name=str(file)
        )
    written = False

    def keep(credential: Credential) -> None:
        nonlocal written
        write_credential(credential, file)
        written = True

    try:
        return admit(keep)
    except StoreUnreachableError:
        raise  # the configuration may have been written all the same: then this key is a member's
    except HoldfastError:
        if written:  # nobody was admitted: the key opens nothing, and would only mislead
            file.unlink(missing_ok=True)
        raise


def _load(path: Path) -> KeyFile:
    try:
        return KeyFile(path, load_credential(path), None)
    except HoldfastError as error:
        return KeyFile(path, None, error)
