"""What a replication tells of itself."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.vault.checking.verifying import Verified

__all__ = ["Replicated"]


class Replicated(NamedTuple):
    """What a replication did. `arrived`: snapshots that are now whole at the target, newest first.

    `damaged`: object → what is wrong with it, at the source unless it says otherwise; snapshots that need it are in
    `left_out` (a mirror, which knows no ids, names the keys of the roots that it withheld). `verified`: what was read
    back at the target of the newest snapshot there, None when that was not asked for or found damage.
    `copying_s`, `verifying_s`: how long the two took.
    """

    objects: int
    bytes: int
    arrived: list[str]
    left_out: list[str]
    damaged: dict[str, str]
    notes: list[str]
    verified: Verified | None = None
    copying_s: float = 0.0
    verifying_s: float = 0.0
