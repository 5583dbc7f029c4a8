"""Where key files live: the one that `HOLDFAST_KEY_FILE` names, else the folder `$XDG_CONFIG_HOME/holdfast/keys/`.

The environment is handed in as a mapping; the default is that of the process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.errors import CredentialError, PermissionDeniedError
from holdfast.trust.credentials import ROLES, Credential, Role, load_credential, write_credential

__all__ = [
    "KEY_FILE_VARIABLE",
    "PASSPHRASE_VARIABLE",
    "key_folder",
    "find_credential",
    "list_credentials",
    "store_credential",
    "passphrase_from_environment",
]

KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE = "HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE"
_SUFFIX = ".key"


def key_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CONFIG_HOME/holdfast/keys`, by default `~/.config/holdfast/keys`. It need not exist.

    Raises CredentialError when neither XDG_CONFIG_HOME nor HOME is set, to an absolute path.
    """
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    if base.is_absolute():  # the XDG specification: a relative path is ignored
        return base / "holdfast" / "keys"
    home = Path(environ.get("HOME", ""))
    if not home.is_absolute():
        what = "is a relative path" if environ.get("HOME") else "is not set"
        raise CredentialError(f"there is no folder for keys, as HOME {what}", hint=f"set {KEY_FILE_VARIABLE}")
    return Path(home, ".config", "holdfast", "keys")


def find_credential(
    vault_id: str, *, prefer: Sequence[Role] = ROLES, environ: Mapping[str, str] = os.environ
) -> Credential:
    """The credential for a vault: of the roles in `prefer`, and no other, the first that there is.

    With HOLDFAST_KEY_FILE set, only that file counts. Else the files `<vault id>.<role>[-label].key` of the key folder
    are looked at, within a role those without a label first. A file that fits by name and cannot be used is an error:
    going on with a lesser key would only fail later, and less clearly.

    Raises CredentialError (none fits, or a file is malformed), PermissionDeniedError, UnsupportedFormatError.
    """
    named = environ.get(KEY_FILE_VARIABLE, "")
    if named:
        return _suitable(Path(named), vault_id, prefer)
    folder = key_folder(environ)
    files = _key_files(folder)
    for role in prefer:
        stem = f"{vault_id}.{role}"
        for path in files:
            if path.name == stem + _SUFFIX or path.name.startswith(stem + "-"):
                return _suitable(path, vault_id, prefer)
    raise CredentialError(
        f"there is no {_either(prefer)} key for the vault {vault_id} in {folder}",
        hint=f"copy the key file there, name it in {KEY_FILE_VARIABLE}, or set {PASSPHRASE_VARIABLE}",
    )


def _suitable(path: Path, vault_id: str, roles: Sequence[Role]) -> Credential:
    credential = load_credential(path)
    if credential.vault_id != vault_id:
        raise CredentialError(
            f"the key file {path} is for the vault {credential.vault_id}, not for {vault_id}", object_name=str(path)
        )
    if credential.role not in roles:
        raise CredentialError(
            f"the key file {path} is a {credential.role}'s, and this needs a {_either(roles)} key",
            hint="ask a keeper of the vault for it",
            object_name=str(path),
        )
    return credential


def _either(roles: Sequence[Role]) -> str:
    return " or ".join(f"{role}'s" for role in roles)


def list_credentials(environ: Mapping[str, str] = os.environ) -> list[tuple[Path, Credential]]:
    """All key files, by name. Raises what `load_credential` raises, for the first that cannot be used."""
    named = environ.get(KEY_FILE_VARIABLE, "")
    paths = [Path(named)] if named else _key_files(key_folder(environ))
    return [(path, load_credential(path)) for path in paths]


def _key_files(folder: Path) -> list[Path]:
    """Without a label first: `.` sorts before any letter or digit, but after `-`, hence the key."""
    try:
        found = [path for path in folder.iterdir() if path.suffix == _SUFFIX]
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise PermissionDeniedError(f"the key folder {folder} cannot be read", object_name=str(folder)) from error
    except OSError as error:
        raise CredentialError(
            f"the key folder {folder} cannot be read: {error.strerror}", object_name=str(folder)
        ) from error
    return sorted(found, key=lambda path: path.stem)


def store_credential(
    credential: Credential,
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Write a key file and say where: at `path`, else where HOLDFAST_KEY_FILE points, else in the key folder.

    Raises RefusedError when that file exists, and what else `write_credential` raises.
    """
    place = Path(path) if path is not None else _default_place(credential, environ)
    write_credential(credential, place)
    return place


def _default_place(credential: Credential, environ: Mapping[str, str]) -> Path:
    named = environ.get(KEY_FILE_VARIABLE, "")
    if named:
        return Path(named)
    label = f"-{credential.label}" if credential.label not in ("", credential.role) else ""
    return key_folder(environ) / f"{credential.vault_id}.{credential.role}{label}{_SUFFIX}"


def passphrase_from_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """HOLDFAST_PASSPHRASE as it is; None when it is not set, or empty."""
    return environ.get(PASSPHRASE_VARIABLE) or None
