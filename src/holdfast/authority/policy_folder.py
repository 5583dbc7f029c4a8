"""The folder of an installation's own policies, and the last good set, which stays in force while that is broken."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from holdfast.authority.policies import Policies, default_policies, load_policies, problems_in
from holdfast.authority.scanning import FILE_BYTES_MAX
from holdfast.durable import replace_file
from holdfast.errors import CredentialError
from holdfast.events import SILENT, Progress

__all__ = [
    "Source",
    "InForce",
    "policies_in_force",
    "read_policy_files",
    "problems_of_folder",
    "check_owner",
    "FILES_MAX",
]

FILES_MAX: Final = 100
Source: TypeAlias = Literal["defaults", "folder", "last good"]


class InForce(NamedTuple):
    """The policies that decide, and whence they are. `problem`: why the folder's own are not in force."""

    policies: Policies
    source: Source
    problem: CredentialError | None = None


class _Kept(msgspec.Struct, frozen=True):
    """A set that was in force. `digest`: of it, with the defaults and the schema of then."""

    digest: str
    files: dict[str, bytes]


def policies_in_force(folder: Path, kept: Path | None, progress: Progress = SILENT) -> InForce:
    """The defaults, and those in `folder` (`*.cedar`). `kept`: the file where the last good set is remembered.

    Where one of the folder's cannot be taken, the last good set stays in force, and `progress` is told. Raises
    CredentialError, with file and line, where there is no last good set.
    """
    try:
        texts = read_policy_files(folder)
        policies = load_policies(texts) if texts else default_policies()
    except CredentialError as problem:
        before = _read_kept(kept)
        if before is None:
            raise
        progress.note(f"{problem.message}; the policies that were in force before stay in force")
        return InForce(before, "last good", problem)
    _keep(kept, policies, texts, progress)
    return InForce(policies, "folder" if texts else "defaults")


def problems_of_folder(folder: Path) -> list[CredentialError]:
    """Everything that is wrong with a folder's policies."""
    try:
        return problems_in(read_policy_files(folder))
    except CredentialError as problem:
        return [problem]


def read_policy_files(folder: Path) -> dict[str, bytes]:
    """Name → content of the `*.cedar` files; nothing where there is no folder.

    Raises CredentialError for a folder or file that others may write to, or that cannot be read.
    """
    try:
        status = folder.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise CredentialError(f"{folder} is no folder of policies", object_name=str(folder))
        check_owner(folder, status)
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".cedar" and not path.name.startswith("."))
        unprintable = [path for path in paths if not path.name.isprintable()]
        if unprintable:  # names stand in answers and in the audit log, where there is no way to write every one
            raise CredentialError(f"{str(unprintable[0])!a} cannot be printed", hint="rename the file of policies")
        if len(paths) > FILES_MAX:
            raise CredentialError(f"{folder} holds more than {FILES_MAX} files of policies", object_name=str(folder))
        return {path.name: _read(path) for path in paths}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialError(
            f"the policies in {folder} cannot be read ({error.strerror})", object_name=str(folder)
        ) from error


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not keep us waiting
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CredentialError(f"{path} is not a regular file", object_name=str(path))
        check_owner(path, status)
        return file.read(FILE_BYTES_MAX + 1)


def check_owner(path: Path, status: os.stat_result) -> None:
    """Raises CredentialError for what others than its owner, and root, may write to."""
    if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise CredentialError(
            f"{path} may be written by others (mode {stat.S_IMODE(status.st_mode):03o}, owner {status.st_uid}), "
            "who could permit themselves anything",
            hint=f"chmod go-w {path}",
            object_name=str(path),
        )


def _read_kept(path: Path | None) -> Policies | None:
    """The last good set, if it is there, nobody else may write to it, and it is still good with the defaults and the
    schema of today.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            check_owner(path, os.fstat(file.fileno()))
            kept = msgspec.json.decode(file.read(), type=_Kept)
        return load_policies(kept.files)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError, CredentialError):
        return None


def _keep(path: Path | None, policies: Policies, texts: Mapping[str, bytes], progress: Progress) -> None:
    """Never fails what is decided now."""
    if path is None or (not texts and not path.exists()):
        return
    try:
        with suppress(FileNotFoundError, msgspec.MsgspecError, ValueError, RecursionError):
            if msgspec.json.decode(path.read_bytes(), type=_Kept).digest == policies.digest:
                return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(_Kept(policies.digest, dict(texts))), mode=0o600, synced=False)
    except OSError as error:
        progress.note(f"the policies in force cannot be remembered in {path} ({error.strerror})")
