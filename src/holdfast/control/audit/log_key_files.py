"""Where the private key of a log lies on this machine, and how a new one takes its place.

A new key is written beside the one in use, as `<name>.next`, before anything of it is said; it takes the other one's
place when it is declared, and that one stays as `<name>.<n>.retired`. Who died in between finds all of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.durable import sync_folder
from holdfast.errors import CredentialError, FailedError
from holdfast.trust.keyring import key_folder

if TYPE_CHECKING:
    from holdfast.audit.signing_keys import NoteKey
    from holdfast.audit.verifier_keys import VerifierKey

__all__ = ["AUDIT_KEY_VARIABLE", "audit_key_path", "install_next_key", "load_log_key", "next_key", "next_key_path"]

AUDIT_KEY_VARIABLE = "HOLDFAST_AUDIT_KEY_FILE"


def audit_key_path(vault_id: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the private key of a vault's log lies: HOLDFAST_AUDIT_KEY_FILE, else beside the folder of key files.

    `$XDG_CONFIG_HOME/holdfast/audit/<vault id>.log.key`. Raises CredentialError where there is no such folder.
    """
    named = environment.get(AUDIT_KEY_VARIABLE, "")
    return Path(named) if named else key_folder(environment).parent / "audit" / f"{vault_id}.log.key"


def next_key_path(path: Path) -> Path:
    """Where the key lies that is to follow on that in `path`."""
    return path.with_name(f"{path.name}.next")


def load_log_key(path: Path, current: Sequence[VerifierKey]) -> NoteKey:
    """The key of the log: that in `path`, or the next one where that is declared already. `current`: those that count.

    Raises CredentialError (missing, damaged, a witness's, not the log's any more), PermissionDeniedError.
    """
    from holdfast.audit.signing_keys import load_note_key

    following = next_key_path(path)
    if following.exists():
        key = load_note_key(following, "log")
        if set(key.keys) == set(current):
            return key
    key = load_note_key(path, "log")
    if set(key.keys) != set(current):
        raise CredentialError(
            f"{path} holds a key that does not sign for the log {key.name} (any more)",
            hint="it was changed elsewhere: copy the key file from there; if it is lost: `audit rotate-key --lost`",
            object_name=str(path),
        )
    return key


def next_key(path: Path, origin: str) -> NoteKey:
    """The key that is to follow, made now unless somebody died after it was made. Raises RefusedError, …"""
    from holdfast.audit.signing_keys import NoteKey, load_note_key, write_note_key

    following = next_key_path(path)
    if following.exists():
        return load_note_key(following, "log")
    key = NoteKey.generate("log", origin)
    write_note_key(key, following)
    return key


def install_next_key(path: Path, generation: int) -> Path | None:
    """Put the next key into `path`; returns where the one before it stays. `generation`: of the declaration.

    Raises FailedError; may be called again.
    """
    following, retired = next_key_path(path), path.with_name(f"{path.name}.{generation}.retired")
    try:
        if following.exists():
            with suppress(FileExistsError, FileNotFoundError):
                os.link(path, retired)
            following.replace(path)
            sync_folder(path.parent)
        return retired if retired.exists() else None
    except OSError as error:
        raise FailedError(
            f"the new key cannot take the place of {path} ({error.strerror})",
            hint=f"the log has its new key already: it is in {following}, and is used from there",
            object_name=str(path),
        ) from error
