"""What `--json` prints instead of data when a command fails."""

from __future__ import annotations

import msgspec

__all__ = ["Failure", "FailureFacts"]


class FailureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is stable, see docs/errors.md; `object` is the key, file or reference concerned, if there is one."""

    code: str
    message: str
    hint: str
    object: str
    exit_code: int
    retry: bool


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The command failed."""

    error: FailureFacts
