"""Policies and plans as files."""

from __future__ import annotations

from pathlib import Path

from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError, UsageError
from holdfast.objectives.retention_policy import POLICY_BYTES_MAX, parse_policy
from holdfast.objectives.retention_rules import Policy
from holdfast.vault.retaining.planning import PLAN_BYTES_MAX, RetentionPlan, decode_plan, encode_plan

__all__ = ["read_policy", "read_plan", "write_plan"]

_PIECE = 1 << 20


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises NotFoundError, UsageError naming the line that is not understood."""
    data = _read(path, POLICY_BYTES_MAX)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8", object_name=str(path)) from error
    return parse_policy(text, str(path))


def read_plan(path: Path) -> RetentionPlan:
    """A plan that `write_plan` wrote. Raises NotFoundError, UsageError."""
    return decode_plan(_read(path, PLAN_BYTES_MAX), str(path))


def write_plan(plan: RetentionPlan, path: Path) -> None:
    """Write the plan for `read_plan`, in the place of what was there. Raises FailedError, PermissionDeniedError."""
    try:
        path.write_bytes(encode_plan(plan))
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} cannot be written: permission denied", object_name=str(path)) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be written: {error.strerror or error}", object_name=str(path)) from error


def _read(path: Path, most: int) -> bytes:
    try:
        data = bytearray()
        with path.open("rb") as file:  # piece by piece: asked for all at once, `most` is allocated first
            while len(data) <= most and (piece := file.read(min(_PIECE, most + 1 - len(data)))):
                data += piece
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", object_name=str(path)) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} cannot be read: permission denied", object_name=str(path)) from error
    except OSError as error:
        raise FailedError(f"{path} cannot be read: {error.strerror or error}", object_name=str(path)) from error
    if len(data) > most:
        raise UsageError(f"{path} is too large", object_name=str(path))
    return bytes(data)
