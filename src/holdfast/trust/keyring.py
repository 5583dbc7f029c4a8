"""Where keys come from: the file that `HOLDFAST_KEY_FILE` names, else the share files that `HOLDFAST_KEY_SHARES` names,
else the folder `$XDG_CONFIG_HOME/holdfast/keys/`; without any of these, a passphrase, or a key management service.

The environment is handed in as a mapping; the default is that of the process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.errors import CredentialError, PermissionDeniedError
from holdfast.trust.credentials import ROLES, Credential, Role, load_credential, write_credential
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.shares import combine_shares, read_share

__all__ = [
    "KEY_FILE_VARIABLE",
    "PASSPHRASE_VARIABLE",
    "SHARES_VARIABLE",
    "KEEPER_VARIABLE",
    "key_folder",
    "find_credential",
    "has_key_file",
    "list_credentials",
    "store_credential",
    "passphrase_from_environment",
    "keeper_from_environment",
    "key_services_from_environment",
]

KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE = "HOLDFAST_KEY_FILE", "HOLDFAST_PASSPHRASE"
SHARES_VARIABLE, KEEPER_VARIABLE = "HOLDFAST_KEY_SHARES", "HOLDFAST_KEEPER"
_SUFFIX = ".key"
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


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

    With HOLDFAST_KEY_FILE set, only that file counts; else with HOLDFAST_KEY_SHARES, what those files, joined by ':',
    give together: a reader's credential. Else the files `<vault id>.<role>[-label].key` of the key folder
    are looked at, within a role those without a label first. A file that fits by name and cannot be used is an error:
    going on with a lesser key would only fail later, and less clearly.

    Raises CredentialError (none fits, or a file is malformed), PermissionDeniedError, UnsupportedFormatError.
    """
    named = environ.get(KEY_FILE_VARIABLE, "")
    if named:
        return _suitable(load_credential(Path(named)), f"the key file {named}", vault_id, prefer)
    shares = environ.get(SHARES_VARIABLE, "")
    if shares:
        combined = combine_shares([read_share(Path(path)) for path in shares.split(os.pathsep) if path])
        return _suitable(combined, f"the key {combined.label!r} of the shares", vault_id, prefer)
    path = _fitting_file(vault_id, prefer, environ)
    if path is not None:
        return _suitable(load_credential(path), f"the key file {path}", vault_id, prefer)
    raise CredentialError(
        f"there is no {_either(prefer)} key for the vault {vault_id} in {key_folder(environ)}",
        hint=f"copy the key file there, name it in {KEY_FILE_VARIABLE}, or set {PASSPHRASE_VARIABLE}",
    )


def has_key_file(vault_id: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether something says which key this vault is opened with: a variable, or a file's name in the key folder."""
    if environ.get(KEY_FILE_VARIABLE) or environ.get(SHARES_VARIABLE):
        return True
    try:
        return _fitting_file(vault_id, ROLES, environ) is not None
    except CredentialError:  # there is no folder, or it cannot be looked into
        return False


def _fitting_file(vault_id: str, roles: Sequence[Role], environ: Mapping[str, str]) -> Path | None:
    files = _key_files(key_folder(environ))
    for role in roles:
        stem = f"{vault_id}.{role}"
        for path in files:
            if path.name == stem + _SUFFIX or path.name.startswith(stem + "-"):
                return path
    return None


def _suitable(credential: Credential, what: str, vault_id: str, roles: Sequence[Role]) -> Credential:
    if credential.vault_id != vault_id:
        raise CredentialError(f"{what} is for the vault {credential.vault_id}, not for {vault_id}", object_name=what)
    if credential.role not in roles:
        raise CredentialError(
            f"{what} is a {credential.role}'s, and this needs a {_either(roles)} key",
            hint="ask a keeper of the vault for it",
            object_name=what,
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


def keeper_from_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """HOLDFAST_KEEPER, a keeper's fingerprint; None when it is not set. Raises CredentialError for anything else."""
    text = environ.get(KEEPER_VARIABLE, "").strip()
    if text and not _FINGERPRINT.fullmatch(text):
        raise CredentialError(
            f"{KEEPER_VARIABLE} is not the fingerprint of a keeper, 32 hex digits",
            hint="`holdfast key show` on the keeper's machine says it",
        )
    return text or None


def key_services_from_environment(environ: Mapping[str, str] = os.environ) -> KeyServices:
    """What opens a vault by a key management service. Credentials are looked for when it is asked.

    Raises CredentialError without HOLDFAST_KEEPER: a configuration names its own services, so that one which somebody
    else put there would be believed because it opens.
    """
    keeper = keeper_from_environment(environ)
    if keeper is None:
        raise CredentialError(
            "this vault can be opened by a key management service, but nothing says whose signature counts",
            hint=f"set {KEEPER_VARIABLE} to the keeper's fingerprint (`holdfast key show`), or name a key file in "
            f"{KEY_FILE_VARIABLE}",
        )
    return KeyServices([keeper])
