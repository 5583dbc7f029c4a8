"""What a check of a whole vault found."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.vault.checking.proofs import ProofAge

__all__ = ["Damage", "CheckReport"]


class Damage(NamedTuple):
    """One thing that is wrong: the object, what is the matter, and the snapshots that cannot be restored because of
    it.
    """

    object: str
    message: str
    snapshots: list[str]


class CheckReport(NamedTuple):
    """What was looked at, and what was found. Without `damages` the vault is sound as far as was looked.

    `proof`: how well the packs are proven on this machine, after this check.
    """

    objects: int
    snapshots: int
    packs: int
    packs_read: int
    bytes_read: int
    damages: list[Damage]
    notes: list[str]
    proof: ProofAge = ProofAge(None, 0, 1.0)
