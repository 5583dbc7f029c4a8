"""The small file beside a folder that says which step of a run restores to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.errors import DamageError, UsageError

__all__ = ["Claim", "claim_path", "decode_claim"]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`key`: of the step. `emptied`: an empty folder was at the target, and is to be there again when it is undone.
    `standing`: a hot standby stood there already, and stays.
    """

    key: str
    asset: str
    snapshot: str
    emptied: bool
    standing: bool = False


def claim_path(target: Path) -> Path:
    """Raises UsageError for a place that has no name."""
    if not target.name:
        raise UsageError(f"{target} is no place to restore to")
    return target.with_name(f".{target.name}.holdfast-run")


def decode_claim(data: bytes, name: str) -> Claim:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=Claim)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(
            f"{name} does not say which recovery restores to this place",
            hint="if none does, remove the file",
            object_name=name,
        ) from error
