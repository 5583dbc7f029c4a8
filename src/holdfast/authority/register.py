"""The file of API keys: `api-keys.json`, mode 600, changed whole and by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from holdfast.authority.api_keys import TIME_END, KeyRecord, Register
from holdfast.durable import replace_file
from holdfast.errors import (
    CredentialError,
    FailedError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    RefusedError,
)

__all__ = ["load_register", "change_register", "revoked_key", "decode_register", "REGISTER_BYTES_MAX"]

REGISTER_BYTES_MAX: Final = 8 << 20

T = TypeVar("T")


def load_register(path: Path) -> Register | None:
    """None where there is no file. Raises CredentialError (damaged), PermissionDeniedError (also: open to others)."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise PermissionDeniedError(
                    f"the register of API keys {path} is open to others than its owner",
                    hint=f"chmod 600 {path}",
                    object_name=str(path),
                )
            data = file.read(REGISTER_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PermissionDeniedError(
            f"the register of API keys {path} cannot be read ({error.strerror})", object_name=str(path)
        ) from error
    return decode_register(data, str(path))


def decode_register(data: bytes, name: str) -> Register:
    """Raises CredentialError for what is no register."""
    try:
        register = msgspec.json.decode(data, type=Register)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        register = None  # no cause is chained: a decoder's error may quote the content
    if register is None or len(data) > REGISTER_BYTES_MAX or not _is_sound(register):
        raise CredentialError(
            f"{name} is no register of API keys, or a damaged one", hint="restore it from a copy", object_name=name
        )
    return register


def _is_sound(register: Register) -> bool:
    ids = [one.id for one in register.keys]
    hashes = all(len(one.hash) == 32 for one in register.keys)
    times = [time for one in register.keys for time in (one.created, one.expires, one.revoked) if time is not None]
    if not all(0 <= time < TIME_END for time in times):  # they could not be told in a message
        return False
    return register.version == 1 and len(register.salt) == 32 and hashes and len(set(ids)) == len(ids)


def change_register(path: Path, change: Callable[[Register], tuple[Register, T]]) -> T:
    """Apply `change` to the register, made if there is none; it is on disk when this returns.

    Raises what `change` raises (and nothing is changed then), FailedError, and what `load_register` raises.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.with_name(f".{path.name}.lock")):
            register = load_register(path) or Register(salt=os.urandom(32))
            changed, answer = change(register)
            if changed is not register:
                replace_file(path, msgspec.json.format(msgspec.json.encode(changed), indent=1) + b"\n", mode=0o600)
            return answer
    except OSError as error:
        raise FailedError(
            f"the register of API keys {path} cannot be written ({error.strerror})", object_name=str(path)
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def revoked_key(register: Register, name: str, now_ns: int) -> tuple[Register, KeyRecord]:
    """`name`: the key's id, or its label. Raises NotFoundError, RefusedError (it is revoked already)."""
    found = [one for one in register.keys if name in (one.id, one.label)]
    live = [one for one in found if one.revoked is None]
    problem: HoldfastError | None = None
    if not found:
        problem = NotFoundError(f"there is no API key {name[:80]!r}", hint="`holdfast policy api-key list` lists them")
    elif not live:
        problem = RefusedError(f"the API key {name[:80]!r} is revoked already")
    if problem is not None:
        raise problem
    gone = msgspec.structs.replace(live[0], revoked=now_ns)
    return msgspec.structs.replace(register, keys=[gone if one is live[0] else one for one in register.keys]), gone
