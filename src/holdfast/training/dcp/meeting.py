"""What all ranks of a run know without talking to each other at each save."""

from __future__ import annotations

import secrets

import torch.distributed as dist

__all__ = ["run_nonce"]

_KEY = "holdfast/run"
_ALONE = secrets.token_hex(8)


def run_nonce(world: int) -> str:
    """The same for all ranks of this run, and another one for every other run: kept in the store by which the ranks
    found each other, which is new with each run. Empty where there is none.
    """
    if world == 1:
        return _ALONE
    if not (dist.is_available() and dist.is_initialized()):
        return ""
    store = dist.distributed_c10d._get_default_store()  # type: ignore[no-untyped-call,unused-ignore]
    return bytes(store.compare_set(_KEY, "", secrets.token_hex(8))).decode()
