"""Whom to believe about a pack: `docs/format/vault-1.md`, "Index"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from holdfast.trust.signing import fingerprint
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import MAY_SIGN, VaultKeys
from holdfast.vault.index.facts import Claim

__all__ = ["Ranks", "believe", "is_disputed", "ranks_of"]

Ranks: TypeAlias = Mapping[str, int]
"""Signers whose index objects count, by fingerprint. Of several who say the same, the one of the lowest rank is named:
a writer, who cannot look for itself, believes its own word and the keepers'.
"""


def ranks_of(keys: VaultKeys) -> Ranks:
    """Those that the configuration lists and that were not revoked: oneself, keepers, writers."""
    own = fingerprint(keys.signer.public) if keys.signer is not None else ""
    ranks = {}
    for signer in keys.config.signers:
        if signer.revoked is None and signer.role in MAY_SIGN[Kind.INDEX]:
            mark = fingerprint(signer.public)
            ranks[mark] = 0 if mark == own else 1 + MAY_SIGN[Kind.INDEX].index(signer.role)
    return ranks


def believe(claims: Iterable[Claim], ranks: Ranks | None) -> Claim | None:
    """The claim that holds, of all about one pack; its `signer` is None when the pack's own footer says so.

    A footer is believed before any index; where those who count differ, none of them is. Without `ranks` all count.
    """
    counted = []
    for claim in claims:
        if claim.footer:
            return claim._replace(signer=None)
        if claim.signer is not None and (ranks is None or claim.signer in ranks):
            counted.append(claim)
    if len({claim.number for claim in counted}) != 1:
        return None
    return min(counted, key=lambda claim: ranks[claim.signer or ""] if ranks else 0)


def is_disputed(claims: Iterable[Claim], ranks: Ranks | None) -> bool:
    """Whether signers who count differ about the pack, and its footer has not settled it."""
    counted = set()
    for claim in claims:
        if claim.footer:
            return False
        if claim.signer is not None and (ranks is None or claim.signer in ranks):
            counted.add(claim.number)
    return len(counted) > 1
