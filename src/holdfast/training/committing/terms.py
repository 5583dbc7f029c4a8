"""What the ranks of one save agree on before they write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from blake3 import blake3

from holdfast.errors import UsageError
from holdfast.trust.signing import SigningKey
from holdfast.vault.saving.announcing import WORLD_MAX, new_save_id, own_mark, shared_secret

__all__ = ["DEADLINE_S", "SaveTerms", "agreed_terms", "derived_terms"]

DEADLINE_S = 1800.0  # half of what a lease lasts: what the first rank stored is kept until the last one has announced
_DEADLINE_MAX_S = 2400.0


@dataclass(frozen=True)
class SaveTerms:
    """One rank's terms. `signers`: fingerprints (hex) of those who take part. `secret`: 32 bytes that open the
    announcements of this save. `deadline_s`: what is not announced so long after it was begun is abandoned.
    `finished`: the save before this one, if its snapshot is known to be there.
    """

    save: str
    rank: int
    world: int
    signers: tuple[str, ...]
    deadline_s: float
    secret: bytes = field(repr=False)
    finished: str = ""


def agreed_terms(
    signer: SigningKey, signers: Iterable[str], world: int, deadline_s: float = DEADLINE_S, finished: str = ""
) -> list[SaveTerms]:
    """The terms of all ranks of a new save, made by one of them and handed to the others. Raises UsageError."""
    terms = _terms(new_save_id(), signer, sorted({*signers, own_mark(signer)}), world, deadline_s)
    return [replace(one, finished=finished) for one in terms]


def derived_terms(
    signer: SigningKey,
    asset: str,
    step: int | None,
    rank: int,
    world: int,
    deadline_s: float = DEADLINE_S,
    environment: Mapping[str, str] = os.environ,
    nonce: str = "",
) -> SaveTerms:
    """The terms of one rank that talks to no other: they follow from what all know, the step and the run that torchrun
    names. All ranks then have the same key file. `nonce`: the same for all ranks of this run, and of no other one: what
    an earlier run announced of the same step must not be taken for this one's. Raises UsageError.
    """
    if step is None:
        raise UsageError(
            "ranks that do not talk to each other need a step to know that they save the same thing",
            hint="VaultWriter(…, step=N), or leave `use_collectives` at True",
        )
    run = [environment.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")]
    told = "\0".join([asset, str(step), str(world), *run, nonce])
    save = blake3(told.encode(), key=shared_secret(signer, "0" * 16)).hexdigest(8)
    return _terms(save, signer, [own_mark(signer)], world, deadline_s)[rank]


def _terms(save: str, signer: SigningKey, signers: list[str], world: int, deadline_s: float) -> list[SaveTerms]:
    if not 0 < world <= WORLD_MAX:
        raise UsageError(f"{world} ranks cannot save together")
    if not 0 < deadline_s <= _DEADLINE_MAX_S:
        raise UsageError(
            f"a deadline of {deadline_s:.0f} s cannot be kept", hint=f"choose up to {_DEADLINE_MAX_S:.0f} seconds"
        )
    secret = shared_secret(signer, save)
    return [SaveTerms(save, rank, world, tuple(signers), deadline_s, secret) for rank in range(world)]
