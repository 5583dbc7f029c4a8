"""Tokens of servers where this user is logged in: one file each, mode 600, in `$XDG_CONFIG_HOME/holdfast/servers/`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.authority.authority_home import API_KEY_VARIABLE, TOKEN_VARIABLE
from holdfast.control.remote.client import RemoteServer, server_address
from holdfast.durable import replace_file
from holdfast.errors import CredentialError, FailedError
from holdfast.trust.keyfile import read_private_file
from holdfast.trust.keyring import key_folder

__all__ = ["Login", "forget_login", "keep_login", "login_of", "open_server"]

_SECRET_MAX: Final = 16 << 10


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """`until`: ns since the epoch."""

    server: str
    token: str
    until: int
    scope: str = ""

    def __repr__(self) -> str:
        return f"<Login {self.server}>"


def _path(server: str, environment: Mapping[str, str]) -> Path:
    shown = server_address(server).shown
    name = re.sub(r"[^a-z0-9.-]+", "_", shown.lower())
    return key_folder(environment).parent / "servers" / f"{name}.json"


def keep_login(login: Login, environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is now, in the place of the one before. Raises FailedError."""
    path = _path(login.server, environment)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(login), mode=0o600)
    except OSError as error:
        raise FailedError(f"the token cannot be kept in {path} ({error.strerror})", object_name=str(path)) from error
    return path


def login_of(server: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """None where nobody is logged in. Raises CredentialError for a file that others may read, or that is none."""
    path = _path(server, environment)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_private_file(path), type=Login)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CredentialError(f"{path} holds no login", hint="`holdfast login` writes it anew") from error


def forget_login(server: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there was one."""
    try:
        _path(server, environment).unlink()
    except FileNotFoundError:
        return False
    return True


def open_server(url: str, environment: Mapping[str, str] = os.environ, clock: Clock = SYSTEM_CLOCK) -> RemoteServer:
    """With the token or the API key that the environment names, else with the one of `holdfast login`.

    Raises CredentialError, UsageError.
    """
    named = environment.get(TOKEN_VARIABLE, "") or environment.get(API_KEY_VARIABLE, "")
    if named:
        secret = read_private_file(Path(named)).strip()
        if len(secret) > _SECRET_MAX or not secret.isascii():
            raise CredentialError(f"{named} holds neither a token nor an API key", object_name=named)
        return RemoteServer(url, secret.decode())
    login = login_of(url, environment)
    if login is None or login.until <= clock.now_ns():
        gone = "the login at this server has ended" if login is not None else "nobody is logged in at this server"
        raise CredentialError(gone, hint=f"`holdfast login --server {url}`")
    return RemoteServer(url, login.token)
